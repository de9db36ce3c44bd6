"""Counts and frequencies of transitions from true to given labels."""

from __future__ import annotations

import numpy as np

from vri_pyro.data.validation import NO_CLASS


def count_transitions(true_labels: np.ndarray, given_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the examples of class i with given label j, int64 [K, K], from two label arrays [N].

    Examples of no class (true label -1) are ignored.
    """
    inside = true_labels != NO_CLASS
    pairs = true_labels[inside] * num_classes + given_labels[inside]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def transition_frequencies(true_labels: np.ndarray, given_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Compute the share of class i with given label j, float64 [K, K]; the row of a class without examples is nan."""
    counts = count_transitions(true_labels, given_labels, num_classes).astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def realised_transition(true_labels: np.ndarray, given_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Compute the realised transition matrix, float64 [K, K].

    It equals :func:`transition_frequencies`, except that a class without examples gets the row of the identity.
    """
    frequencies = transition_frequencies(true_labels, given_labels, num_classes)
    return np.where(np.isnan(frequencies), np.eye(num_classes), frequencies)
