"""Evaluate a classifier: predictions, accuracy and negative log-likelihood."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data import Examples
from vri_pyro.interfaces.classifier import Classifier, evaluating
from vri_pyro.utils.joined import joined, total
from vri_pyro.utils.processes import share

BATCH_SIZE = 1000  # for forward passes without gradients


@torch.no_grad()
def evaluate(
    classifier: Classifier, data: Examples, indices: np.ndarray | None = None, batch_size: int = BATCH_SIZE
) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood of a classifier in evaluation mode.

    Args:
        classifier: the classifier; its training mode is restored afterwards.
        data: examples with true labels.
        indices: positions of the examples to evaluate, int64 [n], at least one; None for all.
        batch_size: number of examples per forward pass.

    Returns:
        ``accuracy`` in percent and ``nll`` in nats.
    """
    indices = np.arange(len(data)) if indices is None else indices
    # The sums stay on the device to avoid a synchronisation per batch. In double precision, the order of summation does
    # not affect the results noticeably.
    # Several processes evaluate their shares.
    sums = torch.zeros(2, dtype=torch.float64, device=data.device)
    for logits, y in _outputs(classifier, data, indices[share().rows(len(indices))], batch_size):
        sums[0] += (logits.argmax(dim=-1) == y).sum()
        sums[1] += F.cross_entropy(logits, y, reduction="none").double().sum()
    correct, nll = total(sums)
    return {"accuracy": 100 * correct.item() / len(indices), "nll": nll.item() / len(indices)}


@torch.no_grad()
def predict(
    classifier: Classifier, data: Examples, indices: np.ndarray, batch_size: int = BATCH_SIZE
) -> tuple[Tensor, Tensor]:
    """Logits of a classifier in evaluation mode, without augmentation.

    Args:
        classifier: the classifier; its training mode is restored afterwards.
        data: the examples.
        indices: positions of the examples, int64 [n], at least one for each process.
        batch_size: number of examples per forward pass.

    Returns:
        logits [n, K] and given labels, int64 [n], on the device of the data.
    """
    own = list(_outputs(classifier, data, indices[share().rows(len(indices))], batch_size))
    logits, labels = (torch.cat(parts) for parts in zip(*own, strict=True))
    return joined(logits, len(indices)), joined(labels, len(indices))


def _outputs(
    classifier: Classifier, data: Examples, indices: np.ndarray, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits and labels of each batch."""
    with evaluating(classifier):
        for batch in data.in_order(indices, batch_size):
            yield classifier(batch.x).logits, batch.y
