"""Candidates for the joint posterior from vectors of a run that have seen no label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from vri_pyro.data.statistics import varies
from vri_pyro.label_issues.chosen_pairs import CHOSEN, chosen_by_score
from vri_pyro.label_issues.cross_fitting import Predictions, can_be_fitted, cross_fitted
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.head_candidates import head_candidates
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.label_issues.open_set_of_vectors import open_set_of_vectors
from vri_pyro.label_issues.open_set_posterior import OpenSetPosterior

_ERRORS = 2.0  # standard errors by which the classifier must be better than the heads


class InputCandidates(NamedTuple):
    """Candidates of the noisy and of the trusted examples of a run, for the joint posterior.

    Attributes:
        noisy, trusted: candidates.
        distance: distances of the noisy examples to the trusted ones, [N].
        open_set: posterior of the examples of no class.
        judged: which of the noisy examples are those of the evidence; the others are verified examples that were chosen
            by how suspicious their labels look, and whose labels count as if nobody had looked. None if there are none.
        behind: whether the classifier decides trusted examples held out of training clearly better than the heads.
    """

    noisy: Candidates
    trusted: Candidates
    distance: np.ndarray
    open_set: OpenSetPosterior
    judged: np.ndarray | None
    behind: bool


def input_candidates(evidence: Evidence, draws: int, seed: int) -> InputCandidates | None:
    """Return the candidates of the noisy and of the trusted examples of a run, by heads cross-fitted on the inputs.

    Inputs that are vectors, and vectors that describe images, have not seen any label. The classifier's features have:
    a head on features in which labels are memorised takes wrong labels for right ones, whatever fold it was fitted to.

    Args:
        evidence: outputs of the run's classifier.
        draws: number of draws of the posterior of examples of no class.
        seed: seed of the folds.

    Returns:
        the candidates; None if there are no such vectors, or if the heads cannot be fitted to the labels (see
        :func:`~vri_pyro.label_issues.cross_fitting.can_be_fitted`).
    """
    size, trusted, inputs = evidence.logits.shape[1], evidence.trusted, evidence.inputs
    if inputs is None:
        return None
    given, parts = evidence.given, [inputs]
    if trusted is not None and trusted.inputs is not None:
        given, parts = torch.cat([trusted.labels, given]), [trusted.inputs, inputs]
    count = len(given) - len(evidence.given)
    if not can_be_fitted(given.numpy(), size, inputs.shape[1]):
        return None
    vectors = torch.cat(parts).double().numpy()
    varying = varies(vectors.min(0), vectors.max(0))
    vectors -= vectors.mean(0)
    vectors /= 1 if evidence.of_images else np.where(varying, vectors.std(0), 1)
    vectors[:, ~varying] = 0
    labels = Labels(given.numpy(), np.arange(len(given)) < count)
    predicted = cross_fitted(vectors, labels, size, seed)
    candidates = head_candidates(predicted, labels)
    behind = _clearly_worse(candidates.at(slice(count)), evidence)
    judged = None
    if (earlier := _chosen(evidence, predicted, candidates.decided)) is not None:
        judged = np.arange(len(given))[(earlier >= 0) | ~labels.trusted] >= count
        labels = labels.with_earlier(earlier)
        candidates = head_candidates(predicted, labels)
    distance, open_set = open_set_of_vectors(vectors, candidates, predicted.transition, labels, draws, seed)
    noisy, known = candidates.at(~labels.trusted), candidates.at(labels.trusted)
    return InputCandidates(noisy, known, distance if judged is None else distance[judged], open_set, judged, behind)


def _chosen(evidence: Evidence, predicted: Predictions, decided: np.ndarray) -> np.ndarray | None:
    """Return the labels as given of verified examples that were chosen by how suspicious these look, else None.

    The labels are those of the trusted and then the noisy examples, -1 for examples that were not verified.
    """
    if evidence.trusted is None or evidence.trusted.earlier is None:
        return None
    earlier = torch.cat([evidence.trusted.earlier, torch.full_like(evidence.given, -1)]).numpy()
    given = np.concatenate([evidence.trusted.earlier.numpy(), evidence.given.numpy()])
    some = given >= 0
    doubt = 1 - np.exp(predicted.log_true[np.flatnonzero(some), given[some]])
    cells = decided[some] * predicted.log_true.shape[1] + given[some]
    return earlier if chosen_by_score(cells, doubt, earlier[some] >= 0) < CHOSEN else None


def accuracy_of(trusted: Candidates) -> tuple[float, int] | None:
    """Return the share of trusted examples that are decided correctly, and their number; None if there are none."""
    count = len(trusted.p)
    return (float((trusted.decided == trusted.classes[:, 0]).mean()), count) if count else None


def _clearly_worse(known: Candidates, evidence: Evidence) -> bool:
    """Whether the heads decide the trusted examples held out of training worse than the classifier."""
    held_out = evidence.trusted and evidence.trusted.only_held_out()
    if not held_out or len(known.p) < len(held_out.labels):
        return False
    count, truth = len(held_out.labels), held_out.labels.numpy()
    gain = (held_out.logits.argmax(-1).numpy() == truth).astype(float) - (known.decided[:count] == truth)
    return bool(gain.mean() > _ERRORS * (gain.std() + 1 / count) / np.sqrt(count))
