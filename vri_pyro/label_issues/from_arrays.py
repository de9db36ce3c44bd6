"""Find label errors from arrays alone, without a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vri_pyro.data.statistics import varies
from vri_pyro.label_issues import out_of_sample
from vri_pyro.label_issues.checked_arrays import CheckedArrays, checked_arrays, row_chunks
from vri_pyro.label_issues.chosen_pairs import CHOSEN, chosen_by_score
from vri_pyro.label_issues.cross_fitting import can_be_fitted, cross_fitted
from vri_pyro.label_issues.given_label_predictions import given_label_predictions, votes
from vri_pyro.label_issues.head_candidates import head_candidates
from vri_pyro.label_issues.image_vectors import vectors_of
from vri_pyro.label_issues.interval_checks import checked_interval
from vri_pyro.label_issues.joint_posterior import JointPosterior, check_losses, joint_posterior
from vri_pyro.label_issues.neighbours import nearest_positions
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.label_issues.noise_removal import class_posterior, confident_transition, decisions
from vri_pyro.label_issues.open_set_of_vectors import open_set_of_vectors
from vri_pyro.label_issues.predictions_posterior import predictions_posterior
from vri_pyro.label_issues.top_classes import TopClasses
from vri_pyro.utils.errors import UserTypeError
from vri_pyro.utils.numbers import check_integer

_DRAWS = 40  # least number of draws: one of them is beyond each end of the interval
_SHOWN_CLASSES = 100  # a larger matrix is not attached to the table, because pandas copies what is

_Progress = Callable[[float], None]


def find_label_issues(
    labels: Any,
    pred_probs: Any = None,
    features: Any = None,
    trusted: Any = None,
    *,
    verified: Any = None,
    classes: Sequence[Hashable] | None = None,
    neighbours: int = 20,
    draws: int = 200,
    missed: float = 1.0,
    in_vain: float = 1.0,
    open_set: bool = True,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Rank labels by their probability of being wrong, from arrays.

    Pass ``pred_probs`` from a classifier of your own, ``features`` (an embedding, a table's columns, or images), or
    both. The probabilities must be out of sample, for instance from cross-validation: no example may be predicted by a
    classifier that was trained on its label. Such a classifier predicts *given* labels, wrong ones included. The method
    is:

    * From features alone: logistic regressions behind a transition matrix predict the true class in 5-fold
      cross-validation, on the features, or also on features of a kernel where that predicts clearly better. How good
      they are, the matrix and the classes are sampled from one joint posterior, see
      :func:`~vri_pyro.label_issues.joint_posterior`.
    * From ``pred_probs``, and for more than 50 classes, fewer than 50 labels, fewer than 5 of a class, or N · D · K
      above 2e8: the effect of a first estimate of the transition matrix is inverted. With features, the neighbours'
      labels are mixed in. The posterior is that of
      :func:`~vri_pyro.label_issues.predictions_posterior.predictions_posterior`.

    In both, the scores of the unverified labels add up to the noise rate.

    From features alone and with trusted examples, examples that belong to none of the classes are detected because they
    are unlike the trusted ones, see :func:`~vri_pyro.label_issues.open_set_posterior.open_set_posterior`. Otherwise,
    every example is assumed to belong to one of the classes.

    Args:
        labels: given labels, [N]: strings, integers or other hashable values of one type, in an array, list, Series
            or Categorical.
        pred_probs: out-of-sample class probabilities, [N, K], rows sum to one. The columns belong to the sorted
            distinct labels, or to ``classes``. When None, they are computed from the features: by logistic regression
            in 5-fold cross-validation if N · D · K is at most 2e8, and from the labels of the nearest neighbours
            otherwise. Above 20 classes, the given and the 19 most probable others of each example are kept.
        features: features, [N, D], D >= 1, which are standardised per column; or images, [N, H, W] or [N, H, W, C],
            uint8 or floating, from which at most 200 features are computed without labels, see
            :class:`~vri_pyro.label_issues.image_vectors.ImageVectors`. The embedding of a pretrained network tells more
            than these. When None, no neighbours are used.
        trusted: examples whose label a person has verified, as positions or as a boolean mask [N]. Their labels count
            as correct, and the decisions on them show how often the classifier is right. They must be a random sample
            of each class, not the first rows or the easiest examples. Their probabilities must be out of sample like
            all others.
        verified: the class that a person has found for each example, [N], beside the label as given in ``labels``;
            None, NaN, -1 or an empty string where nobody has looked. These examples are trusted. In addition, both
            their labels are known, which shows directly how the noise changes labels, if the examples were chosen at
            random or by nothing else than given label and predicted class. If they are the most suspicious among those
            with equal label and prediction, a warning says so, and the noise is inferred as if they were not verified.
            Must agree with ``trusted`` where both are given.
        classes: all classes, in the order of the columns. Needed if a class has no label, or if labels have no order.
        neighbours: number of nearest neighbours, at least 1, by cosine similarity; see
            :func:`~vri_pyro.label_issues.nearest_positions`.
        draws: number of draws of the posterior, at least 40.
        missed: loss of a wrong label that is not flagged, above 0.
        in_vain: loss of a correct label that is flagged, and checked in vain, above 0.
        open_set: whether examples may belong to none of the classes.
        seed: random seed.
        progress: function that is called with the share of the sampling that is done, from 0 to 1.

    Returns:
        one row per example, most suspicious first, with trusted and verified examples last. The columns are

        * ``index``: position in ``labels``;
        * ``given``, ``suggested``: the given and the most probable class, None for none of the classes;
        * ``verified``: the verified class, None for unchecked examples; only if ``verified`` is passed;
        * ``score``: probability that the label is wrong; 0 for trusted examples, and 0 or 1 for verified ones;
        * ``uncertainty``: normalised entropy of the class, from 0 (certain) to 1;
        * ``is_label_issue``: whether the expected loss is smaller if the label is flagged; with equal losses, whether
          the score is above 0.5.

        ``attrs`` of the table has ``noise_rate``, the estimated share of wrong labels among the unverified ones,
        ``noise_rate_interval``, its 95% interval as a list [low, high], ``classes``, ``transition_matrix``, a list
        of rows with the probability that an example of the row's class has the column's label, and
        ``transition_matrix_interval``, the two such lists of the ends of its entries' 95% intervals; both are None
        above 100 classes.
        Without trusted examples, nothing tells whether a label or a prediction that differs from it is wrong. The
        estimates then depend on the calibration of the probabilities, and the upper end of the interval is at least
        the share of labels that differ from the out-of-sample prediction. If the predictions are hardly above chance,
        the interval starts at 0 as well.

    Raises:
        UserError: an array has an invalid value, shape or length (a ValueError).
        UserTypeError: an array has an invalid type (also a TypeError).

    Warns:
        UserWarning: more than 5% of the examples seem to belong to none of the classes; the verified examples were
            chosen by how suspicious they look, or do not fit the estimate; there are no trusted examples, and the noise
            rate may be much higher than estimated; the predictions are hardly above chance; ``pred_probs`` agree with
            every label, as in-sample predictions do; or an outlier in a column of the features hides the differences
            between its other values.

    Reference: Northcutt et al., Confident learning: estimating uncertainty in dataset labels, JAIR 2021, for the first
        estimate of T; Dawid & Skene (1979) for its posterior.
    """
    arrays = checked_arrays(labels, pred_probs, features, trusted, classes, verified)
    check_integer("neighbours", neighbours, 1, remedy=" (pass no features to use none).")
    check_integer("draws", draws, _DRAWS, remedy=", from which a 95% interval can be taken")
    check_integer("seed", seed, 0)
    check_losses(missed, in_vain)
    if progress is not None and not callable(progress):
        raise UserTypeError(f"progress is {progress!r}; expected a function of the share that is done, or None")
    features = None if arrays.features is None else _vectors(arrays.features, seed)
    size = len(arrays.classes)
    if arrays.pred_probs is None and features is not None and can_be_fitted(arrays.known, size, features.shape[1]):
        posterior, decided, chosen = _of_features(arrays, features, open_set, draws, seed, progress)
    else:
        predicted = _predicted(arrays, features, neighbours, seed)
        posterior, decided, chosen = _of_predictions(arrays, predicted, draws, seed, progress)
    if posterior.foreign is not None:
        warnings.warn(f"{posterior.foreign} In that case, pass open_set=False.", stacklevel=2)
    flags = posterior.flags(missed, in_vain)
    return _table(arrays, posterior, flags, checked_interval(posterior, decided, arrays, chosen))


def _of_features(
    arrays: CheckedArrays, features: np.ndarray, open_set: bool, draws: int, seed: int, progress: _Progress | None
) -> tuple[JointPosterior, np.ndarray, bool]:
    """Judge the unverified labels by heads that are cross-fitted on the features.

    Also returns the decisions, [N], and whether the verified examples were chosen by their scores.
    """
    labels = Labels(arrays.known, arrays.trusted)
    predicted = cross_fitted(features, labels, len(arrays.classes), seed)
    candidates = head_candidates(predicted, labels)
    doubt = 1 - np.exp(predicted.log_true[np.arange(len(arrays.codes)), arrays.codes])
    chosen = _chosen(candidates.decided, doubt, arrays)
    if chosen:  # what they were found to be says nothing about the others, and their labels as given do
        labels = labels.with_earlier(arrays.earlier)
        candidates = head_candidates(predicted, labels)
    foreign = None
    if open_set:
        _, foreign = open_set_of_vectors(features, candidates, predicted.transition, labels, draws, seed)
    posterior = joint_posterior(
        candidates.at(~labels.trusted),
        len(arrays.classes),
        candidates.at(labels.trusted),
        arrays.earlier[labels.trusted],
        foreign,
        judged=~arrays.trusted[~labels.trusted],
        draws=draws,
        seed=seed,
        progress=progress,
    )
    return posterior, candidates.decided, chosen


def _of_predictions(
    arrays: CheckedArrays, predicted: TopClasses, draws: int, seed: int, progress: _Progress | None
) -> tuple[JointPosterior, np.ndarray, bool]:
    """Judge the unverified labels by predictions of the given labels; returns what ``_of_features`` does."""
    given, noisy = torch.from_numpy(arrays.codes), torch.from_numpy(~arrays.trusted)
    first = confident_transition(predicted.at(noisy), given[noisy])
    found = decisions(predicted, first, noisy)
    pairs, chosen, checked = None, False, arrays.checked
    if checked.any():
        doubt = 1 - class_posterior(predicted, given, first)[:, 0].numpy()
        chosen = _chosen(found.decided.numpy(), doubt, arrays)
        if chosen:
            noisy |= torch.from_numpy(checked)
            first = confident_transition(predicted.at(noisy), given[noisy])
            found = decisions(predicted, first, noisy)
        else:
            pairs = torch.from_numpy(arrays.known[checked]), given[torch.from_numpy(checked)]
    held_out = None if noisy.all() else (found.decided[~noisy], torch.from_numpy(arrays.known)[~noisy])
    posterior = predictions_posterior(
        predicted.at(noisy),
        found._replace(decided=found.decided[noisy]),
        given[noisy],
        held_out,
        pairs,
        ~arrays.trusted[noisy.numpy()] if chosen else None,
        draws,
        seed,
        progress,
    )
    return posterior, found.decided.numpy(), chosen


def _predicted(arrays: CheckedArrays, features: np.ndarray | None, neighbours: int, seed: int) -> TopClasses:
    """Predict the given labels from probabilities, features, or both."""
    size, probabilities, nearest = len(arrays.classes), arrays.pred_probs, None
    given = torch.from_numpy(arrays.codes)
    if features is not None:
        nearest = nearest_positions(torch.from_numpy(features), neighbours, seed=seed)
        if probabilities is None:
            probabilities = out_of_sample.cross_validated(features, arrays.codes, size, seed)

    def dense(rows: Tensor) -> Tensor:
        if probabilities is None:
            assert nearest is not None
            return votes(given[nearest[rows]], size)
        part = torch.from_numpy(probabilities[rows.numpy()].astype(np.float64))
        return part / part.sum(1, keepdim=True)

    some = torch.from_numpy(np.flatnonzero(~arrays.trusted))
    return given_label_predictions(dense, given, size, nearest, some, seed)


def _vectors(features: np.ndarray, seed: int) -> np.ndarray:
    """Describe images, [N, H, W, C], by vectors, or standardise vectors, [N, D]; float32."""
    return vectors_of(features, seed) if features.ndim == 4 else _standardised(features)


def _standardised(features: np.ndarray) -> np.ndarray:
    """Scale each column to mean 0 and standard deviation 1, float32 [N, D]; a constant column is 0."""
    chunks = list(row_chunks(features))
    mean = sum(features[rows].sum(0, dtype=np.float64) for rows in chunks) / len(features)
    squares = sum(((features[rows] - mean) ** 2).sum(0) for rows in chunks) / len(features)
    least, greatest = (
        np.array([of(features[rows], axis=0) for rows in chunks], dtype=np.float64) for of in (np.min, np.max)
    )
    varying = varies(least.min(0), greatest.max(0))
    scale = np.where(varying, np.sqrt(squares), 1)
    found = np.empty(features.shape, dtype=np.float32)
    for rows in chunks:
        found[rows] = np.where(varying, (features[rows] - mean) / scale, 0)
    return found


def _chosen(decided: np.ndarray, doubt: np.ndarray, arrays: CheckedArrays) -> bool:
    """Return whether the verified examples were chosen by how suspicious they look, and warn if so.

    The posterior models how decisions and labels arise, so that a choice by these does no harm. It does not model
    scores: if the most suspicious examples of those with equal decision and label were checked, the others would be
    thought wrong as often as these.
    """
    checked = arrays.checked
    if not checked.any():
        return False
    some = checked | ~arrays.trusted
    cells = decided * len(arrays.classes) + arrays.codes
    if arrays.pred_probs is not None:  # whoever chose by the predicted class saw these, not the recalibrated ones
        cells = cells * len(arrays.classes) + arrays.pred_probs.argmax(1)
    p_value = chosen_by_score(cells[some], doubt[some], checked[some])
    if p_value < CHOSEN:
        warnings.warn(
            f"the verified examples were chosen by how suspicious their labels look (p = {p_value:.1g}), so they are "
            "no sample of the noise: the share of wrong labels among the others is estimated as if nobody had looked; "
            "to know it better, verify randomly chosen examples, and pass only these as verified and the others as "
            "trusted, with their verified class in labels",
            stacklevel=4,
        )
        return True
    return False


def _table(arrays: CheckedArrays, posterior: JointPosterior, flags: np.ndarray, interval: list[float]) -> pd.DataFrame:
    names, noisy, known = pd.Series(arrays.classes), ~arrays.trusted, arrays.known
    flagged, uncertainty, suggested = known != arrays.codes, np.zeros(len(known)), known.copy()
    wrong = flagged.astype(float)
    wrong[noisy], uncertainty[noisy], flagged[noisy] = posterior.wrong, posterior.uncertainty, flags
    suggested[noisy] = posterior.suggested
    order = np.lexsort((np.arange(len(wrong)), -wrong, arrays.trusted))
    table = pd.DataFrame(
        {
            "index": order,
            "given": names.to_numpy()[arrays.codes[order]],
            "suggested": _names_or_none(names, suggested[order]),
            **({} if arrays.verified is None else {"verified": _names_or_none(names, arrays.verified[order])}),
            "score": wrong[order],
            "uncertainty": uncertainty[order],
            "is_label_issue": flagged[order],
        }
    )
    drawn = posterior.transition if len(names) <= _SHOWN_CLASSES else None
    table.attrs = {
        "noise_rate": posterior.noise_rate,
        "noise_rate_interval": interval,
        "classes": names.tolist(),
        "transition_matrix": None if drawn is None else drawn.transition.mean(0).tolist(),
        "transition_matrix_interval": None if drawn is None else [ends.tolist() for ends in drawn.interval()],
    }
    return table


def _names_or_none(names: pd.Series, numbers: np.ndarray) -> np.ndarray:
    """Return the classes of class numbers, [N]; None for -1, as objects if there is any."""
    if (numbers >= 0).all():
        return names.to_numpy()[numbers]
    found = names.to_numpy().astype(object)[numbers]
    found[numbers < 0] = None
    return found
