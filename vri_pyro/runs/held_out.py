"""Noisy labels that are held out: the parts, and their likelihood under a classifier that was trained on the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console

from vri_pyro.data import Arrays, Split
from vri_pyro.interfaces.given_label import GivenLabel
from vri_pyro.interfaces.learned_transition import learned_transition
from vri_pyro.runs.building import build_trainer
from vri_pyro.runs.configuration import Configuration
from vri_pyro.training.evaluation import predict
from vri_pyro.utils.progress import ProgressDisplay

_SHARE = 0.15  # of the noisy labels
_ENOUGH = 2000  # with fewer noisy labels, several parts are held out in turn
_PARTS = 3
_SCALES = torch.linspace(-1.5, 1.5, 31).exp()  # of logits


def held_out_parts(split: Split) -> Iterator[Split]:
    """Yield splits whose validation set is 15% of the noisy set; three disjoint ones with fewer than 2,000 labels.

    The examples that are kept out of training are left out.
    """
    split = split.without(split.noisy_holdout)
    count = len(split.noisy_indices)
    order = np.random.default_rng(split.seed).permutation(count)
    size = max(1, int(_SHARE * count))
    for part in range(1 if count >= _ENOUGH else min(_PARTS, count - 1)):
        held_out = np.sort(order[part * size : (part + 1) * size])
        rest = np.setdiff1d(np.arange(count), held_out)
        yield replace(
            split,
            noisy_indices=split.noisy_indices[rest],
            given_labels=split.given_labels[rest],
            true_labels=None,
            transition=None,
            validation_indices=split.noisy_indices[held_out],
            validation_labels=split.given_labels[held_out],
            validation_from="noisy",
        )


class HeldOutFit(NamedTuple):
    """How well a classifier predicts the held-out labels that it was trained without.

    Attributes:
        log_likelihood: log-likelihood of each held-out label, in nats, [n].
        scale: number that the logits were multiplied by.
    """

    log_likelihood: np.ndarray
    scale: float


def fit_held_out(
    configuration: Configuration,
    arrays: Arrays,
    split: Split,
    standardisation: tuple[np.ndarray, np.ndarray],
    scaled: bool = False,
) -> HeldOutFit:
    """Train, and compute the log-likelihood of the validation labels.

    It is that of log(softmax(F(x))ᵀ T)_y with the transition matrix T that the method has learned, or with the identity
    if it has learned none.

    Args:
        configuration: the configuration of the training.
        arrays, split, standardisation: see :func:`~vri_pyro.runs.building.build_trainer`.
        scaled: whether to multiply the logits by the number, from 0.22 to 4.5, that gives the greatest likelihood.
            Some methods make a classifier surer, or less sure, than the likelihood alone would.
    """
    torch.manual_seed(configuration.seed)
    untested = replace(arrays, x_test=None, y_test=None)
    trainer = build_trainer(configuration, None, untested, split, standardisation, identity="")
    trainer.run(lambda epochs, steps: ProgressDisplay(epochs, steps, Console(quiet=True)))
    logits, given = predict(trainer.ema.network, trainer.data.train, split.validation_indices)
    algorithm: Any = trainer.stages[-1].algorithm
    found = learned_transition(algorithm, getattr(algorithm, "model", None), getattr(algorithm, "guide", None))
    transition = (torch.eye(logits.shape[1]) if found is None else found).to(logits)
    scales = _SCALES.tolist() if scaled else [1.0]
    each = {scale: GivenLabel(scale * logits, transition).log_prob(given) for scale in scales}
    scale = max(each, key=lambda one: float(each[one].mean()))
    return HeldOutFit(each[scale].double().cpu().numpy(), scale)
