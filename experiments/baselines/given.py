"""The data that every baseline receives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from vri_pyro.utils.errors import UserError

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

PARTS = ("noisy", "clean", "validation")


@dataclass(frozen=True)
class Given:
    """What a baseline learns from, and the examples to predict.

    Attributes:
        x_noisy: inputs as vectors, such as features or flattened images, [N, D].
        y_noisy: their given labels, some of which are wrong, [N].
        x_clean: inputs with right labels, [M, D]; M may be 0, and classes may be missing.
        y_clean: their labels, [M].
        x_validation: inputs with right labels to choose options by, [V, D], at least one.
        y_validation: their labels, [V].
        x_test: inputs to predict, [n_test, D].
        num_classes: K.
        seed: seed of the baselines that draw random numbers.

    Raises:
        UserError: inputs and labels do not match, a label is out of range, or noisy or validation examples are missing.
    """

    x_noisy: Floats
    y_noisy: Integers
    x_clean: Floats
    y_clean: Integers
    x_validation: Floats
    y_validation: Integers
    x_test: Floats
    num_classes: int
    seed: int = 0

    def __post_init__(self) -> None:
        dim = self.x_test.shape[-1]
        for part in PARTS:
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            if x.shape != (len(y), dim):
                raise UserError(
                    f"x_{part} has shape {x.shape}, but there are {len(y)} labels and x_test has {dim} columns; "
                    "give one row per label and the same columns everywhere"
                )
            if len(y) and not (y.min() >= 0 and y.max() < self.num_classes):
                raise UserError(f"y_{part} has a label outside 0 to {self.num_classes - 1}; number the classes from 0")
            if not len(y) and part != "clean":
                raise UserError(f"there are no {part} examples; give at least one")

    @property
    def x(self) -> Floats:
        """Inputs of the clean examples, followed by those of the noisy ones, [M + N, D]."""
        return np.concatenate([self.x_clean, self.x_noisy])

    @property
    def y(self) -> Integers:
        """Labels of the clean examples, followed by those of the noisy ones, [M + N]."""
        return np.concatenate([self.y_clean, self.y_noisy])

    @property
    def is_clean(self) -> NDArray[np.bool_]:
        """Whether each example of :attr:`x` is clean, [M + N]."""
        return np.arange(len(self.y)) < len(self.y_clean)

    def standardised(self) -> Given:
        """Return the data in float32 with features of mean 0 and variance 1; constant features become 0."""
        mean, deviation = self.x.mean(0), self.x.std(0)
        scale = np.where(deviation > 1e-6 * np.abs(mean), deviation, np.inf)
        return self._with_inputs(lambda x: ((x - mean) / scale).astype(np.float32))

    def reduced(self, dim: int) -> Given:
        """Return the data with at most ``dim`` features: the first principal components, if there are more features."""
        if self.x_test.shape[1] <= dim:
            return self
        components = PCA(min(dim, len(self.y)), svd_solver="randomized", random_state=self.seed).fit(self.x)
        return self._with_inputs(components.transform)

    def _with_inputs(self, change: Callable[[Floats], Floats]) -> Given:
        counts = [len(x) for x in (self.x_noisy, self.x_clean, self.x_validation, self.x_test)]
        changed = change(np.concatenate([self.x_noisy, self.x_clean, self.x_validation, self.x_test]))
        noisy, clean, validation, test = np.split(changed, np.cumsum(counts)[:-1])
        return replace(self, x_noisy=noisy, x_clean=clean, x_validation=validation, x_test=test)
