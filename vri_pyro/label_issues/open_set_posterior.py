"""The posterior of the examples that belong to none of the classes, by how unlike the trusted ones they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import expit, logsumexp

from vri_pyro.data import generator_for

_BINS = 1000  # of the rank of an example among the noisy ones
_LABELS = 10_000  # noisy labels from which the curves are judged, at most
_TRUSTED = 150.0  # trusted examples, likewise; more would outweigh the labels where they are no random sample
_NOTHING = 0.9  # prior probability that all examples belong to the classes
_DEPENDING = 0.5  # prior probability that the noise depends on the example, if all do
_BY_LABELS = 10.0  # nats by which labels prefer a curve, at most; trusted examples replace them
_SHARES = 0.01, 0.8  # of examples of no class, of the curves
_AT_THE_FRONT = 0.05  # greatest probability of no class of the example that is most like the trusted ones
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class OpenSetPosterior:
    """Draws of the probability of each of N examples that it belongs to none of the classes.

    Attributes:
        places: bin of each example's rank by each criterion, int64 [S, N].
        odds: how much more probable the given label is if the example is of no class than if it is of some, [N].
        possible: whether the example may be of no class, bool [N].
        drawn: criterion and curve of each draw, int64 [D, 2]; criterion -1 if all examples belong to the classes.
    """

    places: np.ndarray
    odds: np.ndarray
    possible: np.ndarray
    drawn: np.ndarray

    def of_draw(self, number: int) -> np.ndarray:
        """Return the probability that each example is of no class, in one of the draws, [N]."""
        criterion, curve = self.drawn[number].tolist()
        if criterion < 0:
            return np.zeros(len(self.odds))
        before = _curves()[curve][self.places[criterion]] * self.possible
        return np.asarray(before * self.odds / (before * self.odds + 1 - before))

    def mean(self) -> np.ndarray:
        """Return the posterior probability that each example is of no class, [N]."""
        total = np.zeros(len(self.odds))
        for number in range(len(self.drawn)):
            total += self.of_draw(number)
        return total / len(self.drawn)


def open_set_posterior(
    noisy: Sequence[np.ndarray],
    trusted: Sequence[np.ndarray],
    weights: np.ndarray,
    odds: np.ndarray,
    possible: np.ndarray,
    draws: int,
    seed: int,
) -> OpenSetPosterior:
    """Infer which examples are of no class from criteria that are greater for those unlike the trusted examples.

    The probability that an example is of no class is a curve f(u) of its rank u among the noisy examples, from 0 for
    the one most like the trusted examples to 1: h σ((u − t) / τ), on a grid of t, τ and h. Trusted examples are of some
    class, so the density of their ranks is (1 − f(u)) / (1 − ∫f). With a prior probability of 0.9 there are no examples
    of no class. The mean rank by all criteria is one more criterion, and one is right, all with equal prior
    probability.

    Labels of examples of some class follow from the class, those of others do not. So labels tell which curve it is.
    They do not tell whether the examples at its upper end are of no class: noise that depends on the example, along the
    same curve, makes their labels equally random. This is the second hypothesis; the third is that labels follow from
    the class everywhere. Between the first two, only the trusted examples decide, because under the second their ranks
    are uniform. That trusted examples are unlike the others can have another cause: they may be no random sample. Then
    the labels speak for the third hypothesis, unless classes are few and noise is frequent, so the trusted examples
    count at most as 150. The predictions behind the labels' likelihood are not exactly calibrated, so it has a power by
    which the labels prefer a curve by at most 10 nats, the less the more examples are trusted, and not at all from 150.

    Args:
        noisy: criteria of the N noisy examples, [N] each.
        trusted: criteria of the M trusted examples, [M] each.
        weights: how much more often examples like each trusted one are among the noisy examples, [M].
        odds: how much more probable the given label is if the example is of no class than if it is of some, [N].
        possible: whether the noisy example may be of no class, bool [N].
        draws: number of draws.
        seed: random seed.

    Reference: the curve is a ratio of densities, as in Sugiyama et al., Density ratio estimation in machine learning,
        2012; the prior of none at all is that of a spike and slab, Mitchell & Beauchamp, JASA 1988; the power of the
        likelihood is that of Grünwald & van Ommen, Inconsistency of Bayesian inference for misspecified linear models,
        Bayesian Analysis 2017.
    """
    generator, among = generator_for(seed, "open set"), np.flatnonzero(possible)
    if len(weights) < 2 or not weights.any() or not len(among):
        return OpenSetPosterior(np.zeros((1, len(odds)), dtype=np.int64), odds, possible, np.full((draws, 2), -1))
    ranks = [(_ranks(one[among], one), _ranks(one[among], other)) for one, other in zip(noisy, trusted, strict=True)]
    both = [np.mean(parts, axis=0) for parts in zip(*ranks, strict=True)]
    ranks.append((_ranks(both[0][among], both[0]), _ranks(both[0][among], both[1])))
    places, known = (np.stack([_bins(part) for part in parts]) for parts in zip(*ranks, strict=True))
    some = among[generator.permutation(len(among))[:_LABELS]]
    size = min(weights.sum() ** 2 / (weights**2).sum(), _TRUSTED)
    effective = weights * size / weights.sum()
    gains = np.stack([_gain(own[some], odds[some]) for own in places])
    power = min(1.0, _BY_LABELS * (1 - size / _TRUSTED) / max(gains.max(), _LEAST))
    by_labels = _log_prior() - np.log(len(places)) + np.where(gains > 0, power * gains, gains)
    logs = by_labels + np.stack([_log_of_ranks() @ np.bincount(theirs, effective, _BINS) for theirs in known])
    evidence = logsumexp(logs)
    otherwise = np.logaddexp(np.log(1 - _DEPENDING), np.log(_DEPENDING) + logsumexp(by_labels))
    something = expit(evidence - otherwise + np.log(1 / _NOTHING - 1))
    chosen = generator.choice(logs.size, draws, p=np.exp(logs - evidence).ravel())
    drawn = np.stack(np.unravel_index(chosen, logs.shape), axis=1)
    drawn[generator.random(draws) >= something] = -1
    return OpenSetPosterior(places, odds, possible, drawn)


def _ranks(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the ranks of values among others, from 0 to 1; the middle one where values are equal."""
    ordered = np.sort(among)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))


def _bins(ranks: np.ndarray) -> np.ndarray:
    return np.minimum((_BINS * ranks).astype(np.int64), _BINS - 1)


def _gain(places: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Return by how much each curve makes the labels of examples more probable, [C], in nats."""
    curves = _curves()[:, places]
    return np.asarray(np.log(curves * odds + 1 - curves).sum(1))


@cache
def _curves() -> np.ndarray:
    """Return the curves at the middle of the bins, [C, bins]."""
    grid = np.meshgrid(np.linspace(0.02, 1.2, 60), [0.01, 0.03, 0.1, 0.2], [0.25, 0.5, 0.75, 1.0], indexing="ij")
    place, softness, height = (part.reshape(-1, 1) for part in grid)
    found = height * expit(((np.arange(_BINS) + 0.5) / _BINS - place) / softness)
    share = found.mean(1)
    return np.asarray(found[(share > _SHARES[0]) & (share < _SHARES[1]) & (found[:, 0] < _AT_THE_FRONT)])


@cache
def _log_of_ranks() -> np.ndarray:
    """Return the log density of the rank of an example of some class under each curve, [C, bins]."""
    curves = _curves()
    return np.asarray(np.log(np.maximum(1 - curves, _LEAST) / (1 - curves.mean(1, keepdims=True))))


@cache
def _log_prior() -> np.ndarray:
    """Return the log prior probability of each curve, [C]; uniform in the log share of examples of no class."""
    share = np.log(_curves().mean(1))
    of = np.digitize(share, np.linspace(np.log(_SHARES[0]), np.log(_SHARES[1]), 21))
    weights = 1 / np.bincount(of)[of]
    return np.asarray(np.log(weights / weights.sum()))
