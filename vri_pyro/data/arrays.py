"""A labelled data set: its labels in memory, its inputs there too or streamed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np

from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.data.validation import (
    check_classes,
    check_disjoint,
    check_indices,
    check_inputs,
    check_labels,
    check_same_shape,
)
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True, eq=False)
class Arrays:
    """Training and test examples with labels, checked and converted when built.

    Attributes:
        x_train: training inputs, images [N, H, W, C] or vectors [N, D], uint8 (0 to 255) or float32. Grey
            images [N, H, W] get their channel, other floating dtypes become float32. Or streamed images.
        y_train: training labels, int64 [N] in 0..K-1; any integer dtype is accepted.
        x_test: test inputs, shaped like the training inputs.
        y_test: test labels.
        classes: the K class names.
        y_train_clean: the true training labels [N], when ``y_train`` holds observed, possibly wrong ones.
        clean_indices: the training examples whose ``y_train`` can be trusted [M], when the others' cannot.
        validation_indices: further trusted examples, held out for validation [V]; only with ``clean_indices``.
        open_set: whether the true labels may be -1 (:data:`NO_CLASS`), for examples that belong to none of the
            classes; elsewhere a label of -1 is refused, because it is more often a mistake.
        verified: whether ``y_train`` alone, with neither ``y_train_clean`` nor ``clean_indices``, is known to be right,
            as in a benchmark into which noise is injected, and not as in data that somebody has labelled once.

    Raises:
        UserError: any array is unusable, both ``y_train_clean`` and ``clean_indices`` are given,
            ``validation_indices`` without ``clean_indices``, or the two share an example.
    """

    x_train: Inputs
    y_train: np.ndarray
    x_test: Inputs
    y_test: np.ndarray
    classes: tuple[str, ...]
    y_train_clean: np.ndarray | None = None
    clean_indices: np.ndarray | None = None
    validation_indices: np.ndarray | None = None
    open_set: bool = False
    verified: bool = True

    def __post_init__(self) -> None:
        """Check every array, and keep it in canonical form."""
        if self.y_train_clean is not None and self.clean_indices is not None:
            raise UserError(
                "Both y_train_clean and clean_indices are given; keep y_train_clean where every true label "
                "is known, clean_indices where only some labels are trusted."
            )
        if self.validation_indices is not None and self.clean_indices is None:
            raise UserError("validation_indices are given without clean_indices; name the trusted examples too.")
        self._keep("classes", check_classes(self.classes))
        self._keep("x_train", check_inputs("x_train", self.x_train))
        self._keep("x_test", check_inputs("x_test", self.x_test))
        check_same_shape("x_test", self.x_test, "x_train", self.x_train)
        count = len(self.x_train)
        truth_given = self.y_train_clean is None
        labels = check_labels("y_train", self.y_train, count, self.num_classes, self.open_set and truth_given)
        self._keep("y_train", labels)
        self._keep("y_test", check_labels("y_test", self.y_test, len(self.x_test), self.num_classes))
        if self.y_train_clean is not None:
            labels = check_labels("y_train_clean", self.y_train_clean, count, self.num_classes, self.open_set)
            self._keep("y_train_clean", labels)
        if self.clean_indices is not None:
            self._keep("clean_indices", check_indices("clean_indices", self.clean_indices, count))
        if self.validation_indices is not None and self.clean_indices is not None:
            indices = check_indices("validation_indices", self.validation_indices, count)
            check_disjoint("validation_indices", indices, "clean_indices", self.clean_indices)
            self._keep("validation_indices", indices)

    @property
    def observed(self) -> bool:
        """Whether ``y_train`` are labels as somebody gave them, of which some may be wrong."""
        return not self.verified or self.y_train_clean is not None or self.clean_indices is not None

    @property
    def truth_known(self) -> bool:
        """Whether there are labels that are known to be right, for clean ones to be drawn from."""
        return self.verified or self.y_train_clean is not None or self.clean_indices is not None

    @property
    def listing(self) -> str | None:
        """SHA-256 of the list of training images, in its order; None for inputs in memory, which have no names."""
        if not isinstance(self.x_train, Streamed):
            return None
        names = "\n".join(map(self.x_train.listed, range(len(self.x_train))))
        return hashlib.sha256(os.fsencode(names)).hexdigest()

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
