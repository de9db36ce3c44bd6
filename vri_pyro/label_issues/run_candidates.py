"""Candidates for the joint posterior from a run: by cross-fitted predictions, or the classifier's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vri_pyro.label_issues.beliefs import Beliefs, consulted
from vri_pyro.label_issues.candidates_of_predictions import all_classes, candidates_of_predictions
from vri_pyro.label_issues.cross_fitting import FEWEST, MOST_CLASSES, cross_fitted, first_transition
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.head_candidates import head_candidates, most_probable
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.noise_aware_head import Labels

_ERRORS = 2.0  # standard errors by which the features must be better than the inputs


def run_candidates(
    evidence: Evidence, believed: Beliefs, neighbours: int, own: float | None, seed: int
) -> tuple[Candidates, Candidates]:
    """Return the candidates of the noisy and of the trusted examples of a run.

    Inputs that are vectors have not seen any label. The classifier's features have, so they are used only if there are
    no such inputs, or if they predict the trusted examples held out of training clearly better. With features, only
    these trusted examples count, because the others were trained on.

    Args:
        evidence: outputs of the run's classifier.
        believed: the classifier's calibrated predictions.
        neighbours, own: see :func:`~vri_pyro.label_issues.rank`. With ``own``, and for more than 50 classes, the
            classifier's own predictions count.
        seed: seed of the folds.
    """
    if own is not None or evidence.logits.shape[1] > MOST_CLASSES or len(evidence.given) < FEWEST:
        return _of_classifier(evidence, believed, neighbours, own, seed)
    trusted, inputs = evidence.trusted, evidence.inputs
    held_out = trusted and trusted.only_held_out()
    features = (held_out.features, held_out.labels) if held_out else None
    if inputs is None:
        return _of_heads(evidence, evidence.features, features, seed)
    every = (trusted.inputs, trusted.labels) if trusted is not None and trusted.inputs is not None else None
    of_inputs = _of_heads(evidence, inputs, every, seed)
    same = evidence.features.shape == inputs.shape and bool((evidence.features == inputs).all())
    if (
        features is None or same
    ):  # nothing to compare by, or nothing else: a linear classifier's features are its inputs
        return of_inputs
    of_features = _of_heads(evidence, evidence.features, features, seed)
    return of_features if _clearly_better(of_features[1], of_inputs[1]) else of_inputs


def _of_heads(
    evidence: Evidence, noisy: Tensor, trusted: tuple[Tensor, Tensor] | None, seed: int
) -> tuple[Candidates, Candidates]:
    """Cross-fit heads on vectors of noisy and trusted examples."""
    x, trusted_labels = noisy, evidence.given[:0]
    if trusted is not None:
        x, trusted_labels = torch.cat([trusted[0], noisy]), trusted[1]
    vectors = x.double().numpy()
    vectors = (vectors - vectors.mean(0)) / np.where((scale := vectors.std(0)) > 0, scale, 1)
    given, count = torch.cat([trusted_labels, evidence.given]).numpy(), len(trusted_labels)
    labels = Labels(given, np.arange(len(given)) < count)
    found = head_candidates(cross_fitted(vectors, labels, evidence.logits.shape[1], seed), labels)
    return found.at(slice(count, None)), found.at(slice(count))


def _clearly_better(first: Candidates, second: Candidates) -> bool:
    """Whether the first decide their trusted examples better than the second, of which these are the first."""
    count = len(first.p)
    right = (first.decided == first.classes[:, 0]).astype(float)
    other = (second.at(slice(count)).decided == second.classes[:count, 0]).astype(float)
    if not count or count > len(second.p):
        return False
    gain = right - other
    return bool(gain.mean() > _ERRORS * (gain.std() + 1 / count) / np.sqrt(count))


def _of_classifier(
    evidence: Evidence, believed: Beliefs, neighbours: int, own: float | None, seed: int
) -> tuple[Candidates, Candidates]:
    """Take the classifier's own predictions of noisy examples and of trusted ones held out of training."""
    mixed, held_out = consulted(evidence, believed, neighbours, own, seed)
    p, given, size = mixed.numpy(), evidence.given.numpy(), evidence.logits.shape[1]
    transition = first_transition(p, Labels(given, np.zeros(len(given), dtype=bool)))

    def candidates(p: np.ndarray, labels: np.ndarray) -> Candidates:
        classes = most_probable(p, all_classes(labels, size))
        kept = np.take_along_axis(p, classes, 1)
        of_given = np.take_along_axis(p @ transition, classes, 1)
        return candidates_of_predictions(classes, kept, of_given, transition.diagonal(), size)

    noisy = candidates(p, given)
    if held_out is None:
        return noisy, noisy.at(slice(0))
    return noisy, candidates(*(part.numpy() for part in held_out))
