"""PyTorch map-style data sets and Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Subset

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.class_labels import number_labels, shown_classes
from vri_pyro.data.image_files import DatasetImages, ImageFiles
from vri_pyro.data.pixels import check_bits
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.item_labels import class_names, is_exactly, item_labels
from vri_pyro.data.sources.listing import arrays_of_parts, check_there, class_name, warn_of_no_trusted_labels
from vri_pyro.data.sources.verified_cells import VERIFIED, checked_class
from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class TorchDatasets(Source):
    """Map-style PyTorch data sets of (image, label) pairs, streamed.

    An image is a PIL image of any mode, an array [H, W] or [H, W, C], or a tensor [H, W] or [C, H, W]. Arrays and
    tensors have dtype uint8, another integer dtype, bool, or floats from 0 to 1. The data sets should not have
    transforms: an item that was normalised is refused, and one that was cropped at random differs at every reading.

    The labels are those of the items. All items are therefore read once, unless the class of the data set says where
    their labels come from: the common data sets of torchvision without ``target_transform``, and ``Subset``,
    ``ConcatDataset`` and ``TensorDataset`` of PyTorch. If the parts have ``classes`` in different orders, their labels
    are matched by name.

    Attributes:
        train: training examples with untrusted labels.
        test: test examples; None without a test set.
        clean: examples with trusted labels. If None, the clean set is drawn from ``train``, with a warning.
        validation: further examples with trusted labels, for validation; requires ``clean``.
        size: side of the square to which images are scaled and cropped, in pixels.
        verified_labels: the checked class of each item of ``train``, as a number or name like its labels; -1, None or
            an empty string where nobody has looked. These items are trusted, and keep their labels as given. None if
            nothing was checked.
        classes: the class names. If None, they come from ``train.classes``; if that does not exist, they are the sorted
            labels if these are strings, and otherwise numbers.
        verified: whether the labels of ``train`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
        bits: number of bits per channel of images with more than 8, such as 16 or 12. If None, it is 16, and images
            that may have fewer are refused.
    """

    train: Dataset
    test: Dataset | None = None
    clean: Dataset | None = None
    validation: Dataset | None = None
    size: int = 64
    classes: tuple[str, ...] | None = None
    verified: bool = False
    bits: int | None = None
    verified_labels: Sequence[Any] | None = None

    def load(self) -> Arrays:
        """Collect the labels of the items.

        Raises:
            UserError: a data set is not map-style or is empty, an item cannot be read, or a label is neither an integer
                nor a class name.
        """
        check_bits(self.bits)
        given = {"train": self.train, "clean": self.clean, "validation": self.validation, "test": self.test}
        parts = {name: part for name, part in given.items() if part is not None}
        labels = {name: _labels(name, part) for name, part in parts.items()}
        order = class_names(self.train) or self.classes
        labels = {name: _in_order(name, part, class_names(parts[name]), order) for name, part in labels.items()}
        names, numbers = _class_numbers(labels, self.classes or order)
        images = {name: _images(part, self.size, self.bits) for name, part in parts.items()}
        checked = None if self.verified_labels is None else np.asarray(self.verified_labels, dtype=object).tolist()
        return _arrays("the training data set", names, images, numbers, self.verified, checked)


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
        verified_column: name of the column of ``train`` with checked classes, of the same type as the labels, with -1,
            None or an empty string in rows that nobody has checked; None for the column ``verified``, if there is one.
            The checked rows are trusted, and keep their labels as given.
        size: side of the square to which images are scaled and cropped, in pixels.
        verified: whether the labels of ``train`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
        bits: number of bits per channel of images with more than 8, such as 16 or 12. If None, it is 16, and images
            that may have fewer are refused.
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
    bits: int | None = None
    verified_column: str | None = None

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
        images = {
            name: DatasetImages(_undecoded(part, self.image_column), self.size, self.image_column, self.bits)
            for name, part in parts.items()
        }
        return _arrays(str(self.path), names, images, numbers, self.verified, self._checked(parts["train"]))

    def _checked(self, train: Any) -> list[Any] | None:
        """Return the checked classes of the training rows, as names if the column is a ``ClassLabel``."""
        column = self.verified_column or VERIFIED
        if column not in train.column_names:
            if self.verified_column is not None:
                raise UserError(
                    f"{self.path} has no column {column!r}; expected one of {', '.join(train.column_names)}."
                )
            return None
        names = getattr(train.features[column], "names", None)
        if names is None:
            return list(train[column])
        return [None if label is None or label < 0 else names[label] for label in train[column]]


def _named(name: str, part: Any, column: str) -> np.ndarray:
    """Return the labels of a split: names if the column is a ``ClassLabel``, since its numbers may differ by split."""
    names = getattr(part.features[column], "names", None)
    labels = _checked(name, part[column])
    if names is None:
        return labels
    if (labels < 0).any():
        row = int((labels < 0).argmax())
        raise UserError(f"Row {row} of the {name} split has no label; remove it or fill in its label.")
    return _composed(np.array(names, dtype=str))[labels]


def _undecoded(part: Any, column: str) -> Any:
    """Return a split whose images stay encoded, so that they are decoded as those of all other sources."""
    from datasets import Image

    feature = part.features[column]
    if isinstance(feature, Image) and feature.mode in (None, "RGB"):  # other modes ask for a conversion by datasets
        return part.cast_column(column, Image(decode=False))
    return part


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
    images: Mapping[str, Streamed],
    labels: dict[str, np.ndarray],
    verified: bool,
    checked: Sequence[Any] | None,
) -> Arrays:
    if "clean" not in images and not verified and checked is None:
        warn_of_no_trusted_labels(name, "provide trusted examples as its clean part")
    if checked is None:
        return arrays_of_parts(classes, images, labels, verified)
    count, places = len(images["train"]), {label: number for number, label in enumerate(classes)}
    if len(checked) != count:
        raise UserError(
            f"verified_labels has {len(checked)} entries for {count} training items; expected one per item."
        )
    numbers = [
        label if _is_number(label) else checked_class(label, places, f"Entry {item} of verified")
        for item, label in enumerate(checked)
    ]
    return arrays_of_parts(classes, images, labels, verified, {"train": np.array(numbers)})


def _is_number(label: Any) -> bool:
    return isinstance(label, int | np.integer) and not isinstance(label, bool)


def _labels(name: str, dataset: Any) -> np.ndarray:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UserError(
            f"{name} is a {type(dataset).__name__} without __len__ or __getitem__; expected a map-style data set."
        )
    return _checked(name, item_labels(name, dataset))


def _in_order(name: str, labels: np.ndarray, own: Sequence[str] | None, order: Sequence[str] | None) -> np.ndarray:
    """Renumber the labels of a part whose classes are named in another order than those of the training part."""
    if own is None or order is None or list(own) == list(order) or labels.dtype.kind == "U":
        return labels
    if labels.min() < 0 or labels.max() >= len(own):
        raise UserError(f"The {name} part has labels outside of its {len(own)} classes; correct its labels or classes.")
    place = {class_name(other): number for number, other in enumerate(order)}
    if missing := sorted({class_name(own[label]) for label in np.unique(labels)} - place.keys()):
        raise UserError(
            f"The {name} part has the class {missing[0]!r}, which is not in {shown_classes(order)}; use the same "
            "classes for all parts."
        )
    return np.array([place.get(class_name(other), -1) for other in own])[labels]


def _images(dataset: Any, size: int, bits: int | None) -> Streamed:
    """Return the images of a data set; those of torchvision's ImageFolder are read from their files."""
    if type(dataset) is Subset:
        return _images(dataset.dataset, size, bits).part(np.asarray(dataset.indices, dtype=np.int64))
    if is_exactly(dataset, "ImageFolder") and dataset.transform is None and _has_default_loader(dataset):
        # The loader of torchvision turns images of more than 8 bits to white or black.
        return ImageFiles("", [path for path, _ in dataset.samples], size, bits=bits)
    return DatasetImages(dataset, size, bits=bits)


def _has_default_loader(dataset: Any) -> bool:
    from torchvision.datasets.folder import default_loader

    return dataset.loader is default_loader


def _checked(name: str, values: Sequence[Any]) -> np.ndarray:
    """Return labels as an array of integers or strings, [N]."""
    labels = np.asarray(list(values))
    if len(labels) == 0:
        raise UserError(f"The {name} part is empty; expected at least one example.")
    if labels.dtype.kind not in "iuU" or labels.ndim != 1:
        raise UserError(
            f"The labels of the {name} part have dtype {labels.dtype}; expected class names or integers 0 to K-1."
        )
    return _composed(labels) if labels.dtype.kind == "U" else labels.astype(np.int64)


def _composed(names: np.ndarray) -> np.ndarray:
    """Return strings [N] in Unicode's composed form."""
    distinct, positions = np.unique(names, return_inverse=True)
    return np.array([class_name(name) for name in distinct.tolist()])[positions]


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
    names = tuple(class_name(str(label)) for label in classes)
    if not text:
        return names, labels
    return names, {name: number_labels(f"{name} labels", part, names).numbers for name, part in labels.items()}
