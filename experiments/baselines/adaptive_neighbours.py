"""Weighted Adaptive Nearest Neighbour (WANN): neighbours vote with the reliability of their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from baselines.given import Floats, Given, Integers

FEWEST, MOST = 11, 51


def predict(data: Given) -> Floats:
    """Return the shares of the votes of each example's neighbours, [n_test, K].

    The neighbourhood of a training example is the smallest one, of 11, 13, … or 51 neighbours, whose majority has its
    label, or 51 neighbours. The reliability of its label is the inverse of that number. A test example takes the size
    of the neighbourhood of its nearest training example, and the neighbours vote with their reliabilities.

    The paper has no clean labels. Here they have reliability 1 and the smallest neighbourhood, since they are right.
    Without clean examples, this is the method of the paper.

    Reference: Di Salvo et al., An embedding is worth a thousand noisy labels, TMLR 2025.
    """
    data = data.standardised()
    search = NearestNeighbors(algorithm="brute").fit(data.x)
    size = np.where(data.is_clean, FEWEST, neighbourhoods(search, data.y, data.num_classes))
    reliability = np.where(data.is_clean, 1.0, 1.0 / size)
    near = search.kneighbors(data.x_test, min(MOST, len(data.y)), return_distance=False)
    votes = np.zeros((len(near), data.num_classes))
    for place, neighbour in enumerate(near.T):
        counted = place < size[near[:, 0]]
        votes[np.arange(len(near)), data.y[neighbour]] += counted * reliability[neighbour]
    return votes / votes.sum(1, keepdims=True)


def neighbourhoods(search: NearestNeighbors, y: Integers, num_classes: int) -> NDArray[np.integer]:
    """Return the number of neighbours by which each training example's label is the majority, [n].

    Args:
        search: fitted to the training examples.
        y: their labels, [n].
        num_classes: K.
    """
    rows = np.arange(len(y))
    near = search.kneighbors(n_neighbors=min(MOST, len(y) - 1), return_distance=False)  # without the example itself
    size, votes = np.full(len(y), MOST), np.zeros((len(y), num_classes))
    for count, neighbour in enumerate(near.T, 1):
        votes[rows, y[neighbour]] += 1
        if count >= FEWEST and count % 2:
            size[(size == MOST) & (votes.argmax(1) == y)] = count
    return size
