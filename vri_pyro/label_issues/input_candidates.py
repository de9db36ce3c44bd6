"""Candidates for the joint posterior from the inputs of a run, if these are vectors."""

from __future__ import annotations

import numpy as np
import torch

from vri_pyro.data.statistics import varies
from vri_pyro.label_issues.cross_fitting import can_be_fitted, cross_fitted
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.head_candidates import head_candidates
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.noise_aware_head import Labels

_ERRORS = 2.0  # standard errors by which the classifier must be better than the heads


def input_candidates(evidence: Evidence, seed: int) -> tuple[Candidates, Candidates] | None:
    """Return the candidates of the noisy and of the trusted examples of a run, by heads cross-fitted on the inputs.

    Inputs that are vectors have not seen any label. The classifier's features have: a head on features in which labels
    are memorised takes wrong labels for right ones, whatever fold it was fitted to.

    Args:
        evidence: outputs of the run's classifier.
        seed: seed of the folds.

    Returns:
        the candidates; None if the inputs are not vectors, if the heads cannot be fitted to the labels (see
        :func:`~vri_pyro.label_issues.cross_fitting.can_be_fitted`), and if the classifier predicts the trusted examples
        held out of training clearly better than they do.
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
    vectors /= np.where(varying, vectors.std(0), 1)
    vectors[:, ~varying] = 0
    labels = Labels(given.numpy(), np.arange(len(given)) < count)
    found = head_candidates(cross_fitted(vectors, labels, size, seed), labels)
    noisy, known = found.at(slice(count, None)), found.at(slice(count))
    return None if _clearly_worse(known, evidence) else (noisy, known)


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
