"""The transition matrix and the noise rate with their uncertainty, from decisions that are wrong now and then."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import generator_for
from vri_pyro.label_issues.two_observers import TwoObservers
from vri_pyro.utils.errors import UserError

_LEAST = 1.0  # examples of a class decided on rightly, and as many on any class, as if a classifier had said so
_CHAINS = 20
_AT_ONCE = 2_000_000  # entries of an array of all chains


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
    that counts of (k, y) are all that matters; :class:`TwoObservers` has the priors. How the classifier confuses
    classes, M, is learned from trusted examples that training has not seen, from its own probabilities, which may say
    as much as the data find them to be right, and from the labels.

    A classifier that was trained on these labels is not independent of them: it may have learned a label by heart, a
    right one more easily than a wrong one, and decide as it says. Nothing in its decisions tells how often, so the
    intervals allow for that: it follows a right label in a share u ~ Beta(1/2, 1) and a wrong one in a share u b,
    b ~ Beta(1/2, 15), both drawn anew for every draw, whatever the labels say of them. A classifier that has learned
    most labels by heart is beyond that: of it the intervals are far too low.

    A draw starts from the state of the one before on its chain, with u and b of its own, and is taken some sweeps
    later: it is near what they would give, not quite there.

    Args:
        probabilities: of the true class, calibrated, [N, K], of at least one example and two classes.
        given: the labels, int64 [N].
        weights: the probability that an example is of any class, [N]; those that are not count as wrongly labelled.
            1 when None. T is that of one draw of which are inside, the noise rate's draws have their own.
        held_out: decisions on trusted examples and their classes, int64 [M] each.
        trained_on: whether the classifier was trained on these labels.
        draws: how many.
        seed: of everything random.

    Raises:
        UserError: without an example, with fewer than two classes, or without a draw.

    Reference: Dawid & Skene (1979), with classifier and labels for the two observers; Plummer (2015) for a posterior
        with a cut, which is what keeps u and b from the labels.
    """
    if len(given) == 0 or probabilities.shape[1] < 2:
        raise UserError(
            f"probabilities has shape {list(probabilities.shape)}; a transition matrix needs an example and two classes"
        )
    if draws < 1:
        raise UserError(f"draws is {draws}; give at least 1")
    p = probabilities.detach().double().cpu().numpy()
    labels, size, classes = given.cpu().numpy(), len(given), probabilities.shape[1]
    generator = generator_for(seed, "transition posterior")
    of_any_class = np.ones(size) if weights is None else weights.cpu().numpy()
    inside = generator.random(size) < of_any_class
    decided = p[inside].argmax(1)
    own_word = _LEAST * np.eye(classes) + _LEAST / classes
    np.add.at(own_word.T, decided, p[inside])
    trusted = np.zeros((classes, classes))
    if held_out is not None:
        decisions, truth = (part.cpu().numpy() for part in held_out)
        np.add.at(trusted, (truth, decisions), 1)
    observers = TwoObservers(decided, labels[inside], own_word, trusted, generator)
    chains = max(1, min(_CHAINS, draws, _AT_ONCE // max(1, observers.entries)))
    matrices, right = observers.sample(draws, chains, trained_on)
    counts = np.array([(generator.random(size) < of_any_class).sum() for _ in range(draws)])
    rate = 1 - right / max(1, inside.sum()) * counts / size
    return TransitionPosterior(torch.from_numpy(matrices), torch.from_numpy(rate))


def _interval(draws: Tensor, level: float) -> tuple[Tensor, Tensor]:
    tail = (1 - level) / 2
    return draws.quantile(tail, dim=0), draws.quantile(1 - tail, dim=0)
