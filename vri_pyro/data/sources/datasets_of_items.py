"""Data sets of other libraries: PyTorch's map-style ones, and Hugging Face's."""

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
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class TorchDatasets(Source):
    """Map-style PyTorch data sets of pairs (image, label), without transforms. Streamed from wherever they are.

    An image is a PIL image, an 8-bit array [H, W] or [H, W, C], or an 8-bit tensor [C, H, W].

    Attributes:
        train: examples whose labels are not trusted.
        test: test examples.
        clean: trusted examples; without them the clean set is drawn from ``train``, with a warning.
        validation: further trusted examples; only with ``clean``.
        size: side in pixels that images are brought to.
        classes: the classes' names; those of ``train.classes`` when None, or else numbers.
        verified: whether the labels of ``train`` are known to be right all the same, so that noise can be injected into
            them and clean ones drawn from them without a warning.
    """

    train: Dataset
    test: Dataset
    clean: Dataset | None = None
    validation: Dataset | None = None
    size: int = 224
    classes: tuple[str, ...] | None = None
    verified: bool = False

    def load(self) -> Arrays:
        """Collect the labels: from ``targets`` or ``labels`` where a data set has them, or else item by item.

        Raises:
            UserError: a data set is no map-style one, or a label is no integer.
        """
        parts = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        labels = {name: _labels(name, part) for name, part in parts.items() if part is not None}
        names = self.classes or getattr(self.train, "classes", None)
        if names is None:
            names = [str(number) for number in range(max(int(part.max()) for part in labels.values()) + 1)]
        images = {name: DatasetImages(parts[name], self.size) for name in labels}
        return _arrays("the training data set", tuple(map(str, names)), images, labels, self.verified)


@dataclass(frozen=True)
class HuggingFace(Source):
    """A data set saved by Hugging Face's ``save_to_disk``, with splits for training and testing. Streamed from disk.

    Attributes:
        path: the folder, of a ``DatasetDict``.
        train, test, clean, validation: names of the splits; clean and validation are read where they exist.
        image, label: names of the columns; labels are of type ``ClassLabel``, or integers.
        size: side in pixels that images are brought to.
        verified: whether the labels of ``train`` are known to be right all the same, so that noise can be injected into
            them and clean ones drawn from them without a warning.
    """

    path: str | Path
    train: str = "train"
    test: str = "test"
    clean: str = "clean"
    validation: str = "validation"
    image: str = "image"
    label: str = "label"
    size: int = 224
    verified: bool = False

    def load(self) -> Arrays:
        """Read the labels; no image is read.

        Raises:
            UserError: the folder, a split or a column is missing, or the ``datasets`` package is.
        """
        saved = _load_from_disk(Path(self.path))
        there = list(saved)
        for name in (self.train, self.test):
            if name not in there:
                raise UserError(f"{self.path} has no split {name!r} (it has {', '.join(there)}); name another one.")
        wanted = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        parts = {part: saved[name] for part, name in wanted.items() if name in there}
        for part in parts.values():
            if missing := [name for name in (self.image, self.label) if name not in part.column_names]:
                raise UserError(f"{self.path} has no column {missing[0]!r} (it has {', '.join(part.column_names)}).")
        labels = {name: _integers(name, part[self.label]) for name, part in parts.items()}
        feature = parts["train"].features[self.label]
        names = getattr(feature, "names", None) or range(max(int(part.max()) for part in labels.values()) + 1)
        images = {name: DatasetImages(part, self.size, self.image) for name, part in parts.items()}
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
        raise UserError(f"{path} holds no data set ({error}); write it with save_to_disk.") from error
    if not isinstance(saved, datasets.DatasetDict):
        raise UserError(f"{path} holds a single split; save a DatasetDict with the splits for training and testing.")
    return saved


def _arrays(
    name: str,
    classes: tuple[str, ...],
    images: dict[str, DatasetImages],
    labels: dict[str, np.ndarray],
    verified: bool,
) -> Arrays:
    if "clean" not in images and not verified:
        warn_of_no_trusted_labels(name, "give trusted examples as its clean part")
    return arrays_of_parts(classes, images, labels, verified)


def _labels(name: str, dataset: Any) -> np.ndarray:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UserError(f"{name} is a {type(dataset).__name__} without a length or items; give a map-style data set.")
    stored = getattr(dataset, "targets", getattr(dataset, "labels", None))
    values = [dataset[index][1] for index in range(len(dataset))] if stored is None else stored
    if len(values) != len(dataset):
        raise UserError(f"{name} has {len(values)} labels for {len(dataset)} items; give one label an item.")
    return _integers(name, values)


def _integers(name: str, values: Sequence[Any]) -> np.ndarray:
    labels = np.asarray(values)
    if len(labels) == 0:
        raise UserError(f"The {name} part is empty; give at least one example.")
    if labels.dtype.kind not in "iu":
        raise UserError(f"The labels of the {name} part are {labels.dtype}, not integers; encode them as 0 to K-1.")
    return labels.astype(np.int64)
