"""Find label errors from arrays alone, without a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vri_pyro.data.validation import UNCHECKED
from vri_pyro.label_issues.checked_arrays import CheckedArrays, checked_arrays, row_chunks
from vri_pyro.label_issues.chosen_pairs import chosen_by_score
from vri_pyro.label_issues.given_label_predictions import given_label_predictions, votes
from vri_pyro.label_issues.neighbours import nearest_positions
from vri_pyro.label_issues.noise_removal import Scores, confident_transition, decisions, scores
from vri_pyro.label_issues.out_of_sample import cross_validated
from vri_pyro.label_issues.table import PROBABLE
from vri_pyro.label_issues.top_classes import TopClasses
from vri_pyro.label_issues.transition_posterior import TransitionPosterior, posterior_of_decisions
from vri_pyro.utils.errors import UserTypeError
from vri_pyro.utils.numbers import check_integer

_CHOSEN = 1e-4  # p-value below which verified examples were chosen by their scores
_SHOWN_CLASSES = 100  # a larger matrix is not attached to the table, because pandas copies what is


def find_label_issues(
    labels: Any,
    pred_probs: Any = None,
    features: Any = None,
    trusted: Any = None,
    *,
    verified: Any = None,
    classes: Sequence[Hashable] | None = None,
    neighbours: int = 20,
    draws: int = 100,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Rank labels by their probability of being wrong, from arrays.

    Pass ``pred_probs`` from a classifier of your own, ``features`` (an embedding, or a table's columns), or both. The
    probabilities must be out of sample, for instance from cross-validation: no example may be predicted by a classifier
    that was trained on its label. Such a classifier predicts *given* labels, wrong ones included. The method is:

    1. The predictions are calibrated by a temperature and a floor. With features, they are mixed with the predictions
       and the given labels of the nearest neighbours. All of this maximises the likelihood of the given labels.
    2. The transition matrix T is estimated, with its uncertainty, by
       :func:`~vri_pyro.label_issues.transition_posterior`.
    3. The effect of T on the predictions is inverted. The score is the posterior probability that the class is not the
       given label.

    Every example is assumed to belong to one of the classes; for images of no class, use
    :func:`~vri_pyro.label_issues.rank`, which needs the trusted examples of a run.

    Args:
        labels: given labels, [N]: strings, integers or other hashable values of one type, in an array, list, Series
            or Categorical.
        pred_probs: out-of-sample class probabilities, [N, K], rows sum to one. The columns belong to the sorted
            distinct labels, or to ``classes``. When None, they are computed from the features: by logistic regression
            in 5-fold cross-validation if N · D · K is at most 2e8, and from the labels of the nearest neighbours
            otherwise.
        features: features, [N, D], D >= 1. They are standardised per column. When None, no neighbours are used.
        trusted: examples whose label a person has verified, as positions or as a boolean mask [N]. Their labels count
            as correct, and the decisions on them show how often the classifier is right. Their probabilities must be
            out of sample like all others.
        verified: the class that a person has found for each example, [N], beside the label as given in ``labels``;
            None, NaN, -1 or an empty string where nobody has looked. These examples are trusted. In addition, both
            their labels are known, which shows directly how the noise changes labels, if the examples were chosen at
            random or by nothing else than given label and predicted class. If they are the most suspicious among those
            with equal label and prediction, a warning says so, and they are only trusted. Must agree with ``trusted``
            where both are given.
        classes: all classes, in the order of the columns. Needed if a class has no label, or if labels have no order.
        neighbours: number of nearest neighbours, at least 1, by cosine similarity; see
            :func:`~vri_pyro.label_issues.nearest_positions`.
        draws: number of draws of the transition matrix.
        seed: random seed.
        progress: function that is called with the share of the sampling that is done, from 0 to 1.

    Returns:
        one row per example, most suspicious first, with trusted and verified examples last. The columns are

        * ``index``: position in ``labels``;
        * ``given``, ``suggested``: the given and the most probable class;
        * ``verified``: the verified class, None for unchecked examples; only if ``verified`` is passed;
        * ``score``: probability that the label is wrong; 0 for trusted examples, and 0 or 1 for verified ones;
        * ``uncertainty``: normalised entropy of the class, from 0 (certain) to 1;
        * ``is_label_issue``: whether the score is above 0.5.

        ``attrs`` of the table has ``noise_rate``, the estimated share of wrong labels among the unverified ones,
        ``noise_rate_interval``, its 95% interval as a list [low, high], ``classes``, and ``transition_matrix``, a list
        of rows with the probability that an example of the row's class has the column's label; None above 100 classes.
        Without trusted examples, the estimates are only as good as the probabilities are calibrated.

    Raises:
        UserError: an array has an invalid value, shape or length (a ValueError).
        UserTypeError: an array has an invalid type (also a TypeError).

    Warns:
        UserWarning: the verified examples were chosen by how suspicious they look.

    Reference: Northcutt et al., Confident learning: estimating uncertainty in dataset labels, JAIR 2021, for the first
        estimate of T; Dawid & Skene (1979) for its posterior.
    """
    arrays = checked_arrays(labels, pred_probs, features, trusted, classes, verified)
    check_integer("neighbours", neighbours, 1, remedy=" (pass no features to use none).")
    check_integer("draws", draws, 1)
    check_integer("seed", seed, 0)
    if progress is not None and not callable(progress):
        raise UserTypeError(f"progress is {progress!r}; expected a function of the share that is done, or None")
    given, unverified = torch.from_numpy(arrays.codes), torch.from_numpy(~arrays.trusted)
    predicted = _predicted(arrays, given, unverified, neighbours, seed)
    posterior = _transition(predicted, arrays, draws, seed, progress)
    return _table(arrays, scores(predicted, given, posterior.transition.mean(0)), posterior)


def _predicted(arrays: CheckedArrays, given: Tensor, unverified: Tensor, neighbours: int, seed: int) -> TopClasses:
    """Predict the given labels from probabilities, features, or both."""
    size, probabilities, nearest = len(arrays.classes), arrays.pred_probs, None
    if arrays.features is not None:
        features = _standardised(arrays.features)
        nearest = nearest_positions(torch.from_numpy(features), neighbours, seed=seed)
        if probabilities is None:
            probabilities = cross_validated(features, arrays.codes, size, seed)

    def dense(rows: Tensor) -> Tensor:
        if probabilities is None:
            assert nearest is not None
            return votes(given[nearest[rows]], size)
        part = torch.from_numpy(probabilities[rows.numpy()].astype(np.float64))
        return part / part.sum(1, keepdim=True)

    some = unverified.nonzero().squeeze(1)
    return given_label_predictions(dense, given, size, nearest, some, seed)


def _standardised(features: np.ndarray) -> np.ndarray:
    """Scale each column to mean 0 and standard deviation 1, float32 [N, D]; a constant column is 0."""
    chunks = list(row_chunks(features))
    mean = sum(features[rows].sum(0, dtype=np.float64) for rows in chunks) / len(features)
    squares = sum(((features[rows] - mean) ** 2).sum(0) for rows in chunks) / len(features)
    scale = np.where(squares > 0, np.sqrt(squares), 1)
    found = np.empty(features.shape, dtype=np.float32)
    for rows in chunks:
        found[rows] = (features[rows] - mean) / scale
    return found


def _transition(
    predicted: TopClasses,
    arrays: CheckedArrays,
    draws: int,
    seed: int,
    progress: Callable[[float], None] | None,
) -> TransitionPosterior:
    """Estimate the transition matrix of the unverified labels."""
    given, unverified = torch.from_numpy(arrays.codes), torch.from_numpy(~arrays.trusted)
    some = TopClasses(predicted.classes[unverified], predicted.probabilities[unverified], predicted.num_classes)
    first = confident_transition(some, given[unverified])
    found = decisions(predicted, first, unverified)
    pairs = arrays.pairs
    if pairs is not None and _chosen(found.decided, scores(predicted, given, first).wrong, arrays):
        pairs = None
    held_out = None if unverified.all() else (found.decided[~unverified], torch.from_numpy(arrays.known)[~unverified])
    return posterior_of_decisions(
        found.decided[unverified],
        lambda inside: found.implied,
        given[unverified],
        held_out=held_out,
        draws=draws,
        seed=seed,
        progress=progress,
        pairs=None if pairs is None else (torch.from_numpy(pairs.classes), torch.from_numpy(pairs.given)),
    )


def _chosen(decided: Tensor, score: Tensor, arrays: CheckedArrays) -> bool:
    """Return whether the verified examples were chosen by their scores, and warn if so.

    The posterior models how decisions and labels arise, so that a choice by these does no harm. It does not model
    scores: if the most suspicious examples of those with equal decision and label were checked, the others would be
    thought wrong as often as these.
    """
    if arrays.verified is None:
        return False
    checked = arrays.verified != UNCHECKED
    some = checked | ~arrays.trusted
    cells = decided.numpy() * len(arrays.classes) + arrays.codes
    p_value = chosen_by_score(cells[some], score.numpy()[some], checked[some])
    if p_value < _CHOSEN:
        warnings.warn(
            f"the verified examples were chosen by how suspicious their labels look (p = {p_value:.1g}), so they are "
            "trusted but do not count as a sample of the noise; verify randomly chosen examples as well, and pass only "
            "these as verified and the others as trusted, with their verified class in labels",
            stacklevel=4,
        )
        return True
    return False


def _table(arrays: CheckedArrays, found: Scores, posterior: TransitionPosterior) -> pd.DataFrame:
    names = pd.Series(arrays.classes)
    known = arrays.known
    wrong = np.where(arrays.trusted, known != arrays.codes, found.wrong.numpy())
    suggested = np.where(arrays.trusted, known, found.suggested.numpy())
    order = np.lexsort((np.arange(len(wrong)), -wrong, arrays.trusted))
    table = pd.DataFrame(
        {
            "index": order,
            "given": names.to_numpy()[arrays.codes[order]],
            "suggested": names.to_numpy()[suggested[order]],
            **({} if arrays.verified is None else {"verified": _names_or_none(names, arrays.verified[order])}),
            "score": wrong[order],
            "uncertainty": np.where(arrays.trusted, 0.0, found.uncertainty.numpy())[order],
            "is_label_issue": wrong[order] > PROBABLE,
        }
    )
    matrix = posterior.transition.mean(0).tolist() if len(names) <= _SHOWN_CLASSES else None
    table.attrs = {
        "noise_rate": float(posterior.noise_rate.mean()),
        "noise_rate_interval": list(posterior.noise_rate_interval()),
        "classes": names.tolist(),
        "transition_matrix": matrix,
    }
    return table


def _names_or_none(names: pd.Series, numbers: np.ndarray) -> np.ndarray:
    """Return the classes of class numbers [N] as objects; None for -1."""
    found = names.to_numpy().astype(object)[numbers]
    found[numbers < 0] = None
    return found
