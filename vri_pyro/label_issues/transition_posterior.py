"""Posterior of the transition matrix and the noise rate, given an imperfect classifier's decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import generator_for
from vri_pyro.label_issues.many_classes import ManyClasses
from vri_pyro.label_issues.two_observers import TwoObservers
from vri_pyro.utils.errors import UserError

_LEAST = 1.0  # pseudo-count per class in the classifier's own estimates: on the diagonal, and once more over the row
_CHAINS = 20
_AT_ONCE = 2_000_000  # maximum number of entries of an array over all chains
_MANY = 20_000  # pairs of decision and label times classes, above which the sampler for many classes is used


class TransitionPosterior(NamedTuple):
    """Draws from the posterior of a transition matrix.

    Attributes:
        transition: transition matrices, float64 [draws, K, K]; T[c, k] is the probability that an example of class c
            has the given label k. With many classes these are fewer, evenly spaced draws, with at most 20 million
            entries together.
        noise_rate: share of the given labels that are wrong, [draws].
    """

    transition: Tensor
    noise_rate: Tensor

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Return the low and high ends of the credible interval of each entry of T, [K, K] each."""
        return _interval(self.transition, level)

    def noise_rate_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the low and high end of the credible interval of the noise rate."""
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
    progress: Callable[[float], None] | None = None,
    pairs: tuple[Tensor, Tensor] | None = None,
    most_followed: float = 1.0,
) -> TransitionPosterior:
    """Sample the transition matrix and the noise rate given decisions and labels, by Gibbs sampling.

    In the model, an example has the class c ~ π. The classifier decides on class k ~ M[c, ·] and the given label is
    y ~ T[c, ·], independently given c. The counts of (k, y) are therefore sufficient statistics. The priors are
    described at :class:`~vri_pyro.label_issues.two_observers.TwoObservers`. The classifier's confusion matrix M is
    inferred from held-out trusted examples and from the given labels; the classifier's own probabilities say
    beforehand how often it errs in each class, but not which classes it confuses.

    A classifier that was trained on these labels is not independent of them: it may have memorised a label and predict
    it. This happens more often for correct labels than for wrong ones. The decisions do not reveal how often, so the
    intervals allow for a range of shares: the classifier follows a share u ~ Beta(1/2, 1) of the correct labels and a
    share u b, b ~ Beta(1/2, 15), of the wrong ones. Each draw uses new values of u and b from these distributions,
    without inferring them from the labels. If the classifier has memorised most labels, this is not enough and the
    intervals are far too low.

    Verified pairs are examples whose class and given label are both known. They are draws from T and from π, and are
    added to their counts. Given the class, whether an example was checked must not depend on anything but its decision
    and its label; if it depends on them, as when the most suspicious labels are checked, the decisions of all pairs
    have to be in ``held_out``.

    If the number of distinct pairs (k, y) times the number of classes is above 20,000, which 28 classes can reach,
    :class:`~vri_pyro.label_issues.many_classes.ManyClasses` samples from the same posterior, with a single, shorter
    chain.

    Each draw of a chain starts from the chain's previous state with new u and b, and is taken after a fixed number of
    sweeps. It is therefore only approximately a draw from the posterior given its u and b.

    Args:
        probabilities: calibrated probabilities of the true class, [N, K], N >= 1, K >= 2.
        given: given labels, int64 [N].
        weights: probability that an example belongs to any of the classes, [N]; 1 when None. Examples of no class count
            as wrongly labelled. All draws of T share one random selection of the examples that belong to a class; each
            draw of the noise rate has its own.
        held_out: decisions on held-out trusted examples and their true labels, int64 [M] each.
        trained_on: whether the classifier was trained on these labels.
        draws: number of draws.
        seed: random seed.
        progress: function that is called with the share of the work that is done, from 0 to 1.
        pairs: classes and given labels of verified pairs, int64 [P] each, which are not among the N examples; None if
            there are none. The noise rate is that of the N examples.
        most_followed: largest share of the correct labels that the classifier may follow: u ~ ``most_followed`` ·
            Beta(1/2, 1).

    Raises:
        UserError: there are no examples, fewer than two classes, or no draws.

    Reference: Dawid & Skene (1979), with the classifier and the given labels as the two observers; Plummer (2015) for
        the cut posterior, in which the labels do not inform u and b.
    """
    if len(given) == 0 or probabilities.shape[1] < 2:
        raise UserError(
            f"probabilities has shape {list(probabilities.shape)}; expected at least one example and two classes"
        )
    p = probabilities.detach().cpu()
    decided = p.argmax(1)

    def implied(inside: np.ndarray) -> np.ndarray:
        found = torch.zeros(p.shape[1], p.shape[1], dtype=torch.float64)
        for rows in torch.from_numpy(np.flatnonzero(inside)).split(max(1, _AT_ONCE // p.shape[1])):
            found.index_add_(0, decided[rows], p[rows].double())
        return found.numpy().T

    return posterior_of_decisions(
        decided, implied, given, weights, held_out, trained_on, draws, seed, progress, pairs, most_followed
    )


def posterior_of_decisions(
    decided: Tensor,
    implied: Callable[[np.ndarray], np.ndarray],
    given: Tensor,
    weights: Tensor | None = None,
    held_out: tuple[Tensor, Tensor] | None = None,
    trained_on: bool = False,
    draws: int = 200,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    pairs: tuple[Tensor, Tensor] | None = None,
    most_followed: float = 1.0,
) -> TransitionPosterior:
    """Sample the posterior as :func:`transition_posterior`, from decisions instead of probabilities.

    Args:
        decided: the classifier's decisions, int64 [N].
        implied: function that returns the sums of the class probabilities over some examples, given as a mask,
            bool [N], by class and decision, [K, K].
        given, weights, held_out, trained_on, draws, seed, progress, pairs, most_followed: as for
            :func:`transition_posterior`.
    """
    if draws < 1:
        raise UserError(f"draws is {draws}; expected an integer >= 1")
    labels, size, generator = given.cpu().numpy(), len(given), generator_for(seed, "transition posterior")
    of_any_class = np.ones(size) if weights is None else weights.cpu().numpy()
    inside = generator.random(size) < of_any_class
    own_word = implied(inside)
    own_word = own_word + _LEAST * np.eye(len(own_word)) + _LEAST / len(own_word)
    trusted, known = np.zeros(own_word.shape), np.zeros(own_word.shape)
    if held_out is not None:
        decisions, truth = (part.cpu().numpy() for part in held_out)
        np.add.at(trusted, (truth, decisions), 1)
    if pairs is not None:
        np.add.at(known, tuple(part.cpu().numpy() for part in pairs), 1)
    decided_inside, labels = decided.cpu().numpy()[inside], labels[inside]
    cells = len(np.unique(decided_inside * len(own_word) + labels))
    kind = TwoObservers if cells * len(own_word) <= _MANY else ManyClasses
    observers = kind(decided_inside, labels, own_word, trusted, generator, known)
    chains = max(1, min(_CHAINS, draws, _AT_ONCE // max(1, observers.entries)))
    matrices, right = observers.sample(draws, chains, most_followed if trained_on else 0.0, progress)
    counts = np.array([(generator.random(size) < of_any_class).sum() for _ in range(draws)])
    rate = 1 - right / max(1, inside.sum()) * counts / size
    return TransitionPosterior(torch.from_numpy(matrices), torch.from_numpy(rate))


def _interval(draws: Tensor, level: float) -> tuple[Tensor, Tensor]:
    tail = (1 - level) / 2
    return draws.quantile(tail, dim=0), draws.quantile(1 - tail, dim=0)
