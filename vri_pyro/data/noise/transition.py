"""Transitions from true to given labels."""

from __future__ import annotations

import numpy as np


def count_transitions(true_labels: np.ndarray, given_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """How many examples of class i are labelled j: int64 [K, K], from two label arrays [N]."""
    pairs = true_labels * num_classes + given_labels
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
