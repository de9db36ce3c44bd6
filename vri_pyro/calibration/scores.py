"""Conformity scores: how badly a class fits an input, from the predicted probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from vri_pyro.utils.errors import UserError, described

SCORES = ("lac", "aps")
_GREATEST = 1000.0  # log-odds that no quotient of two numbers in double precision reaches


def check_score(score: Any) -> None:
    """Raise a :class:`~vri_pyro.utils.errors.UserError` if a name is none of :data:`SCORES`."""
    if not isinstance(score, str) or score not in SCORES:
        raise UserError(f"score is {described(score)}; expected one of {', '.join(map(repr, SCORES))}")


def conformity_scores(probabilities: np.ndarray, score: str, last: np.ndarray | None = None) -> np.ndarray:
    """Compute the score of every class for every input; a prediction set holds the classes with low scores.

    A score is the log-odds log(s / (1 − s)) of

    * ``lac``: s = one minus the probability of the class. It gives the smallest sets on average.
    * ``aps``: s = the probability of all more probable classes, plus the share ``last`` of the class's own probability.
      It gives larger sets to uncertain inputs and smaller ones to certain inputs.

    Log-odds have the order of s. They also tell apart the scores of an overconfident classifier, of which s rounds to 0
    or 1: both s and 1 − s are sums of probabilities, without a difference.

    Args:
        probabilities: class probabilities, [N, K].
        score: "lac" or "aps".
        last: share of a class's own probability that counts for ``aps``, from 0 to 1, [N]; 1 if None. Uniform random
            numbers make the coverage exact; without them it is larger than asked for.

    Returns:
        scores, float64 [N, K]; 1000 where s is 1, and -1000 where it is 0.

    Raises:
        UserError: the score is unknown.

    Reference: Sadinle et al., Least ambiguous set-valued classifiers, JASA 2019, for ``lac``; Romano et al.,
        Classification with valid and adaptive coverage, NeurIPS 2020, for ``aps``.
    """
    check_score(score)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    own = np.take_along_axis(probabilities, order, axis=1)
    above, below = _sums_before(own), _sums_before(own[:, ::-1])[:, ::-1]
    if score == "lac":
        odds = above + below, own
    else:
        share = np.ones((len(own), 1)) if last is None else last[:, None]
        odds = above + share * own, below + (1 - share) * own
    found = np.empty_like(probabilities)
    with np.errstate(divide="ignore", invalid="ignore"):  # probabilities of 0; an input without any is NaN
        np.put_along_axis(found, order, np.log(odds[0]) - np.log(odds[1]), axis=1)
    return found.clip(-_GREATEST, _GREATEST)


def _sums_before(values: np.ndarray) -> np.ndarray:
    """Sum the values before each one in its row, [N, K]."""
    found = np.zeros_like(values)
    found[:, 1:] = values[:, :-1].cumsum(1)
    return found
