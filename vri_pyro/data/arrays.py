"""A labelled data set in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.validation import (
    check_classes,
    check_indices,
    check_inputs,
    check_labels,
    check_same_shape,
)
from vri_pyro.errors import UserError


@dataclass(frozen=True, eq=False)
class Arrays:
    """Training and test examples with labels, checked and converted when built.

    Attributes:
        x_train: training inputs, images [N, H, W, C] or vectors [N, D], uint8 (0 to 255) or float32. Grey
            images [N, H, W] get their channel, other floating dtypes become float32.
        y_train: training labels, int64 [N] in 0..K-1; any integer dtype is accepted.
        x_test: test inputs, shaped like the training inputs.
        y_test: test labels.
        classes: the K class names.
        y_train_clean: the true training labels [N], when ``y_train`` holds observed, possibly wrong ones.
        clean_indices: the training examples whose ``y_train`` can be trusted [M], when the others' cannot.

    Raises:
        UserError: any array is unusable, or both ``y_train_clean`` and ``clean_indices`` are given.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    y_train_clean: np.ndarray | None = None
    clean_indices: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check every array, and keep it in canonical form."""
        if self.y_train_clean is not None and self.clean_indices is not None:
            raise UserError(
                "Both y_train_clean and clean_indices are given; keep y_train_clean where every true label "
                "is known, clean_indices where only some labels are trusted."
            )
        self._keep("classes", check_classes(self.classes))
        self._keep("x_train", check_inputs("x_train", self.x_train))
        self._keep("x_test", check_inputs("x_test", self.x_test))
        check_same_shape("x_test", self.x_test, "x_train", self.x_train)
        count = len(self.x_train)
        self._keep("y_train", check_labels("y_train", self.y_train, count, self.num_classes))
        self._keep("y_test", check_labels("y_test", self.y_test, len(self.x_test), self.num_classes))
        if self.y_train_clean is not None:
            labels = check_labels("y_train_clean", self.y_train_clean, count, self.num_classes)
            self._keep("y_train_clean", labels)
        if self.clean_indices is not None:
            self._keep("clean_indices", check_indices("clean_indices", self.clean_indices, count))

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def num_classes(self) -> int:
        """The number of classes K."""
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input as a classifier sees it: (C, H, W) for images, (D,) for vectors."""
        shape = self.x_train.shape[1:]
        return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
