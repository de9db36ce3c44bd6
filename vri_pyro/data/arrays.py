"""A labelled data set, with labels in memory and inputs in memory or streamed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np

from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.data.validation import (
    UNCHECKED,
    check_agreement,
    check_classes,
    check_disjoint,
    check_indices,
    check_inputs,
    check_labels,
    check_same_shape,
    check_verified,
)
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True, eq=False)
class Arrays:
    """Training and test examples with labels, validated and converted on construction.

    Attributes:
        x_train: training inputs: images [N, H, W, C] or vectors [N, D], uint8 (0 to 255) or float32, or streamed
            images. Grey images [N, H, W] get a channel axis; other floating dtypes are converted to float32.
        y_train: training labels, int64 [N] in 0..K-1; any integer dtype is accepted.
        x_test: test inputs, with the same example shape and dtype as the training inputs; None without a test set.
        y_test: test labels; None without a test set.
        classes: the K class names.
        y_train_clean: the true training labels [N], if ``y_train`` holds observed labels that may be wrong.
        clean_indices: the training examples with trusted labels in ``y_train`` [M], if the other labels are not
            trusted. They must be a random sample of each class, not the first rows or the easiest examples.
        validation_indices: further trusted examples, held out for validation [V]; requires ``clean_indices``.
        open_set: whether true labels may be -1 (:data:`~vri_pyro.data.validation.NO_CLASS`), which marks examples that
            belong to none of the classes. If False, a label of -1 is an error.
        verified: whether ``y_train`` is known to be correct when neither ``y_train_clean`` nor ``clean_indices`` is
            given. True for a benchmark into which noise is injected later; False for labels that were never checked.
        verified_labels: the classes that a person has found for some examples, int64 [N], -1 for all others. These
            examples are trusted, see :attr:`trusted_indices`. ``y_train`` keeps their labels as given, so that both
            labels of the example are known; see :class:`~vri_pyro.data.verified.VerifiedPairs`.

    Raises:
        UserError: an array is unusable; only one of ``x_test`` and ``y_test`` is given;
            ``y_train_clean`` is given together with ``clean_indices`` or ``verified_labels``;
            ``validation_indices`` is given without trusted examples for the clean set; the two share an example; or a
            trusted label is not the checked class.
    """

    x_train: Inputs
    y_train: np.ndarray
    x_test: Inputs | None
    y_test: np.ndarray | None
    classes: tuple[str, ...]
    y_train_clean: np.ndarray | None = None
    clean_indices: np.ndarray | None = None
    validation_indices: np.ndarray | None = None
    open_set: bool = False
    verified: bool = True
    verified_labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Validate every array and store it in canonical form."""
        if self.y_train_clean is not None and self.verified_labels is not None:
            raise UserError(
                "Both y_train_clean and verified labels are given; use y_train_clean if every true label is known, or "
                "verified if only some labels were checked."
            )
        if self.y_train_clean is not None and self.clean_indices is not None:
            raise UserError(
                "Both y_train_clean and clean_indices are given; use y_train_clean if every true label is known, "
                "or clean_indices if only some labels are trusted."
            )
        if self.validation_indices is not None and self.clean_indices is None and self.verified_labels is None:
            raise UserError("validation_indices is given without clean_indices; add clean_indices.")
        self._keep("classes", check_classes(self.classes))
        self._keep("x_train", check_inputs("x_train", self.x_train))
        count = len(self.x_train)
        truth_given = self.y_train_clean is None
        labels = check_labels("y_train", self.y_train, count, self.num_classes, self.open_set and truth_given)
        self._keep("y_train", labels)
        self._keep_test_set()
        if self.y_train_clean is not None:
            labels = check_labels("y_train_clean", self.y_train_clean, count, self.num_classes, self.open_set)
            self._keep("y_train_clean", labels)
        if self.clean_indices is not None:
            self._keep("clean_indices", check_indices("clean_indices", self.clean_indices, count))
        if self.validation_indices is not None:
            indices = check_indices("validation_indices", self.validation_indices, count)
            if self.clean_indices is not None:
                check_disjoint("validation_indices", indices, "clean_indices", self.clean_indices)
            self._keep("validation_indices", indices)
        if self.verified_labels is not None:
            verified = check_verified("verified", self.verified_labels, count, self.num_classes)
            for name in ("clean_indices", "validation_indices"):
                if (indices := getattr(self, name)) is not None:
                    check_agreement("verified", verified, name, indices, self.y_train, self.classes)
            self._keep("verified_labels", verified)

    def _keep_test_set(self) -> None:
        if self.x_test is None or self.y_test is None:
            if self.x_test is not None or self.y_test is not None:
                missing = "x_test" if self.x_test is None else "y_test"
                raise UserError(f"{missing} is missing; give both x_test and y_test, or neither.")
            return
        self._keep("x_test", check_inputs("x_test", self.x_test))
        check_same_shape("x_test", self.x_test, "x_train", self.x_train)
        self._keep("y_test", check_labels("y_test", self.y_test, len(self.x_test), self.num_classes))

    @property
    def observed(self) -> bool:
        """Whether ``y_train`` holds observed labels, some of which may be wrong."""
        return not self.verified or self.y_train_clean is not None or self.marks_trusted

    @property
    def truth_known(self) -> bool:
        """Whether some labels are known to be correct, so that a clean set can be drawn from them."""
        return self.verified or self.y_train_clean is not None or self.marks_trusted

    @property
    def marks_trusted(self) -> bool:
        """Whether the data say which labels are trusted, by ``clean_indices`` or ``verified_labels``."""
        return self.clean_indices is not None or self.verified_labels is not None

    @property
    def trusted_indices(self) -> np.ndarray | None:
        """The examples from which clean sets are drawn: ``clean_indices``, then those with a checked class, int64 [M].

        None if no label is trusted. ``validation_indices`` are not among them.
        """
        if self.verified_labels is None:
            return self.clean_indices
        known = [indices for indices in (self.clean_indices, self.validation_indices) if indices is not None]
        checked = np.flatnonzero(self.verified_labels != UNCHECKED)
        new = np.setdiff1d(checked, np.concatenate(known)) if known else checked
        return new if self.clean_indices is None else np.concatenate([self.clean_indices, new])

    @property
    def truth(self) -> np.ndarray:
        """The best known training labels, int64 [N]: the true or the checked ones where known, otherwise as given."""
        if self.y_train_clean is not None:
            return self.y_train_clean
        if self.verified_labels is None:
            return self.y_train
        return np.where(self.verified_labels == UNCHECKED, self.y_train, self.verified_labels)

    @property
    def listing(self) -> str | None:
        """SHA-256 hash of the ordered list of training images; None for inputs in memory, which have no names."""
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
        """The shape of one classifier input: (C, H, W) for images, (D,) for vectors."""
        shape = self.x_train.shape[1:]
        return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
