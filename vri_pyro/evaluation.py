"""How good a classifier is on held-out examples."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from vri_pyro.classifier import Classifier
from vri_pyro.data import Examples


@torch.no_grad()
def evaluate(
    classifier: Classifier, data: Examples, indices: np.ndarray | None = None, batch_size: int = 1000
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
    training = classifier.training
    classifier.eval()
    for batch in data.in_order(indices, batch_size):
        logits = classifier(batch.x).logits
        correct += (logits.argmax(dim=-1) == batch.y).sum()
        nll += F.cross_entropy(logits, batch.y, reduction="none").double().sum()
    classifier.train(training)
    return {"accuracy": 100 * correct.item() / len(indices), "nll": nll.item() / len(indices)}
