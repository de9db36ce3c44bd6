"""The split of a training set into noisy, clean and validation examples, with saving and loading."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.fingerprints import NAMED, listed, namer
from vri_pyro.data.noise.no_noise import NoNoise
from vri_pyro.data.noise.transition_counts import transition_frequencies
from vri_pyro.data.noisy_holdout import drawn
from vri_pyro.data.npz import read_npz, write_npz
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import (
    NO_CLASS,
    UNCHECKED,
    check_array,
    check_disjoint,
    check_indices,
    check_labels,
    check_same_shape,
    check_transition,
    check_verified,
)
from vri_pyro.data.verified import VerifiedPairs
from vri_pyro.utils.archives import DAMAGE, check_archive
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import counted

_OPTIONAL = (
    "true_labels",
    "transition",
    "replaced_indices",
    "replaced_images",
    "validation_from",
    "verified",
    "listing",
    "corrected_indices",
    "labels_before",
    "data_labels",
    "verified_labels",
    "noisy_holdout",
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

    Indices are positions in the training set, int64. Labels are int64, aligned with the indices.

    Attributes:
        noisy_indices: the noisy set, examples with untrusted labels [N].
        clean_indices: the clean set (the meta-data) [M]; may be empty.
        validation_indices: the validation set, for the choice of the best epoch [V]; may be empty.
        given_labels: the possibly wrong labels of the noisy set [N].
        true_labels: the true labels of the noisy set [N], -1 for examples of no class; None if unknown.
        clean_labels: the true labels of the clean set [M].
        validation_labels: the labels of the validation set [V]: true labels, or given labels if the validation set was
            held out of the noisy set.
        noise: the noise recipe, or ``"observed"`` if the labels of the data were used as given.
        nominal_rate: the expected share of wrong labels in the noisy set, before validation examples were held out of
            it; nan if unknown.
        transition: the noise's nominal transition matrix, float64 [K, K]; None if unknown.
        num_train: size of the training set to which the indices refer.
        num_classes: number of classes K.
        seed: the seed of the split and the noise.
        replaced_indices: examples whose image was replaced by an image of another data set [R], in the noisy set or in
            a validation set held out of it; None if the noise replaces no images.
        replaced_images: the replacement images [R, H, W, C].
        validation_from: the part from which the validation set was held out, ``"clean"`` or ``"noisy"``.
        verified: whether the labels from which the clean set was drawn are known to be correct; see
            :attr:`~vri_pyro.data.arrays.Arrays.truth_known`.
        listing: see :attr:`~vri_pyro.data.arrays.Arrays.listing`.
        corrected_indices: the examples that a person has reviewed after the split was drawn [C]; see :meth:`corrected`.
            Their labels in the clean and validation sets may differ from those of the data. None of them is noisy.
        labels_before: the noisy labels that these examples had before the review, [C]; -1 for those that had none.
        data_labels: ``y_train`` of the data from which the split was drawn, [num_train]; None in older files. With
            other labels, the split no longer fits the data.
        verified_labels: the checked classes beside ``data_labels``, [num_train], -1 for unchecked examples; None if the
            data have none. None of the checked examples is noisy. See :attr:`pairs`.
        noisy_holdout: the noisy examples that are kept out of training [H], a part of ``noisy_indices``. On these, a
            classifier cannot have memorised the labels.

    Raises:
        UserError: two parts overlap, an index or label is out of range, lengths differ, the noisy set is empty, a
            replaced example has a true class, ``verified_labels`` is given without ``data_labels``, or
            ``noisy_holdout`` is not a part of the noisy set or leaves none of it to train on.
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
    corrected_indices: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    labels_before: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    data_labels: np.ndarray | None = None
    verified_labels: np.ndarray | None = None
    noisy_holdout: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        """Validate the split and convert its indices and labels to int64."""
        parts = ("noisy_indices", "clean_indices", "validation_indices")
        for name in parts:
            object.__setattr__(self, name, check_indices(name, getattr(self, name), self.num_train))
        if len(self.noisy_indices) == 0:
            raise UserError("noisy_indices is empty; a split needs at least one noisy example.")
        for first, second in (parts[:2], parts[::2], parts[1:]):
            check_disjoint(first, getattr(self, first), second, getattr(self, second))
        corrected = check_indices("corrected_indices", self.corrected_indices, self.num_train)
        object.__setattr__(self, "corrected_indices", corrected)
        check_disjoint("corrected_indices", corrected, "noisy_indices", self.noisy_indices)
        before = check_labels("labels_before", self.labels_before, len(corrected), self.num_classes, may_be_none=True)
        object.__setattr__(self, "labels_before", before)
        for name, part in _LABELS_OF.items():
            labels = getattr(self, name)
            if labels is not None:
                count = len(getattr(self, part))
                checked = check_labels(name, labels, count, self.num_classes, may_be_none=name == "true_labels")
                object.__setattr__(self, name, checked)
        if self.data_labels is not None:
            labels = check_labels("data_labels", self.data_labels, self.num_train, self.num_classes, may_be_none=True)
            object.__setattr__(self, "data_labels", labels)
        self._check_verified()
        self._check_holdout()
        if self.validation_from not in ("clean", "noisy"):
            raise UserError(f"validation_from is {self.validation_from!r}; expected 'clean' or 'noisy'.")
        self._check_replaced()
        if self.transition is not None:
            check_transition("transition", self.transition, self.num_classes)

    def _check_verified(self) -> None:
        if self.verified_labels is None:
            return
        if self.data_labels is None:
            raise UserError("verified_labels is given without data_labels, the labels as given; add data_labels.")
        verified = check_verified("verified_labels", self.verified_labels, self.num_train, self.num_classes)
        checked = np.flatnonzero(verified != UNCHECKED)
        check_disjoint("verified_labels", checked, "noisy_indices", self.noisy_indices)
        check_disjoint("verified_labels", checked, "corrected_indices", self.corrected_indices)
        object.__setattr__(self, "verified_labels", verified)

    def _check_holdout(self) -> None:
        holdout = check_indices("noisy_holdout", self.noisy_holdout, self.num_train)
        if len(strangers := np.setdiff1d(holdout, self.noisy_indices)):
            raise UserError(
                f"The example {strangers[0]} of noisy_holdout is not in the noisy set; only noisy examples can be kept "
                "out of training."
            )
        if len(holdout) == len(self.noisy_indices):
            raise UserError("noisy_holdout has all noisy examples and leaves none to train on; keep fewer of them.")
        object.__setattr__(self, "noisy_holdout", holdout)

    def _check_replaced(self) -> None:
        if self.replaced_indices is None or self.replaced_images is None:
            if self.replaced_indices is not None or self.replaced_images is not None:
                raise UserError("Only one of replaced_indices and replaced_images is given; expected both or neither.")
            return
        indices = check_indices("replaced_indices", self.replaced_indices, self.num_train)
        images = check_array("replaced_images", self.replaced_images) if len(indices) else self.replaced_images
        if len(images) != len(indices):
            raise UserError(
                f"There are {len(images)} replaced_images for {len(indices)} replaced_indices; "
                "expected one image per index."
            )
        untrusted = np.concatenate([self.noisy_indices, self.corrected_indices])
        if self.validation_from == "noisy":
            untrusted = np.concatenate([untrusted, self.validation_indices])
        if strangers := np.setdiff1d(indices, untrusted).tolist():
            raise UserError(
                f"The replaced example {strangers[0]} is not in the noisy set; only noisy examples can be replaced."
            )
        if self.true_labels is None or (self.true_labels[np.isin(self.noisy_indices, indices)] != NO_CLASS).any():
            raise UserError(
                "The true label of a replaced example is not -1; set it to -1, since its image belongs to no class."
            )
        object.__setattr__(self, "replaced_indices", indices)
        object.__setattr__(self, "replaced_images", images)

    def inputs(self, x_train: Inputs) -> Inputs:
        """Return the training inputs of a run: ``x_train`` itself, or a copy with the replaced images."""
        if self.replaced_indices is None or self.replaced_images is None or len(self.replaced_indices) == 0:
            return x_train
        if not isinstance(x_train, np.ndarray):
            raise UserError("The split has replaced images but the data are on disk; use data in memory.")
        replaced = x_train.copy()
        replaced[self.replaced_indices] = self.replaced_images
        return replaced

    @property
    def noisy_training_indices(self) -> np.ndarray:
        """The noisy set without the examples that are kept out of training, int64."""
        if len(self.noisy_holdout) == 0:
            return self.noisy_indices
        return self.noisy_indices[~np.isin(self.noisy_indices, self.noisy_holdout)]

    @property
    def noisy_draws(self) -> np.ndarray:
        """The examples in noisy batches, int64.

        They are the noisy examples that are not kept out of training and, with their new labels, reviewed clean
        examples. Corrected labels therefore count as much as before, also for methods without clean batches, and an
        epoch stays as long.
        """
        reviewed, noisy = np.intersect1d(self.clean_indices, self.corrected_indices), self.noisy_training_indices
        return np.union1d(noisy, reviewed) if len(reviewed) else noisy

    @property
    def clean_draws(self) -> np.ndarray:
        """The clean set as clean batches draw from it, int64: the clean indices, repeated after corrections.

        The reviewed examples are the most suspicious ones and not a random sample: they often belong to few classes,
        which would then dominate the clean loss. After corrections, examples are therefore repeated until every class
        of the clean set occurs equally often.
        """
        if not np.isin(self.clean_indices, self.corrected_indices).any():
            return self.clean_indices
        members = [self.clean_indices[self.clean_labels == label] for label in np.unique(self.clean_labels)]
        most = max(map(len, members))
        return np.sort(np.concatenate([np.resize(those, most) for those in members]))

    @property
    def pairs(self) -> VerifiedPairs | None:
        """The examples whose checked class and label as given are both known, in any part; None if there are none.

        Examples that were corrected after the split was drawn (:meth:`corrected`) are not among them.
        """
        if self.verified_labels is None or self.data_labels is None:
            return None
        return VerifiedPairs.of(self.verified_labels, self.data_labels)

    @property
    def held_out(self) -> np.ndarray:
        """Validation examples with trusted labels, int64; empty if validation was held out of the noisy set."""
        return self.validation_indices if self.validation_from == "clean" else self.validation_indices[:0]

    @property
    def frequencies(self) -> np.ndarray | None:
        """The realised transition frequencies, float64 [K, K]; None if the true labels are unknown.

        See :func:`~vri_pyro.data.noise.transition_counts.transition_frequencies`.
        """
        if self.true_labels is None:
            return None
        return transition_frequencies(self.true_labels, self.given_labels, self.num_classes)

    @property
    def caveat(self) -> str | None:
        """A warning for reports if the clean or true labels are unverified; None if they are verified."""
        if self.verified:
            return None
        told = []
        trusted = np.concatenate([self.clean_indices, self.held_out])
        if not np.isin(trusted, self.corrected_indices).all():
            told.append(
                "The clean labels were drawn from unverified labels, so some of them may be wrong: verify the labels "
                "of some examples and provide them as a clean set."
            )
        if self.true_labels is not None:
            told.append("The true labels are the labels before noise injection, which are unverified.")
        return " ".join(told) or None

    def labels(self, y_train: np.ndarray) -> np.ndarray:
        """Return the training labels of a run, int64 [num_train]; examples outside the parts keep ``y_train``."""
        labels = y_train.copy()
        labels[self.noisy_indices] = self.given_labels
        labels[self.clean_indices] = self.clean_labels
        labels[self.validation_indices] = self.validation_labels
        return labels

    def labels_as_given(self, y_train: np.ndarray) -> np.ndarray:
        """Return the training labels with the noisy labels that reviewed examples had before, int64 [num_train].

        Together with the noisy set they are all labels that the noise has produced. The noise has to be estimated from
        these: the labels that are left after a review are a selection.
        """
        labels = self.labels(y_train)
        known = self.labels_before != NO_CLASS
        labels[self.corrected_indices[known]] = self.labels_before[known]
        return labels

    def corrected(self, indices: np.ndarray, labels: np.ndarray) -> Split:
        """Return this split with labels that a person has given or confirmed.

        The examples join the clean set, except those of the validation set, which stay there. Examples of no class
        (label -1) leave the split. The remaining noisy labels are no longer a random sample of the noise, so its
        nominal rate and transition matrix become unknown.

        Args:
            indices: positions of the reviewed examples in the training set, integers [C], in any part or in none.
            labels: their labels, integers [C] in 0..K-1, or -1 for an example of no class.

        Raises:
            UserError: an index or label is out of range, an index occurs twice, or no noisy example remains.
        """
        indices = check_indices("indices", indices, self.num_train)
        labels = check_labels("labels", labels, len(indices), self.num_classes, may_be_none=True)
        known = self.labels(np.full(self.num_train, NO_CLASS))
        known[indices] = labels
        removed = indices[labels == NO_CLASS]
        validation = np.setdiff1d(self.validation_indices, removed)
        clean = np.setdiff1d(np.union1d(self.clean_indices, indices), np.concatenate([validation, removed]))
        noisy = ~np.isin(self.noisy_indices, indices)
        reviewed = np.union1d(self.corrected_indices, indices)
        before = np.full(self.num_train, NO_CLASS)
        before[self.corrected_indices] = self.labels_before
        before[self.noisy_indices] = self.given_labels
        verified = self.verified_labels
        if verified is not None and self.data_labels is not None:
            before = np.where(verified == UNCHECKED, before, self.data_labels)
            verified = np.where(np.isin(np.arange(self.num_train), indices), UNCHECKED, verified)
            verified = verified if (verified != UNCHECKED).any() else None
        return replace(
            self,
            noisy_indices=self.noisy_indices[noisy],
            clean_indices=clean,
            validation_indices=validation,
            given_labels=self.given_labels[noisy],
            true_labels=None if self.true_labels is None else self.true_labels[noisy],
            clean_labels=known[clean],
            validation_labels=known[validation],
            nominal_rate=math.nan,
            transition=None,
            corrected_indices=reviewed,
            labels_before=before[reviewed],
            verified_labels=verified,
            noisy_holdout=self._holdout_drawn_from(self.noisy_indices[noisy]),
        )

    def _holdout_drawn_from(self, noisy: np.ndarray) -> np.ndarray:
        """Draw as large a share of the remaining noisy examples as was kept out of training; one may be left to train.

        The examples that remain of a holdout are no random sample, because the most suspicious ones are reviewed, and
        wrong labels are more suspicious if they were not trained on.
        """
        share = len(self.noisy_holdout) / len(self.noisy_indices)
        return drawn(noisy, min(math.ceil(share * len(noisy)), max(len(noisy) - 1, 0)), self.seed)

    def without(self, indices: np.ndarray) -> Split:
        """Return this split without the examples at the given positions of the training set, int64 [n].

        Raises:
            UserError: no noisy example remains.
        """
        kept = {part: ~np.isin(getattr(self, part), indices) for part in set(_LABELS_OF.values())}
        if not kept["noisy_indices"].any():
            raise UserError("No noisy example remains after the removal of duplicates; use other data or keep them.")
        changes = {part: getattr(self, part)[stay] for part, stay in kept.items()}
        for name, part in _LABELS_OF.items():
            if (labels := getattr(self, name)) is not None:
                changes[name] = labels[kept[part]]
        if self.replaced_indices is not None and self.replaced_images is not None:
            stay = ~np.isin(self.replaced_indices, indices)
            changes |= {"replaced_indices": self.replaced_indices[stay], "replaced_images": self.replaced_images[stay]}
        holdout = np.setdiff1d(self.noisy_holdout, indices)
        changes["noisy_holdout"] = holdout[:0] if len(holdout) == len(changes["noisy_indices"]) else holdout
        return replace(self, **changes)

    @property
    def open_set_rate(self) -> float:
        """The share of the noisy set that belongs to none of the classes; nan if the true labels are unknown."""
        return float("nan") if self.true_labels is None else float((self.true_labels == NO_CLASS).mean())

    @property
    def realised_rate(self) -> float:
        """The share of wrong labels in the noisy set; nan if the true labels are unknown."""
        return float("nan") if self.true_labels is None else float((self.given_labels != self.true_labels).mean())

    def summary(self) -> dict[str, int | float]:
        """Return sizes and rates as plain numbers, for a log or a table."""
        return {
            "noisy": len(self.noisy_indices),
            "clean": len(self.clean_indices),
            "validation": len(self.validation_indices),
            **({"noisy_holdout": held_out} if (held_out := len(self.noisy_holdout)) else {}),
            "classes": self.num_classes,
            "nominal_rate": self.nominal_rate,
            "realised_rate": self.realised_rate,
            "open_set_rate": self.open_set_rate,
            "seed": self.seed,
            **({} if (pairs := self.pairs) is None else {"checked": len(pairs.indices), "checked_wrong": pairs.wrong}),
        }

    def of(self, arrays: Arrays) -> Split:
        """Return this split for the given data, marked as unverified if the labels of the data are unverified.

        This affects a split that was saved as verified before its data were declared unverified. If no noise was
        injected, its true labels, transition matrix and nominal rate are removed as well, since they are unknown.

        Raises:
            UserError: the split was made from other data; see :meth:`check_fits`.
        """
        self.check_fits(arrays)
        if arrays.truth_known or not self.verified:
            return self
        if self.noise != repr(NoNoise()):
            return replace(self, verified=False)
        return replace(self, verified=False, true_labels=None, transition=None, noise=OBSERVED, nominal_rate=math.nan)

    def check_fits(self, arrays: Arrays) -> None:
        """Raise if sizes, labels or image lists show that the split was made from other data.

        Raises:
            UserError: the sizes, the list of images, or the shape or dtype of the replaced images differ, or a label
                differs from the label in the data.
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
                "The split is for a different list of training images: an image was added, moved, renamed or removed, "
                "or the order changed; restore the list or make a split from these data."
            )
        self._check_data_labels(arrays)
        self._check_data_verified(arrays)
        self._check_truth(arrays.y_train if arrays.y_train_clean is None else arrays.y_train_clean)
        if self.replaced_images is not None:
            check_same_shape("The split's replaced_images", self.replaced_images, "x_train", arrays.x_train)

    def _check_data_labels(self, arrays: Arrays) -> None:
        if self.data_labels is None or not len(changed := np.flatnonzero(self.data_labels != arrays.y_train)):
            return
        names = [namer(arrays.x_train)(index) for index in changed[:NAMED].tolist()]
        raise UserError(
            f"{counted(len(changed), 'label of the data has', 'labels of the data have')} changed since the split was "
            f"drawn ({listed(names, len(changed))}), but the split has the old ones; draw a new split "
            "(without --split.file), or restore the labels and correct them in the split with vri-pyro relabel."
        )

    def _check_data_verified(self, arrays: Arrays) -> None:
        """Compare the checked classes with those of the data; a split without any ignores them, with a warning."""
        now = np.full(self.num_train, UNCHECKED) if arrays.verified_labels is None else arrays.verified_labels
        if self.verified_labels is None:
            if (later := np.setdiff1d(np.flatnonzero(now != UNCHECKED), self.corrected_indices)).size:
                warnings.warn(
                    f"{counted(len(later), 'label of the data was', 'labels of the data were')} checked after the "
                    "split was drawn, which does not use them; "
                    "draw a new split (without --split.file) to train with them",
                    stacklevel=4,
                )
            return
        changed = np.setdiff1d(np.flatnonzero(self.verified_labels != now), self.corrected_indices)
        if len(changed):
            names = [namer(arrays.x_train)(index) for index in changed[:NAMED].tolist()]
            raise UserError(
                f"{counted(len(changed), 'verified label of the data has', 'verified labels of the data have')} "
                f"changed since the split was drawn ({listed(names, len(changed))}); draw a new split (without "
                "--split.file), or restore them."
            )

    def _check_truth(self, truth: np.ndarray) -> None:
        if self.verified_labels is not None:
            truth = np.where(self.verified_labels == UNCHECKED, truth, self.verified_labels)
        if self.replaced_indices is not None:
            truth = truth.copy()
            truth[self.replaced_indices] = NO_CLASS
        for name in ("clean_labels", "validation_labels", "true_labels"):
            labels = getattr(self, name)
            if labels is None or (name == "validation_labels" and self.validation_from == "noisy"):
                continue
            part = getattr(self, _LABELS_OF[name])
            if (~np.isin(part, self.corrected_indices) & (labels != truth[part])).any():
                raise UserError(f"The split's {name} differ from the labels of the data; make a split from these data.")

    def save(self, path: str | Path) -> None:
        """Save the split to an .npz file, atomically replacing an existing file."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        write_npz(Path(path), {name: np.asarray(value) for name, value in values.items() if value is not None})

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """Load and validate a split saved by :meth:`save`.

        Raises:
            UserError: the file is missing or damaged, or does not contain a valid split.
        """
        required = [field.name for field in fields(cls) if field.name not in _OPTIONAL]
        arrays = read_npz(Path(path), required, _OPTIONAL)
        try:
            check_archive(Path(path))  # damage can make an optional array disappear
        except DAMAGE as error:
            raise UserError(f"{path} is truncated or damaged; write or copy it again.") from error
        try:
            scalars: dict[str, Any] = {name: _scalar(name, arrays.pop(name), kind) for name, kind in _SCALARS.items()}
            kinds: dict[str, Any] = {"validation_from": str, "verified": bool, "listing": str}
            scalars |= {name: _scalar(name, arrays.pop(name), kinds[name]) for name in kinds if name in arrays}
            return cls(**{"true_labels": None, "transition": None, **arrays, **scalars})
        except UserError as error:
            raise UserError(f"In {path}: {error}") from error


def _scalar[T: (str, int, float, bool)](name: str, value: np.ndarray, kind: type[T]) -> T:
    if value.shape != ():
        raise UserError(f"{name} has shape {value.shape}; expected a single value; save the split again.")
    try:
        return kind(value.item())
    except ValueError as error:
        raise UserError(f"{name} is {value.item()!r}; expected a value of type {kind.__name__}.") from error
