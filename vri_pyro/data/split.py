"""Which training examples are noisy, clean and held out, as one saved and verified record."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.noise.no_noise import NoNoise
from vri_pyro.data.noise.transition_counts import transition_frequencies
from vri_pyro.data.npz import read_npz, write_npz
from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.data.validation import (
    NO_CLASS,
    check_array,
    check_disjoint,
    check_indices,
    check_labels,
    check_same_shape,
    check_transition,
)
from vri_pyro.utils.errors import UserError

_OPTIONAL = (
    "true_labels",
    "transition",
    "replaced_indices",
    "replaced_images",
    "validation_from",
    "verified",
    "listing",
)
OBSERVED = "observed"
_SCALARS = {"noise": str, "nominal_rate": float, "num_train": int, "num_classes": int, "seed": int}
_LABELS_OF = {
    "given_labels": "noisy_indices",
    "true_labels": "noisy_indices",
    "clean_labels": "clean_indices",
    "validation_labels": "validation_indices",
}


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint noisy, clean and validation parts of a training set, with their labels.

    Indices are positions in the training set, int64; labels are int64, aligned with the indices.

    Attributes:
        noisy_indices: examples whose labels are not trusted [N].
        clean_indices: the clean set (the meta-data) [M]; may be empty.
        validation_indices: clean examples held out to choose an epoch [V]; may be empty.
        given_labels: the possibly wrong labels of the noisy part [N].
        true_labels: the true labels of the noisy part [N], where they are known; -1 for examples of no class.
        clean_labels: the true labels of the clean set [M].
        validation_labels: the labels of the validation set [V], true ones unless it was held out of the noisy part.
        noise: the recipe of the noise, or ``"observed"`` where the data came with it.
        nominal_rate: the expected share of wrong labels among the noisy part, before validation examples were held
            out of it; nan when unknown.
        transition: the noise's nominal matrix, float64 [K, K], where there is one.
        num_train: size of the training set that the indices refer to.
        num_classes: number of classes K.
        seed: the seed that everything was drawn from.
        replaced_indices: examples of the noisy part, or of a validation set held out of it, whose image was replaced
            by one of another data set [R], if any.
        replaced_images: what they show now [R, H, W, C].
        validation_from: the part that the validation set was held out of, ``"clean"`` or ``"noisy"``.
        verified: whether the labels that clean ones are drawn from are known to be right; see
            :attr:`~vri_pyro.data.arrays.Arrays.truth_known`.
        listing: see :attr:`~vri_pyro.data.arrays.Arrays.listing`.

    Raises:
        UserError: two parts overlap, an index or label is out of range, lengths differ, the noisy part is empty, or a
            replaced example has a class.
    """

    noisy_indices: np.ndarray
    clean_indices: np.ndarray
    validation_indices: np.ndarray
    given_labels: np.ndarray
    true_labels: np.ndarray | None
    clean_labels: np.ndarray
    validation_labels: np.ndarray
    noise: str
    nominal_rate: float
    transition: np.ndarray | None
    num_train: int
    num_classes: int
    seed: int
    replaced_indices: np.ndarray | None = None
    replaced_images: np.ndarray | None = None
    validation_from: Literal["clean", "noisy"] = "clean"
    verified: bool = True
    listing: str | None = None

    def __post_init__(self) -> None:
        """Verify the record, and keep its arrays as int64."""
        parts = ("noisy_indices", "clean_indices", "validation_indices")
        for name in parts:
            object.__setattr__(self, name, check_indices(name, getattr(self, name), self.num_train))
        if len(self.noisy_indices) == 0:
            raise UserError("noisy_indices is empty; a split needs at least one noisy example.")
        for first, second in (parts[:2], parts[::2], parts[1:]):
            check_disjoint(first, getattr(self, first), second, getattr(self, second))
        for name, part in _LABELS_OF.items():
            labels = getattr(self, name)
            if labels is not None:
                count = len(getattr(self, part))
                checked = check_labels(name, labels, count, self.num_classes, may_be_none=name == "true_labels")
                object.__setattr__(self, name, checked)
        if self.validation_from not in ("clean", "noisy"):
            raise UserError(f"validation_from is {self.validation_from!r}; give 'clean' or 'noisy'.")
        self._check_replaced()
        if self.transition is not None:
            check_transition("transition", self.transition, self.num_classes)

    def _check_replaced(self) -> None:
        if self.replaced_indices is None or self.replaced_images is None:
            if self.replaced_indices is not None or self.replaced_images is not None:
                raise UserError("Of replaced_indices and replaced_images one is missing; save the split anew.")
            return
        indices = check_indices("replaced_indices", self.replaced_indices, self.num_train)
        images = check_array("replaced_images", self.replaced_images) if len(indices) else self.replaced_images
        if len(images) != len(indices):
            raise UserError(
                f"There are {len(images)} replaced_images for {len(indices)} replaced_indices; give as many."
            )
        untrusted = self.noisy_indices
        if self.validation_from == "noisy":
            untrusted = np.concatenate([untrusted, self.validation_indices])
        if strangers := np.setdiff1d(indices, untrusted).tolist():
            raise UserError(f"Replaced example {strangers[0]} is not in the noisy part; replace no other images.")
        if self.true_labels is None or (self.true_labels[np.isin(self.noisy_indices, indices)] != NO_CLASS).any():
            raise UserError("A replaced example has a true label, but its image is of no class; give it -1.")
        object.__setattr__(self, "replaced_indices", indices)
        object.__setattr__(self, "replaced_images", images)

    def inputs(self, x_train: Inputs) -> Inputs:
        """The training inputs as the run sees them: with the replaced images, in a copy where there are some."""
        if self.replaced_indices is None or self.replaced_images is None or len(self.replaced_indices) == 0:
            return x_train
        if isinstance(x_train, Streamed):
            raise UserError("The split has replaced images, but the data's are streamed; take data in memory.")
        replaced = x_train.copy()
        replaced[self.replaced_indices] = self.replaced_images
        return replaced

    @property
    def held_out(self) -> np.ndarray:
        """The validation examples whose labels are taken for right, int64; none where they are of the noisy part."""
        return self.validation_indices if self.validation_from == "clean" else self.validation_indices[:0]

    @property
    def frequencies(self) -> np.ndarray | None:
        """The noise as it came out, see :func:`transition_frequencies`, [K, K]; None where the truth is unknown."""
        if self.true_labels is None:
            return None
        return transition_frequencies(self.true_labels, self.given_labels, self.num_classes)

    @property
    def caveat(self) -> str | None:
        """What to say before anything is judged by labels that are taken for right, where nobody has verified them."""
        if self.verified:
            return None
        told = []
        if len(self.clean_indices) or len(self.held_out):
            told.append(
                "The labels that are taken for clean were drawn from labels that nobody has verified, and some of them "
                "may be wrong too: have a few checked, and give them as a clean part."
            )
        if self.true_labels is not None:
            told.append("What is called the truth are the labels before noise was injected, which nobody has verified.")
        return " ".join(told) or None

    def labels(self, y_train: np.ndarray) -> np.ndarray:
        """The training labels that a run may see, int64 [num_train]; outside the three parts those of the data."""
        labels = y_train.copy()
        labels[self.noisy_indices] = self.given_labels
        labels[self.clean_indices] = self.clean_labels
        labels[self.validation_indices] = self.validation_labels
        return labels

    @property
    def open_set_rate(self) -> float:
        """The share of the noisy part that belongs to none of the classes; nan when the truth is unknown."""
        return float("nan") if self.true_labels is None else float((self.true_labels == NO_CLASS).mean())

    @property
    def realised_rate(self) -> float:
        """The share of wrong labels in the noisy part; nan when the truth is unknown."""
        return float("nan") if self.true_labels is None else float((self.given_labels != self.true_labels).mean())

    def summary(self) -> dict[str, int | float]:
        """Sizes and rates as plain numbers, for a log or a table."""
        return {
            "noisy": len(self.noisy_indices),
            "clean": len(self.clean_indices),
            "validation": len(self.validation_indices),
            "classes": self.num_classes,
            "nominal_rate": self.nominal_rate,
            "realised_rate": self.realised_rate,
            "open_set_rate": self.open_set_rate,
            "seed": self.seed,
        }

    def of(self, arrays: Arrays) -> Split:
        """This split, of these data; one that was made before it was known that nobody has verified them says so now.

        Raises:
            UserError: it was made from other data; see :meth:`check_fits`.
        """
        self.check_fits(arrays)
        if arrays.truth_known or not self.verified:
            return self
        if self.noise != repr(NoNoise()):
            return replace(self, verified=False)
        return replace(self, verified=False, true_labels=None, transition=None, noise=OBSERVED, nominal_rate=math.nan)

    def check_fits(self, arrays: Arrays) -> None:
        """Refuse a split that was made from other data, as far as sizes and labels can tell.

        Raises:
            UserError: sizes, or shape or dtype of replaced images, differ, or a label is not the one that the data have
                at its place.
        """
        for name, own, theirs in (
            ("training examples", self.num_train, len(arrays.y_train)),
            ("classes", self.num_classes, arrays.num_classes),
        ):
            if own != theirs:
                raise UserError(
                    f"The split is for {own} {name} but the data have {theirs}; make a split from these data."
                )
        if self.listing is not None and self.listing != arrays.listing:
            raise UserError(
                "The split is of another list of training images: one was added, moved, renamed or taken away, or "
                "their order is another; bring the list back, or make a split from these data."
            )
        self._check_truth(arrays.y_train if arrays.y_train_clean is None else arrays.y_train_clean)
        if self.replaced_images is not None:
            check_same_shape("The split's replaced_images", self.replaced_images, "x_train", arrays.x_train)

    def _check_truth(self, truth: np.ndarray) -> None:
        if self.replaced_indices is not None:
            truth = truth.copy()
            truth[self.replaced_indices] = NO_CLASS
        for name in ("clean_labels", "validation_labels", "true_labels"):
            labels = getattr(self, name)
            if labels is None or (name == "validation_labels" and self.validation_from == "noisy"):
                continue
            if not np.array_equal(labels, truth[getattr(self, _LABELS_OF[name])]):
                raise UserError(f"The split's {name} are not those of the data; make a split from these data.")

    def save(self, path: str | Path) -> None:
        """Write the record to an .npz file, replacing a file of that name at once or not at all."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        write_npz(Path(path), {name: np.asarray(value) for name, value in values.items() if value is not None})

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Read and verify a record that :meth:`save` wrote.

        Raises:
            UserError: the file is missing or damaged, or its contents are no sound split.
        """
        required = [field.name for field in fields(cls) if field.name not in _OPTIONAL]
        arrays = read_npz(Path(path), required, _OPTIONAL)
        try:
            scalars: dict[str, Any] = {name: _scalar(name, arrays.pop(name), kind) for name, kind in _SCALARS.items()}
            kinds: dict[str, Any] = {"validation_from": str, "verified": bool, "listing": str}
            scalars |= {name: _scalar(name, arrays.pop(name), kinds[name]) for name in kinds if name in arrays}
            return cls(**{"true_labels": None, "transition": None, **arrays, **scalars})
        except UserError as error:
            raise UserError(f"In {path}: {error}") from error


def _scalar[T: (str, int, float, bool)](name: str, value: np.ndarray, kind: type[T]) -> T:
    if value.shape != ():
        raise UserError(f"{name} has shape {value.shape} instead of being a single value; save the split anew.")
    try:
        return kind(value.item())
    except ValueError as error:
        raise UserError(f"{name} is {value.item()!r}; save the split anew.") from error
