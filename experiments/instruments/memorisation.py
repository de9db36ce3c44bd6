"""Instrument: which labels the classifier has memorised, and how far it fits the few clean examples too closely."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from instruments.seen import Figures, Seen
from vri_pyro.training.evaluation import evaluate


def memorisation(seen: Seen) -> Figures:
    """Return the shares of right and wrong labels that the classifier predicts as given, and those it corrects."""
    predicted = seen.output.logits.argmax(-1)
    return {
        "as_given": seen.apart((predicted == seen.given).double()),
        "as_true": seen.apart((predicted == seen.true).double()),
        "loss": seen.apart(F.cross_entropy(seen.output.logits, seen.given, reduction="none")),
    }


def accuracy(seen: Seen, row: dict[str, Any]) -> Figures:
    """Return accuracies in percent and losses in nats on the clean set, and those of the epoch's row of metrics.

    The clean loss is that of the evaluated network, without augmentation. Far below the loss of the validation set, it
    shows that the clean few are over-fitted, and that a meta loss has little left to teach.
    """
    run = seen.run
    found = {part: {"accuracy": row.get(f"{part}_accuracy"), "loss": row.get(f"{part}_nll")} for part in PARTS}
    if len(run.split.clean_indices):
        clean = evaluate(run.classifier, run.examples, run.split.clean_indices)
        found["clean"] = {"accuracy": clean["accuracy"], "loss": clean["nll"]}
    return found


PARTS = ("test", "validation")
