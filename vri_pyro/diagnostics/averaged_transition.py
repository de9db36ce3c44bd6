"""An estimate of the label transition matrix that needs no true labels (paper, fig. 3b)."""

from __future__ import annotations

import torch
from torch import Tensor


def averaged_transition(predicted: Tensor, probabilities: Tensor) -> Tensor:
    """Estimate a transition matrix by averaging given-label distributions over each predicted class.

    Row i is the mean distribution of the given label over the examples that are predicted as class i. If
    ``probabilities`` are one-hot given labels, the result contains their relative frequencies, as computed by
    :func:`~vri_pyro.data.noise.transition_counts.realised_transition`.

    Args:
        predicted: classes predicted by a classifier, int64 [N].
        probabilities: distribution of the given label of each example, [N, K].

    Returns:
        the transition matrix, [K, K]. The row of a class that is never predicted is the identity's.
    """
    num_classes = probabilities.shape[1]
    counts = torch.bincount(predicted, minlength=num_classes).unsqueeze(1)
    sums = probabilities.new_zeros(num_classes, num_classes).index_add_(0, predicted, probabilities)
    return torch.where(counts > 0, sums / counts.clamp_min(1), torch.eye(num_classes).to(sums))
