"""Unbiased terms of a rate from draws without replacement, with the scores as control variate and with their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

UNANSWERED = -1
_PRIOR_SLOPE, _PRIOR_DRAWS = 0.5, 10  # slope of outcome against score that is assumed at first, and its weight in draws


@dataclass(frozen=True)
class Draws:
    """Items drawn one after the other, without replacement, from a finite population of N items.

    Attributes:
        outcome: 1 if the item's label is wrong, 0 if it is right, -1 if it is unknown, for all N items. Outcomes of
            items that were checked without being drawn are known, too.
        score: score of each item from 0 to 1, fixed before the first draw, [N]. A score near the probability of a wrong
            label makes intervals narrow; no score makes them invalid.
        order: positions of the drawn items in the order of the draws, int64 [n].
        weight: sampling weight of each item, above 0, by round of draws, [rounds, N]. The probability of a draw is the
            item's weight divided by the sum of the weights of all items that are still in the frame.
        round: round of each draw, int64 [n], ascending from 0.
        out: the first round whose draws exclude the item although it was not drawn, int64 [N]; ``rounds`` or more for
            an item that is never excluded.
    """

    outcome: np.ndarray
    score: np.ndarray
    order: np.ndarray
    weight: np.ndarray
    round: np.ndarray
    out: np.ndarray

    def of(self, members: np.ndarray) -> Draws:
        """Return the draws within a part of the population, such as one class.

        Given which draws hit the part, each of them is a draw from the part with probabilities in proportion to the
        same weights.

        Args:
            members: whether each item belongs to the part, bool [N].
        """
        new = np.cumsum(members) - 1
        drawn = members[self.order]
        return Draws(
            self.outcome[members],
            self.score[members],
            new[self.order[drawn]],
            self.weight[:, members],
            self.round[drawn],
            self.out[members],
        )

    @property
    def known(self) -> tuple[float, float]:
        """The smallest and the largest rate that are consistent with the known outcomes."""
        wrong, unknown = (self.outcome == 1).mean(), (self.outcome == UNANSWERED).mean()
        return float(wrong), float(wrong + unknown)


class Terms(NamedTuple):
    """One term per draw; given the draws before it, the rate of the population lies between the means of two values.

    Without unanswered items, both values are the same, and their conditional mean is the rate.

    Attributes:
        low, high: the term with unanswered items counted as right, and as wrong, [n, ...].
        least, most: bounds of the terms that hold for every outcome of the draw, [n, ...].
        scale: share of the population that was still to be drawn, [n, ...].
        level, slope: the variance of a term is about scale² (level + slope m - m²) if the rate is m, [n, ...].
    """

    low: np.ndarray
    high: np.ndarray
    least: np.ndarray
    most: np.ndarray
    scale: np.ndarray
    level: np.ndarray
    slope: np.ndarray

    def mirrored(self) -> Terms:
        """Return the terms of one minus the rate."""
        return Terms(
            1 - self.high,
            1 - self.low,
            1 - self.most,
            1 - self.least,
            self.scale,
            self.level + self.slope - 1,
            2 - self.slope,
        )


def terms_of(draws: Draws) -> Terms:
    """Compute the terms of the rate of an outcome.

    Let q be the sampling probability of the drawn item, w its outcome and s its score. Let λ be a coefficient that
    depends on earlier draws only. The term is the share of wrong labels already known, plus λ times the sum of the
    scores that are left over N, plus (w - λ s) / (N q). Its mean given the draws before it is the rate, whatever the
    scores are. With scores of 0, there is no control variate.

    Reference: Shekhar, Xu, Lipton, Liang and Ramdas, Risk-limiting financial audits via weighted sampling without
    replacement, UAI 2023.
    """
    count, order = len(draws.outcome), draws.order
    low = (draws.outcome[order] == 1).astype(float)
    high = low + (draws.outcome[order] == UNANSWERED)
    score, frame = draws.score[order], _frame(draws)
    known_low, known_high = _before(low) / count + frame.known_low, _before(high) / count + frame.known_high
    inverse = frame.weight / (count * draws.weight[draws.round, order])  # 1 / (N q)
    slope = _slopes(draws, low, inverse)
    lam = np.clip(slope, -1, 1)
    rest = lam * frame.score / count
    furthest, scored = frame.largest * frame.weight / count, frame.largest_scored * frame.weight / count
    above = np.where(lam >= 0, furthest * (1 - lam * draws.score.min()), furthest - lam * scored)
    level, rising = _variance(draws, slope, lam)
    return Terms(
        low=known_low + rest + inverse * (low - lam * score),
        high=known_high + rest + inverse * (high - lam * score),
        least=known_low + rest - np.maximum(lam, 0) * scored,
        most=known_high + rest + above,
        scale=frame.weight / frame.whole,
        level=level,
        slope=rising,
    )


class _Frame(NamedTuple):
    """What is left to be drawn before each draw.

    Attributes:
        weight, score: sums over the items in the frame, [n].
        whole: sum of the weights over the population, [n].
        known_low, known_high: share of the population that is out of the frame without having been drawn and is wrong,
            with unanswered items counted as right, and as wrong, [n].
        largest, largest_scored: largest 1 / weight, and score / weight, [n].
    """

    weight: np.ndarray
    score: np.ndarray
    whole: np.ndarray
    known_low: np.ndarray
    known_high: np.ndarray
    largest: np.ndarray
    largest_scored: np.ndarray


def _frame(draws: Draws) -> _Frame:
    rows = np.empty((7, len(draws.order)))
    taken = np.zeros(len(draws.outcome), dtype=bool)
    for number in np.unique(draws.round):
        now = draws.round == number
        drawn, weight = draws.order[now], draws.weight[number]
        excluded = (draws.out <= number) & ~taken
        excluded[draws.order] = False
        inside = ~taken & ~excluded
        wrong, unknown = draws.outcome[excluded] == 1, draws.outcome[excluded] == UNANSWERED
        inverse = 1 / weight[inside]
        rows[:, now] = [
            weight[inside].sum() - _before(weight[drawn]),
            draws.score[inside].sum() - _before(draws.score[drawn]),
            np.full(len(drawn), weight.sum()),
            np.full(len(drawn), wrong.sum() / len(taken)),
            np.full(len(drawn), (wrong.sum() + unknown.sum()) / len(taken)),
            np.full(len(drawn), inverse.max(initial=0)),
            np.full(len(drawn), (draws.score[inside] * inverse).max(initial=0)),
        ]
        taken[drawn] = True
    return _Frame(*rows)


def _slopes(draws: Draws, outcome: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Estimate the slope of the outcome against the score before each draw from the draws before it, [n].

    It is a weighted regression with a prior that is worth ten draws.
    """
    away = draws.score[draws.order] - draws.score.mean()
    rate = (_before(inverse * outcome) + 0.5) / (_before(inverse) + 1)
    covariance = _before(inverse * away * outcome) - rate * _before(inverse * away)
    prior = _PRIOR_DRAWS * max(float(draws.score.var()), 1e-12)
    return (_PRIOR_SLOPE * prior + covariance) / (prior + _before(inverse * away**2))


def _variance(draws: Draws, slope: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict the variance of each term, as the level and the slope of a polynomial in the rate.

    An item is assumed to be wrong with a probability that is linear in its score.
    """
    mean, size = draws.score.mean(), len(draws.score)
    ratio = draws.weight.sum(1, keepdims=True) / (size * draws.weight)  # 1 / (N q) at the first draw, by round
    zeroth, first, second = ((ratio * draws.score**power).mean(1)[draws.round] for power in range(3))
    level = slope * (first - mean * zeroth) - 2 * lam * slope * (second - mean * first) + lam**2 * (second - mean**2)
    return level, zeroth - 2 * lam * (first - mean)


def _before(values: np.ndarray) -> np.ndarray:
    """Return the cumulative sums without the value itself."""
    return np.cumsum(values) - values
