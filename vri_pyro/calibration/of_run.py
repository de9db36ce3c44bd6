"""The held-out labels of a run."""

from __future__ import annotations

import numpy as np
import torch

from vri_pyro.calibration.held_out import HeldOut
from vri_pyro.label_issues import evidence_of, rank
from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

_DRAWS = 50  # of the transition matrix; each needs a threshold


@torch.no_grad()
def held_out_of(run: Run) -> HeldOut:
    """Return the validation labels of a run, with the predictions of its classifier.

    Trusted validation labels are used as they are. For a validation set that was held out of the noisy labels, the
    posterior of the transition matrix is estimated from the noisy labels on which the run was trained, as by
    ``vri-pyro issues``.

    Args:
        run: the run.

    Raises:
        UserError: the run has no validation labels.
    """
    split = run.split
    if len(split.validation_indices) == 0:
        raise UserError(
            f"{run.name} has no validation labels held out of training; train with --split.validation_per_class 20, or "
            "another number"
        )
    batches = run.examples.in_order(split.validation_indices, 1000)
    probabilities = torch.cat([run.predictor(batch.x).logits.double().softmax(-1).cpu() for batch in batches]).numpy()
    source = "validation labels of the run"
    if split.validation_from == "clean":
        return HeldOut(probabilities, split.validation_labels, source=source)
    transition = rank(evidence_of(run, split.noisy_indices, draws=0), seed=split.seed).transition
    given = np.concatenate([split.given_labels, split.validation_labels])
    frequencies = np.bincount(given, minlength=split.num_classes) / len(given)
    return HeldOut(probabilities, split.validation_labels, some_draws(transition), frequencies, source)


def some_draws(posterior: TransitionPosterior) -> np.ndarray:
    """Return at most 50 evenly spaced draws of the transition matrix, float64 [draws, K, K]."""
    draws = posterior.transition
    return draws[:: -(-len(draws) // _DRAWS)].numpy()
