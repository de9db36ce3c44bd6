"""Conformity scores: how badly a class fits an input, from the predicted probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from vri_pyro.utils.errors import UserError, described

SCORES = ("lac", "aps")


def check_score(score: Any) -> None:
    """Raise a :class:`~vri_pyro.utils.errors.UserError` if a name is none of :data:`SCORES`."""
    if not isinstance(score, str) or score not in SCORES:
        raise UserError(f"score is {described(score)}; expected one of {', '.join(map(repr, SCORES))}")


def conformity_scores(probabilities: np.ndarray, score: str, last: np.ndarray | None = None) -> np.ndarray:
    """Compute the score of every class for every input; a prediction set holds the classes with low scores.

    * ``lac``: one minus the probability of the class. It gives the smallest sets on average.
    * ``aps``: the probability of all more probable classes, plus the share ``last`` of the class's own probability. It
      gives larger sets to uncertain inputs and smaller ones to certain inputs.

    Args:
        probabilities: class probabilities, [N, K].
        score: "lac" or "aps".
        last: share of a class's own probability that counts for ``aps``, from 0 to 1, [N]; 1 if None. Uniform random
            numbers make the coverage exact; without them it is larger than asked for.

    Returns:
        scores, [N, K].

    Raises:
        UserError: the score is unknown.

    Reference: Sadinle et al., Least ambiguous set-valued classifiers, JASA 2019, for ``lac``; Romano et al.,
        Classification with valid and adaptive coverage, NeurIPS 2020, for ``aps``.
    """
    check_score(score)
    if score == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    own = ranked if last is None else ranked * last[:, None]
    found = np.empty_like(probabilities)
    np.put_along_axis(found, order, ranked.cumsum(1) - ranked + own, axis=1)
    return found
