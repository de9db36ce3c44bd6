"""What every instrument looks at: noisy examples whose truth is known, as classifier, model and guide see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pyro import poutine
from torch import Tensor

from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.prediction_memory import PredictionMemory
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

Figures = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Seen:
    """Noisy examples at the end of an epoch, with their true labels.

    Attributes:
        run: the run with its classifier, model and guide in evaluation mode.
        output: the classifier's output for the examples, [n, ...], with their positions.
        given: given labels, int64 [n].
        true: true labels, int64 [n]; -1 for an example of no class.
        realised: shares of the given labels in each true class, over the whole noisy set, [K, K].
    """

    run: Run
    output: ClassifierOutput
    given: Tensor
    true: Tensor
    realised: Tensor

    @cached_property
    def wrong(self) -> Tensor:
        """Whether each given label is wrong, bool [n]."""
        return self.given != self.true

    @cached_property
    def posterior(self) -> dict[str, Any]:
        """The guide's distributions by site; empty if the method has no guide, or its stage has not begun."""
        if not self.run.has_pair:
            return {}
        sites = poutine.trace(self.run.guide).get_trace(self.output, self.given).nodes
        return {name: site["fn"] for name, site in sites.items() if site["type"] == "sample"}

    @property
    def memory(self) -> PredictionMemory | None:
        """The running mean of the predictions; None if the method has none, or its stage has not begun."""
        holders = (self.run.model, self.run.algorithm) if self.run.begun else ()
        found = (getattr(holder, "memory", None) for holder in holders)
        return next((memory for memory in found if isinstance(memory, PredictionMemory)), None)

    def apart(self, values: Tensor, how: Callable[[Tensor], Any] = lambda some: float(some.mean())) -> Figures:
        """Return ``how(values)`` for the right and for the wrong labels; None for a group without labels.

        Args:
            values: one value per example, or one row, [n, ...].
            how: function of the values of one group; the mean by default.
        """
        groups = {"right": values[~self.wrong], "wrong": values[self.wrong]}
        return {name: how(some.double()) if len(some) else None for name, some in groups.items()}


def look(run: Run, subset: int) -> Seen:
    """Pass at most ``subset`` noisy examples through the classifier.

    Args:
        run: the run, in evaluation mode.
        subset: number of examples. They are drawn at random, the same ones in every epoch and for every method.

    Raises:
        UserError: the true labels are not known.
    """
    split = run.split
    if split.true_labels is None:
        raise UserError("the true labels of this run are not known; use data with verified labels and --noise")
    chosen = np.random.default_rng(0).permutation(len(split.noisy_indices))[:subset]
    chosen.sort()
    outputs = [output for output, _ in run.outputs(split.noisy_indices[chosen])]
    columns = zip(*outputs, strict=True)
    joined = ClassifierOutput(*(None if parts[0] is None else torch.cat(parts) for parts in columns))  # type: ignore[arg-type]
    device, realised = (
        joined.logits.device,
        realised_transition(split.true_labels, split.given_labels, split.num_classes),
    )
    given, true = (torch.from_numpy(labels[chosen]).to(device) for labels in (split.given_labels, split.true_labels))
    return Seen(run, joined, given, true, torch.from_numpy(realised).to(joined.logits))
