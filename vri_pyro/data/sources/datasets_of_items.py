"""PyTorch map-style data sets and Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.class_labels import number_labels
from vri_pyro.data.image_files import DatasetImages
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import arrays_of_parts, check_there, warn_of_no_trusted_labels
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class TorchDatasets(Source):
    """Map-style PyTorch data sets of (image, label) pairs, streamed.

    The data sets must not have transforms. An image is a PIL image, a uint8 array [H, W] or [H, W, C], or a uint8
    tensor [C, H, W].

    Attributes:
        train: training examples with untrusted labels.
        test: test examples; None without a test set.
        clean: examples with trusted labels. If None, the clean set is drawn from ``train``, with a warning.
        validation: further examples with trusted labels, for validation; requires ``clean``.
        size: side of the square to which images are scaled and cropped, in pixels.
        classes: the class names. If None, they come from ``train.classes``; if that does not exist, they are the sorted
            labels if these are strings, and otherwise numbers.
        verified: whether the labels of ``train`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
    """

    train: Dataset
    test: Dataset | None = None
    clean: Dataset | None = None
    validation: Dataset | None = None
    size: int = 64
    classes: tuple[str, ...] | None = None
    verified: bool = False

    def load(self) -> Arrays:
        """Collect the labels, from ``targets`` or ``labels`` of a data set if they exist, otherwise item by item.

        Raises:
            UserError: a data set is not map-style or is empty, or a label is neither an integer nor a class name.
        """
        parts = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        labels = {name: _labels(name, part) for name, part in parts.items() if part is not None}
        names, numbers = _class_numbers(labels, self.classes or getattr(self.train, "classes", None))
        images = {name: DatasetImages(parts[name], self.size) for name in labels}
        return _arrays("the training data set", names, images, numbers, self.verified)


@accepts_old_arguments
@dataclass(frozen=True)
class HuggingFace(Source):
    """A Hugging Face data set saved by ``save_to_disk``, streamed.

    Attributes:
        path: the folder of the ``DatasetDict``, or of a ``Dataset``, which has untrusted labels only.
        train: name of the split with untrusted labels.
        test: name of the optional test split.
        clean: name of the split with trusted labels. If it does not exist, the clean set is drawn from ``train``, with
            a warning.
        validation: name of the optional validation split with trusted labels; requires ``clean``.
        image_column: name of the image column.
        label_column: name of the label column, of type ``ClassLabel``, string or integer.
        size: side of the square to which images are scaled and cropped, in pixels.
        verified: whether the labels of ``train`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
    """

    path: str | Path
    train: str = "train"
    test: str = "test"
    clean: str = "clean"
    validation: str = "validation"
    image_column: str = "image"
    label_column: str = "label"
    size: int = 64
    verified: bool = False

    def load(self) -> Arrays:
        """Read the labels, without reading any image.

        Raises:
            UserError: the folder, a split, a column or the ``datasets`` package is missing.
        """
        saved = _load_from_disk(Path(self.path), self.train)
        there = list(saved)
        wanted = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        for part, name in wanted.items():
            # A split that was named by the user must exist.
            if name not in there and (part == "train" or name != part):
                raise UserError(f"{self.path} has no split {name!r}; expected one of {', '.join(there)}.")
        parts = {part: saved[name] for part, name in wanted.items() if name in there}
        for part in parts.values():
            if missing := [name for name in (self.image_column, self.label_column) if name not in part.column_names]:
                raise UserError(
                    f"{self.path} has no column {missing[0]!r}; expected one of {', '.join(part.column_names)}."
                )
        labels = {name: _named(name, part, self.label_column) for name, part in parts.items()}
        feature = parts["train"].features[self.label_column]
        names, numbers = _class_numbers(labels, getattr(feature, "names", None))
        images = {name: DatasetImages(part, self.size, self.image_column) for name, part in parts.items()}
        return _arrays(str(self.path), names, images, numbers, self.verified)


def _named(name: str, part: Any, column: str) -> np.ndarray:
    """Return the labels of a split: names if the column is a ``ClassLabel``, since its numbers may differ by split."""
    names = getattr(part.features[column], "names", None)
    labels = _checked(name, part[column])
    if names is None:
        return labels
    if (labels < 0).any():
        row = int((labels < 0).argmax())
        raise UserError(f"Row {row} of the {name} split has no label; remove it or fill in its label.")
    return np.array(names, dtype=str)[labels]


def _load_from_disk(path: Path, train: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError(f"Reading {path} needs datasets: pip install 'vri-pyro[huggingface]'.") from error
    check_there(path, "a folder written by save_to_disk of a Hugging Face DatasetDict")
    try:
        saved = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} does not contain a data set ({error}); write it with save_to_disk.") from error
    if not isinstance(saved, datasets.DatasetDict):
        return {train: saved}
    return saved


def _arrays(
    name: str,
    classes: tuple[str, ...],
    images: dict[str, DatasetImages],
    labels: dict[str, np.ndarray],
    verified: bool,
) -> Arrays:
    if "clean" not in images and not verified:
        warn_of_no_trusted_labels(name, "provide trusted examples as its clean part")
    return arrays_of_parts(classes, images, labels, verified)


def _labels(name: str, dataset: Any) -> np.ndarray:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UserError(
            f"{name} is a {type(dataset).__name__} without __len__ or __getitem__; expected a map-style data set."
        )
    stored = getattr(dataset, "targets", getattr(dataset, "labels", None))
    values = [dataset[index][1] for index in range(len(dataset))] if stored is None else stored
    if len(values) != len(dataset):
        raise UserError(f"{name} has {len(values)} labels for {len(dataset)} items; expected one label per item.")
    return _checked(name, values)


def _checked(name: str, values: Sequence[Any]) -> np.ndarray:
    """Return labels as an array of integers or strings, [N]."""
    labels = np.asarray(list(values))
    if len(labels) == 0:
        raise UserError(f"The {name} part is empty; expected at least one example.")
    if labels.dtype.kind not in "iuU" or labels.ndim != 1:
        raise UserError(
            f"The labels of the {name} part have dtype {labels.dtype}; expected class names or integers 0 to K-1."
        )
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _class_numbers(
    labels: dict[str, np.ndarray], classes: Sequence[Any] | None
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return the class names, and the labels of each part as class numbers."""
    text = {name for name, part in labels.items() if part.dtype.kind == "U"}
    if text and text != labels.keys():
        raise UserError(
            f"The labels of {', '.join(sorted(text))} are names and those of {', '.join(sorted(labels.keys() - text))} "
            "are numbers; use the same type for all parts."
        )
    if classes is None and text:
        classes = sorted({str(label) for part in labels.values() for label in np.unique(part)})
    elif classes is None:
        classes = range(max(int(part.max()) for part in labels.values()) + 1)
    names = tuple(map(str, classes))
    if not text:
        return names, labels
    return names, {name: number_labels(f"{name} labels", part, names).numbers for name, part in labels.items()}
