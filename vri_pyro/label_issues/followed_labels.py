"""How many labels a classifier follows, measured by the labels that it was not trained on: joint Metropolis moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit, logit

from vri_pyro.label_issues.error_rates import ErrorRates

if TYPE_CHECKING:
    from vri_pyro.label_issues.two_observers import _Chains, _Matrix

_FINEST, _COARSEST = 3e-3, 1.0  # standard deviations of the proposals
_LEAST = 1e-12  # distance of shares from 0 and 1
_TINY = 1e-40


class Followed(NamedTuple):
    """Shares of labels that the classifier predicts because it was trained on them, for B chains.

    Attributes:
        right: u, the share of the correct labels, [B].
        of_wrong: b; the share of the wrong labels is u b, [B].
    """

    right: np.ndarray
    of_wrong: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """The share of the wrong labels, u b, [B]."""
        return self.right * self.of_wrong


class FollowedMove:
    """Metropolis moves of u, b and the levels of the error rates of both matrices, with the true classes summed out.

    From the labels that the classifier was trained on, u and its error rate e are hardly distinguishable: it visibly
    errs on a share (1 − u) e of the correct labels. Moves along this ridge keep that product. Each of the four unknowns
    is moved by a normal amount on the scale of log odds, with a standard deviation that is drawn log-uniformly. The
    move is symmetric, and has no Jacobian in these coordinates.

    Args:
        tables: number of examples with decision k and label y on whose labels the classifier was trained, and of the
            others, [2, K, K].
        trusted: number of trusted examples of class c with decision k, [K, K].
        pairs: number of verified pairs of class c with given label y, [K, K].
        rates: priors of the error rates of M and T.
        prior: parameters of the beta priors of u and b.
        generator: source of randomness.
    """

    def __init__(
        self,
        tables: np.ndarray,
        trusted: np.ndarray,
        pairs: np.ndarray,
        rates: tuple[ErrorRates, ErrorRates],
        prior: tuple[tuple[float, float], tuple[float, float]],
        generator: np.random.Generator,
    ) -> None:
        self._trained_on, self._unseen = tables
        self._trusted, self._pairs = trusted, pairs
        self._rates, self._prior, self._generator = rates, prior, generator

    def __call__(self, state: _Chains, followed: Followed) -> tuple[_Chains, Followed]:
        """Move every chain once, or leave it where it is."""
        u, b, errors, noises = self._steps(len(followed.right))
        new = Followed(_shifted(followed.right, u), _shifted(followed.of_wrong, b))
        errors += np.log1p(-followed.right) - np.log1p(-new.right)
        moved = state._replace(
            confusion=_with_odds(state.confusion, errors), transition=_with_odds(state.transition, noises)
        )
        gain = self._log_density(moved, new) - self._log_density(state, followed)
        accepted = np.log(self._generator.random(len(u))) < gain
        state = moved._replace(
            confusion=_chosen(accepted, moved.confusion, state.confusion),
            transition=_chosen(accepted, moved.transition, state.transition),
        )
        kept = (np.where(accepted, *pair) for pair in zip(new, followed, strict=True))
        return state, Followed(*kept)

    def _steps(self, chains: int) -> np.ndarray:
        scale = np.exp(self._generator.uniform(np.log(_FINEST), np.log(_COARSEST), (4, chains)))
        return scale * self._generator.standard_normal((4, chains))

    def _log_density(self, state: _Chains, followed: Followed) -> np.ndarray:
        """Return the log density of the counts and of what a move changes, in log odds, up to a constant, [B]."""
        found = np.zeros(len(followed.right))
        for values, (first, second) in zip(followed, self._prior, strict=True):
            found += first * np.log(values) + second * np.log1p(-values)
        for matrix, rates in zip((state.confusion, state.transition), self._rates, strict=True):
            found += rates.log_prior(matrix.shared, matrix.wrong)
        labelled, confusion = state.share[:, :, None] * state.transition.entries, state.confusion.entries
        found += _log_of(labelled, self._pairs) + _log_of(confusion, self._trusted)
        found += _log_of(confusion.transpose(0, 2, 1) @ labelled, self._unseen)
        return found + _log_of(joint(confusion, labelled, followed.right, followed.wrong), self._trained_on)


def joint(confusion: np.ndarray, labelled: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return p(k, y) of examples whose labels the classifier follows in part, [B, K, K].

    Args:
        confusion: M, [B, K, K].
        labelled: p(c, y), [B, K, K].
        right, wrong: shares of the correct and of the wrong labels that it follows, [B] each.
    """
    right, wrong = right[:, None], wrong[:, None]
    of_right = labelled.diagonal(axis1=1, axis2=2)
    found = (1 - wrong[..., None]) * confusion.transpose(0, 2, 1) @ labelled
    found -= (right - wrong)[..., None] * confusion.transpose(0, 2, 1) * of_right[:, None]
    rows = np.arange(found.shape[1])
    found[:, rows, rows] += wrong * labelled.sum(1) + (right - wrong) * of_right
    return found


def _shifted(share: np.ndarray, odds: np.ndarray) -> np.ndarray:
    return np.asarray(expit(logit(share) + odds).clip(_LEAST, 1 - _LEAST))


def _with_odds(matrix: _Matrix, odds: np.ndarray) -> _Matrix:
    """Shift the log odds of all error rates, and of what they share."""
    wrong = expit(logit(matrix.wrong) + odds[:, None]).clip(_TINY, 1 - np.finfo(float).eps)
    entries = matrix.entries * (wrong / matrix.wrong)[..., None]
    rows = np.arange(entries.shape[1])
    entries[:, rows, rows] = 1 - wrong
    shared = matrix.shared._replace(shift=matrix.shared.shift + odds)
    return matrix._replace(entries=entries, wrong=wrong, shared=shared)


def _log_of(probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Log probability of counts, [K, K], under probabilities, [B, K, K]; [B]."""
    some = np.nonzero(counts)
    return np.asarray(np.log(probabilities[:, *some].clip(_TINY)) @ counts[some])


def _chosen(accepted: np.ndarray, new: _Matrix, old: _Matrix) -> _Matrix:
    """Choose between the matrices of each chain."""
    shift = np.where(accepted, new.shared.shift, old.shared.shift)
    return new._replace(
        entries=np.where(accepted[:, None, None], new.entries, old.entries),
        wrong=np.where(accepted[:, None], new.wrong, old.wrong),
        shared=new.shared._replace(shift=shift),
    )
