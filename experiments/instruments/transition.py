"""Instrument: error of the transition matrix, its drift to the identity, and whether its uncertainty is honest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from instruments.seen import Figures, Seen
from vri_pyro.diagnostics import learned_transition


def estimate(seen: Seen) -> Tensor | None:
    """Return the method's transition matrix, [K, K], or its posterior mean; None if it has none at this time."""
    if "transition" in seen.posterior:
        return seen.posterior["transition"].mean
    run = seen.run
    return learned_transition(run.guide, run.model, run.algorithm) if run.begun else None


def transition(seen: Seen) -> Figures | None:
    """Compare the matrix, and the prior's mean, with the realised shares of labels; None if there is no matrix."""
    if (matrix := estimate(seen)) is None:
        return None
    found = errors(matrix, seen.realised)
    if "transition" in seen.posterior:
        found |= uncertainty(seen.posterior["transition"], seen.realised)
    prior = getattr(seen.run.model, "concentration", None)
    if isinstance(prior, Tensor):
        found["prior"] = errors(prior / prior.sum(-1, keepdim=True), seen.realised)
    return found


def errors(matrix: Tensor, realised: Tensor) -> Figures:
    """Return the errors of a matrix and its mean diagonal.

    The total variation of a row is half the sum of its absolute errors: the share of labels put at the wrong place.
    """
    error = (matrix - realised).abs()
    rows = error.sum(-1) / 2
    return {
        "absolute_error": float(error.mean()),
        "total_variation": float(rows.mean()),
        "worst_row": float(rows.max()),
        "diagonal": float(matrix.diagonal().mean()),
    }


def uncertainty(posterior: Any, realised: Tensor) -> Figures:
    """Return the mean standard deviation of q(T), and the share of entries within two of them of the truth.

    ``diagonal_low`` and ``diagonal_high`` are the mean diagonal minus and plus two standard deviations of its entries.
    """
    std, diagonal = posterior.stddev, posterior.mean.diagonal()
    return {
        "std": float(std.mean()),
        "diagonal_low": float((diagonal - 2 * std.diagonal()).mean()),
        "diagonal_high": float((diagonal + 2 * std.diagonal()).mean()),
        "within_two_std": float(((posterior.mean - realised).abs() <= 2 * std).double().mean()),
    }


def reference(realised: Tensor) -> Figures:
    """Return the truth and the error of the identity matrix, which knows nothing about the noise."""
    identity = errors(torch.eye(len(realised)).to(realised), realised)
    return {"diagonal": float(realised.diagonal().mean()), "identity": identity, "matrix": realised.tolist()}
