"""How well a score finds the wrong labels, where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from vri_pyro.utils.errors import UserError


class Detection(NamedTuple):
    """How well a score finds wrong labels.

    Attributes:
        auroc: the probability that a wrong label scores higher than a right one; one half is chance.
        average_precision: area under precision over recall; the share of wrong labels is chance.
        precision_at: share of wrong labels among the k with the highest scores, by k.
    """

    auroc: float
    average_precision: float
    precision_at: dict[int, float]


def detection(score: Tensor, wrong: Tensor, at: Sequence[int] | None = None) -> Detection | None:
    """Judge a score; None where all labels are wrong or all are right, so that there is nothing to tell apart.

    Args:
        score: greater for labels that are more suspicious, [N].
        wrong: which labels are wrong, bool [N].
        at: k of the precisions, at least 1; 100 and the number of wrong labels when None. Those above N are left out.

    Raises:
        UserError: the shapes differ, or a k is below 1.
    """
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision  # takes seconds
    from torchmetrics.functional.retrieval import retrieval_precision

    if score.shape != wrong.shape or score.dim() != 1:
        raise UserError(f"score has shape {list(score.shape)} and wrong {list(wrong.shape)}; give one of each a label")
    count = int(wrong.sum())
    if count in (0, len(wrong)):
        return None
    at = (100, count) if at is None else at
    if any(k < 1 for k in at):
        raise UserError(f"precision at {min(at)} is asked for; give at least 1")
    # By rank, because torchmetrics takes scores outside [0, 1] for logits and rounds them together.
    ranks = score.double().unique(return_inverse=True)[1].double()
    ranks = ranks / ranks.max().clamp_min(1)
    return Detection(
        auroc=float(binary_auroc(ranks, wrong)),
        average_precision=float(binary_average_precision(ranks, wrong.long())),
        precision_at={k: float(retrieval_precision(ranks, wrong, top_k=k)) for k in at if k <= len(wrong)},
    )
