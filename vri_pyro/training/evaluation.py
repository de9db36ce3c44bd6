"""What a classifier makes of examples, and how good it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data import Examples
from vri_pyro.interfaces.classifier import Classifier, evaluating

BATCH_SIZE = 1000  # of a forward pass without gradients


@torch.no_grad()
def evaluate(
    classifier: Classifier, data: Examples, indices: np.ndarray | None = None, batch_size: int = BATCH_SIZE
) -> dict[str, float]:
    """Accuracy in percent and cross entropy in nats, in evaluation mode.

    Args:
        classifier: left in the mode it was in.
        data: examples with true labels.
        indices: which of them, at least one; all when None.
        batch_size: examples a pass.

    Returns:
        ``accuracy`` and ``nll``.
    """
    indices = np.arange(len(data)) if indices is None else indices
    # Sums stay on the device, in double precision so that their order does not show; they are read once.
    correct, nll = torch.zeros(2, dtype=torch.float64, device=data.device)
    for logits, y in _outputs(classifier, data, indices, batch_size):
        correct += (logits.argmax(dim=-1) == y).sum()
        nll += F.cross_entropy(logits, y, reduction="none").double().sum()
    return {"accuracy": 100 * correct.item() / len(indices), "nll": nll.item() / len(indices)}


@torch.no_grad()
def predict(
    classifier: Classifier, data: Examples, indices: np.ndarray, batch_size: int = BATCH_SIZE
) -> tuple[Tensor, Tensor]:
    """What a classifier makes of some examples, in evaluation mode and without augmentation.

    Args:
        classifier: left in the mode it was in.
        data: the examples.
        indices: which of them, int64 [n], at least one.
        batch_size: examples a pass.

    Returns:
        logits [n, K] and given labels, int64 [n], on the data's device.
    """
    logits, labels = zip(*_outputs(classifier, data, indices, batch_size), strict=True)
    return torch.cat(logits), torch.cat(labels)


def _outputs(
    classifier: Classifier, data: Examples, indices: np.ndarray, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and labels, batch by batch."""
    with evaluating(classifier):
        for batch in data.in_order(indices, batch_size):
            yield classifier(batch.x).logits, batch.y
