"""The transition matrix and the noise rate with their uncertainty, from decisions that are wrong now and then."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import generator_for

_SHRINKAGE = 0.02  # the prior of T counts as much as this share of a class's examples
_OWN_WORD = 20.0  # what a classifier says of its own confusions counts as much as so many trusted examples a class
_DOUBT = 1.0  # as if that many errors a class had been seen
_BURN_IN = 20
_STEPS = 20
_SWEEPS = 5
_LEAST = 0.1  # of a Dirichlet's parameters


class TransitionPosterior(NamedTuple):
    """Draws from the posterior of a transition matrix.

    Attributes:
        transition: T[c, k], the probability that a label of class c is given as k, float64 [draws, K, K].
        noise_rate: share of the labels that are not the class of their example, [draws].
    """

    transition: Tensor
    noise_rate: Tensor

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Low and high end of each entry of T, [K, K] each."""
        return _interval(self.transition, level)

    def noise_rate_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Low and high end of the noise rate."""
        low, high = _interval(self.noise_rate, level)
        return float(low), float(high)


def transition_posterior(
    probabilities: Tensor,
    given: Tensor,
    weights: Tensor | None = None,
    held_out: tuple[Tensor, Tensor] | None = None,
    trained_on: bool = False,
    draws: int = 200,
    seed: int = 0,
) -> TransitionPosterior:
    """The transition matrix given a classifier's decisions and the given labels, by Gibbs sampling.

    An example of class c ~ π is decided on as k ~ M[c, ·] and labelled y ~ T[c, ·], independently of one another, so
    that counts of (k, y) are all that matters. How the classifier confuses classes, M, is learned from trusted examples
    that training has not seen, and from its own probabilities, and *not* from the given labels: M is drawn anew before
    every few sweeps, and the intervals of T hold the uncertainty about it. The prior of T's rows is that of symmetric
    noise, at the rate that the data show.

    A classifier that was trained on these labels is not independent of them: where it would err it may have learned
    the label by heart, a right one more easily than a wrong one. Nothing in its decisions tells how often, so the
    intervals allow for that: of the errors of M, it follows a right label in a share u ~ Uniform(0, 1) and a wrong
    one in a share of Uniform(0, u/2). They do not allow for wrong labels that it follows where it would have been right
    without them: of a classifier that has learned all labels by heart they are far too low.

    Args:
        probabilities: of the true class, calibrated, [N, K].
        given: the labels, int64 [N].
        weights: the probability that an example is of any class, [N]; those that are not count as wrongly labelled.
            1 when None.
        held_out: decisions on trusted examples and their classes, int64 [M] each.
        trained_on: whether the classifier was trained on these labels.
        draws: after the burn-in, at least 2.
        seed: of everything random.

    Reference: Dawid & Skene (1979), with classifier and labels for the two observers; Plummer (2015) for a posterior
        with a cut.
    """
    p = probabilities.detach().double().cpu().numpy()
    labels, size, classes = given.cpu().numpy(), len(given), probabilities.shape[1]
    generator = generator_for(seed, "transition posterior")
    inside = np.ones(size, dtype=bool)
    if weights is not None:
        inside = generator.random(size) < weights.cpu().numpy()
    decided = p.argmax(1)
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (decided[inside], labels[inside]), 1)
    confusion = _confusions(p[inside], decided[inside], held_out)
    rows, columns = np.nonzero(table)
    counts, total = table[rows, columns], int(table.sum())
    share = _normalised(p[inside].sum(0) + _LEAST)
    transition = np.full((classes, classes), 0.5 / (classes - 1))
    np.fill_diagonal(transition, 0.5)
    matrices, rates = [], []
    for draw in range(_BURN_IN + draws):
        right, wrong = generator.random(2) * (1, 0.5) if trained_on else (0.0, 0.0)
        m = _decisions(_dirichlet(generator, confusion), rows, columns, right, right * wrong)
        for sweep in range(_STEPS + _SWEEPS):
            drawing = sweep >= _STEPS  # before, expectation maximisation leads to where this M has its posterior
            responsibilities = _normalised(share[:, None] * m * transition[:, columns], axis=0)
            of_class = generator.multinomial(counts, responsibilities.T).T if drawing else counts * responsibilities
            labelled = _summed(of_class, columns, classes)
            kept = np.trace(labelled) / max(1, total)
            settled = partial(_dirichlet, generator) if drawing else _normalised
            transition = settled(_prior(kept, total, classes) + labelled)
            share = settled(1 + labelled.sum(1))
        if draw >= _BURN_IN:
            matrices.append(transition)
            rates.append(1 - np.trace(labelled) / size)
    return TransitionPosterior(torch.from_numpy(np.stack(matrices)), torch.tensor(rates, dtype=torch.float64))


def _confusions(p: np.ndarray, decided: np.ndarray, held_out: tuple[Tensor, Tensor] | None) -> np.ndarray:
    """Parameters of the Dirichlet of M[c, ·], [K, K]."""
    classes = p.shape[1]
    counts = _OWN_WORD * _normalised(_summed(p.T, decided, classes) + _LEAST * np.eye(classes))
    if held_out is not None:
        decisions, truth = (part.cpu().numpy() for part in held_out)
        np.add.at(counts, (truth, decisions), 1)
    return counts + _LEAST / classes + _DOUBT / (classes - 1) * (1 - np.eye(classes))


def _decisions(confusion: np.ndarray, decided: np.ndarray, given: np.ndarray, right: float, wrong: float) -> np.ndarray:
    """p(k | c, y) of some decisions k and labels y for every class c, [K, cells].

    Args:
        confusion: M, [K, K].
        decided, given: k and y, int64 [cells].
        right, wrong: shares of M's errors in which a right, or a wrong, label is followed.
    """
    own = np.arange(len(confusion))[:, None]
    followed = np.where(own == given, right, wrong)
    errors = 1 - np.diag(confusion)[:, None]
    plain = confusion[:, decided]
    return np.where(own == decided, plain, plain * (1 - followed)) + (decided == given) * followed * errors


def _summed(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Each row's sums over the entries of a group, [R, count], from values [R, n] and their groups, int64 [n]."""
    return np.stack([np.bincount(groups, weights=row, minlength=count) for row in values])


def _prior(kept: float, size: int, classes: int) -> np.ndarray:
    """The Dirichlet's parameters for T, [K, K]: symmetric noise, of which a share ``kept`` is none."""
    symmetric = np.full((classes, classes), (1 - kept) / (classes - 1))
    np.fill_diagonal(symmetric, kept)
    return np.maximum(_SHRINKAGE * size / classes * symmetric, _LEAST)


def _dirichlet(generator: np.random.Generator, concentration: np.ndarray) -> np.ndarray:
    """A draw, or one a row."""
    return _normalised(generator.standard_gamma(concentration) + 1e-300)


def _normalised(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return values / values.sum(axis=axis, keepdims=True)


def _interval(draws: Tensor, level: float) -> tuple[Tensor, Tensor]:
    tail = (1 - level) / 2
    return draws.quantile(tail, dim=0), draws.quantile(1 - tail, dim=0)
