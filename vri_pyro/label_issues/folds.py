"""Folds of noisy and trusted examples, and random parts of them."""

from __future__ import annotations

import numpy as np

from vri_pyro.data import generator_for, permutation
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.methods.confident_learning import fold_of

FOLDS = 5
_WORK, _ENOUGH = 40_000_000, 2000  # examples times features times classes that a head is fitted to; and examples


def folds_of(labels: Labels, seed: int) -> list[np.ndarray]:
    """Divide noisy and trusted examples into folds, stratified by label: masks, bool [n] each."""
    fold = np.empty(len(labels.given), dtype=np.int64)
    for part in (labels.trusted, ~labels.trusted):
        if part.any():
            fold[part] = fold_of(labels.given[part], min(FOLDS, int(part.sum())), seed)
    return [fold == number for number in range(int(fold.max()) + 1)]


def some_of(mask: np.ndarray, work: int, seed: int) -> np.ndarray:
    """Return a random part of a mask whose size bounds the work of a fit, bool [n]."""
    rows, most = np.flatnonzero(mask), max(_ENOUGH, _WORK // work)
    if len(rows) <= most:
        return mask
    found = np.zeros_like(mask)
    found[rows[permutation(generator_for(seed, "heads"), len(rows))[:most]]] = True
    return found
