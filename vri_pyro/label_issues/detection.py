"""Measure how well a score detects wrong labels if the true labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from vri_pyro.utils.errors import UserError


class Detection(NamedTuple):
    """Detection performance of a score for wrong labels.

    Attributes:
        auroc: probability that a wrong label has a higher score than a correct one; 0.5 at chance.
        average_precision: area under the precision-recall curve; the share of wrong labels at chance.
        precision_at: precision at k, the share of wrong labels among the k highest scores, by k.
    """

    auroc: float
    average_precision: float
    precision_at: dict[int, float]


def detection(score: Tensor, wrong: Tensor, at: Sequence[int] | None = None) -> Detection | None:
    """Evaluate a score as a detector of wrong labels.

    Args:
        score: score of each label, greater if the label is more suspicious, [N].
        wrong: whether each label is wrong, bool [N].
        at: values of k, at least 1, for precision at k. When None, k is 100 and the number of wrong labels. Values
            above N are ignored.

    Returns:
        the measures. None if all labels are wrong or all are correct.

    Raises:
        UserError: the shapes differ, or a k is below 1.
    """
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision  # slow to import
    from torchmetrics.functional.retrieval import retrieval_precision

    if score.shape != wrong.shape or score.dim() != 1:
        raise UserError(f"score has shape {list(score.shape)} and wrong {list(wrong.shape)}; expected [N] for both")
    count = int(wrong.sum())
    if count in (0, len(wrong)):
        return None
    at = (100, count) if at is None else at
    if any(k < 1 for k in at):
        raise UserError(f"at contains {min(at)}; expected values of k >= 1")
    # Ranks, because torchmetrics applies a sigmoid to scores outside [0, 1], which can round them to ties.
    ranks = score.double().unique(return_inverse=True)[1].double()
    ranks = ranks / ranks.max().clamp_min(1)
    return Detection(
        auroc=float(binary_auroc(ranks, wrong)),
        average_precision=float(binary_average_precision(ranks, wrong.long())),
        precision_at={k: float(retrieval_precision(ranks, wrong, top_k=k)) for k in at if k <= len(wrong)},
    )
