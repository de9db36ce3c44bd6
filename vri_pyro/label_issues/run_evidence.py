"""Evidence for the joint posterior from a run: cross-fitted predictions, or the classifier's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vri_pyro.label_issues.beliefs import Beliefs
from vri_pyro.label_issues.cross_fitting import FEWEST, MOST_CLASSES, cross_fitted, first_transition
from vri_pyro.label_issues.evidence import Evidence as RunEvidence
from vri_pyro.label_issues.evidence_of_predictions import all_classes, evidence_of_predictions
from vri_pyro.label_issues.head_evidence import head_evidence, most_probable
from vri_pyro.label_issues.label_sampler import Evidence
from vri_pyro.label_issues.noise_aware_head import Labels

_ERRORS = 2.0  # standard errors by which the features must be better than the inputs


def run_evidence(evidence: RunEvidence, believed: Beliefs, seed: int, heads: bool = True) -> tuple[Evidence, Evidence]:
    """Return the evidence of the noisy and of the trusted examples of a run.

    Inputs that are vectors have not seen any label. The classifier's features have, so they are used only if there are
    no such inputs, or if they predict the trusted examples held out of training clearly better. With features, only
    these trusted examples count, because the others were trained on.

    Args:
        evidence: outputs of the run's classifier.
        believed: the classifier's calibrated predictions.
        seed: seed of the folds.
        heads: whether heads are fitted. If not, and for more than 50 classes, the classifier's own predictions count.
    """
    classes = evidence.logits.shape[1]
    if not heads or classes > MOST_CLASSES or len(evidence.given) < FEWEST:
        return _of_classifier(evidence, believed)
    of_features = _of_heads(evidence, evidence.features, _held_out(evidence, "features"), seed)
    if evidence.inputs is None:
        return of_features
    of_inputs = _of_heads(evidence, evidence.inputs, _all_trusted(evidence), seed)
    return of_features if _clearly_better(of_features[1], of_inputs[1]) else of_inputs


def _held_out(evidence: RunEvidence, name: str) -> tuple[Tensor, Tensor] | None:
    trusted = evidence.trusted and evidence.trusted.only_held_out()
    return (getattr(trusted, name), trusted.labels) if trusted else None


def _all_trusted(evidence: RunEvidence) -> tuple[Tensor, Tensor] | None:
    trusted = evidence.trusted
    return None if trusted is None or trusted.inputs is None else (trusted.inputs, trusted.labels)


def _of_heads(
    evidence: RunEvidence, noisy: Tensor, trusted: tuple[Tensor, Tensor] | None, seed: int
) -> tuple[Evidence, Evidence]:
    """Cross-fit heads on vectors of noisy and trusted examples."""
    x, trusted_labels = noisy, evidence.given[:0]
    if trusted is not None:
        x, trusted_labels = torch.cat([trusted[0], noisy]), trusted[1]
    vectors = x.double().numpy()
    vectors = (vectors - vectors.mean(0)) / np.where((scale := vectors.std(0)) > 0, scale, 1)
    given, count = torch.cat([trusted_labels, evidence.given]).numpy(), len(trusted_labels)
    labels = Labels(given, np.arange(len(given)) < count)
    found = head_evidence(cross_fitted(vectors, labels, evidence.logits.shape[1], seed), labels)
    return found.at(slice(count, None)), found.at(slice(count))


def _clearly_better(first: Evidence, second: Evidence) -> bool:
    """Whether the first evidence decides its trusted examples better than the second, of which they are the first."""
    count = len(first.p)
    right = (first.decided == first.classes[:, 0]).astype(float)
    other = (second.at(slice(count)).decided == second.classes[:count, 0]).astype(float)
    if not count or count > len(second.p):
        return False
    gain = right - other
    return bool(gain.mean() > _ERRORS * (gain.std() + 1 / count) / np.sqrt(count))


def _of_classifier(evidence: RunEvidence, believed: Beliefs) -> tuple[Evidence, Evidence]:
    """Take the classifier's own predictions of noisy examples and of trusted ones held out of training."""
    p, given, size = believed.consulted.numpy(), evidence.given.numpy(), evidence.logits.shape[1]
    transition = first_transition(p, Labels(given, np.zeros(len(given), dtype=bool)))

    def evidence_of(p: np.ndarray, labels: np.ndarray) -> Evidence:
        classes = most_probable(p, all_classes(labels, size))
        kept = np.take_along_axis(p, classes, 1)
        of_given = np.take_along_axis(p @ transition, classes, 1)
        return evidence_of_predictions(classes, kept, of_given, transition.diagonal(), size)

    noisy = evidence_of(p, given)
    if believed.held_out is None:
        return noisy, noisy.at(slice(0))
    theirs, truth = believed.held_out
    return noisy, evidence_of(theirs.numpy(), truth.numpy())
