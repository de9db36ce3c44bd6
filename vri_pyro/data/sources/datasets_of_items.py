"""PyTorch map-style data sets and Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from vri_pyro.data.arrays import Arrays
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
        test: test examples.
        clean: examples with trusted labels. If None, the clean set is drawn from ``train``, with a warning.
        validation: further examples with trusted labels, for validation; requires ``clean``.
        size: side of the square to which images are scaled and cropped, in pixels.
        classes: the class names. If None, they come from ``train.classes``, or are numbers if that does not exist.
        verified: whether the labels of ``train`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
    """

    train: Dataset
    test: Dataset
    clean: Dataset | None = None
    validation: Dataset | None = None
    size: int = 224
    classes: tuple[str, ...] | None = None
    verified: bool = False

    def load(self) -> Arrays:
        """Collect the labels, from ``targets`` or ``labels`` of a data set if they exist, otherwise item by item.

        Raises:
            UserError: a data set is not map-style or is empty, or a label is not an integer.
        """
        parts = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        labels = {name: _labels(name, part) for name, part in parts.items() if part is not None}
        names = self.classes or getattr(self.train, "classes", None)
        if names is None:
            names = [str(number) for number in range(max(int(part.max()) for part in labels.values()) + 1)]
        images = {name: DatasetImages(parts[name], self.size) for name in labels}
        return _arrays("the training data set", tuple(map(str, names)), images, labels, self.verified)


@accepts_old_arguments
@dataclass(frozen=True)
class HuggingFace(Source):
    """A Hugging Face DatasetDict saved by ``save_to_disk``, streamed.

    Attributes:
        path: the folder of the ``DatasetDict``.
        train: name of the split with untrusted labels.
        test: name of the test split.
        clean: name of the split with trusted labels. If it does not exist, the clean set is drawn from ``train``, with
            a warning.
        validation: name of the optional validation split with trusted labels; requires ``clean``.
        image_column: name of the image column.
        label_column: name of the label column, of type ``ClassLabel`` or integer.
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
    size: int = 224
    verified: bool = False

    def load(self) -> Arrays:
        """Read the labels, without reading any image.

        Raises:
            UserError: the folder, a split, a column or the ``datasets`` package is missing.
        """
        saved = _load_from_disk(Path(self.path))
        there = list(saved)
        for name in (self.train, self.test):
            if name not in there:
                raise UserError(f"{self.path} has no split {name!r}; expected one of {', '.join(there)}.")
        wanted = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        parts = {part: saved[name] for part, name in wanted.items() if name in there}
        for part in parts.values():
            if missing := [name for name in (self.image_column, self.label_column) if name not in part.column_names]:
                raise UserError(
                    f"{self.path} has no column {missing[0]!r}; expected one of {', '.join(part.column_names)}."
                )
        labels = {name: _integers(name, part[self.label_column]) for name, part in parts.items()}
        feature = parts["train"].features[self.label_column]
        names = getattr(feature, "names", None) or range(max(int(part.max()) for part in labels.values()) + 1)
        images = {name: DatasetImages(part, self.size, self.image_column) for name, part in parts.items()}
        return _arrays(str(self.path), tuple(map(str, names)), images, labels, self.verified)


def _load_from_disk(path: Path) -> Any:
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
        raise UserError(f"{path} contains a single split; save a DatasetDict with a training and a test split.")
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
    return _integers(name, values)


def _integers(name: str, values: Sequence[Any]) -> np.ndarray:
    labels = np.asarray(values)
    if len(labels) == 0:
        raise UserError(f"The {name} part is empty; expected at least one example.")
    if labels.dtype.kind not in "iu":
        raise UserError(
            f"The labels of the {name} part have dtype {labels.dtype}; expected integers; encode them as 0 to K-1."
        )
    return labels.astype(np.int64)
