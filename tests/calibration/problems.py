"""Gaussian classes with a classifier of known quality, and noise with a known transition matrix."""

from __future__ import annotations

import numpy as np

Problem = tuple[np.ndarray, np.ndarray]


def predicted(generator: np.random.Generator, count: int, classes: int = 4, distance: float = 2.0) -> Problem:
    """Class probabilities of an overconfident classifier, [count, classes], and the true classes, [count]."""
    true = generator.integers(classes, size=count)
    x = generator.standard_normal((count, classes))
    x[np.arange(count), true] += distance
    powers = np.exp(1.5 * distance * (x - x.max(1, keepdims=True)))
    return powers / powers.sum(1, keepdims=True), true


def pairs(classes: int, rate: float) -> np.ndarray:
    """Transition matrix in which a share of each class gets the label of the next class."""
    return (1 - rate) * np.eye(classes) + rate * np.roll(np.eye(classes), 1, axis=1)


def noisy(generator: np.random.Generator, true: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Labels drawn from the rows of the transition matrix."""
    beyond = generator.random(len(true))[:, None] > transition.cumsum(1)[true]
    return beyond.sum(1).clip(max=len(transition) - 1)


def coverage_of(sets: np.ndarray, true: np.ndarray) -> float:
    """Share of the sets that contain the true class."""
    return float(sets[np.arange(len(true)), true].mean())
