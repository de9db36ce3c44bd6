"""Helpers for sources that read from disk: reading lists of files, and combining parts into arrays."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.image_files import ImageFiles, Joined
from vri_pyro.data.streamed import Streamed
from vri_pyro.data.validation import UNCHECKED
from vri_pyro.utils.errors import UserError

_NONE = np.empty(0, dtype=np.int64)
#: what to do about a path that leads out of the folder of the data, for messages
OUTSIDE_REMEDY = "move the image there, or allow it with outside_root: true"


@dataclass
class Listed:
    """Image files with their labels.

    Attributes:
        paths: paths relative to the source's folder.
        labels: class numbers, one per path.
        verified: checked class numbers, one per path, -1 where nobody has looked; empty without such a column.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    verified: list[int] = field(default_factory=list)

    def add(self, path: str, label: int, verified: int | None = None) -> None:
        """Add one file; all files of a part have a checked class, or none has."""
        self.paths.append(path)
        self.labels.append(label)
        if verified is not None:
            self.verified.append(verified)


def streamed_arrays(
    root: Path,
    classes: Sequence[str],
    size: int,
    noisy: Listed,
    test: Listed | None = None,
    clean: Listed | None = None,
    validation: Listed | None = None,
    verified: bool = False,
    bits: int | None = None,
) -> Arrays:
    """Build a data set of streamed image files, without reading any image.

    The training set contains the noisy, clean and validation examples, in this order.

    Args:
        root: the folder to which all paths are relative.
        classes: the class names.
        size: side of the square images in pixels.
        noisy: examples with untrusted labels.
        test: test examples, if there are any.
        clean: examples with trusted labels. If there are none, splits draw the clean set from the noisy examples.
        validation: further examples with trusted labels, for validation.
        verified: see :class:`~vri_pyro.data.arrays.Arrays`.
        bits: see :class:`~vri_pyro.data.image_files.ImageFiles`.

    Raises:
        UserError: there are no noisy examples, or the test set is given and empty.
    """
    for name, part in (("noisy", noisy), ("test", test)):
        if part is not None and not part.paths:
            raise UserError(f"{root} has no {name} images; expected at least one.")
    parts = {"train": noisy, "clean": clean, "validation": validation, "test": test}
    there = {name: part for name, part in parts.items() if part is not None and part.paths}
    images = {name: ImageFiles(root, part.paths, size, bits=bits) for name, part in there.items()}
    labels = {name: np.array(part.labels) for name, part in there.items()}
    checked = {name: np.array(part.verified) for name, part in there.items() if part.verified and name != "test"}
    return arrays_of_parts(classes, images, labels, verified, checked)


def arrays_of_parts(
    classes: Sequence[str],
    images: Mapping[str, Streamed],
    labels: Mapping[str, np.ndarray],
    verified: bool = False,
    checked: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Arrays:
    """Build a data set from streamed parts.

    Args:
        classes: the class names.
        images: images of the parts "train" (the noisy examples), and optionally "clean", "validation" and "test".
        labels: labels of the same parts.
        verified: see :class:`~vri_pyro.data.arrays.Arrays`.
        checked: checked classes of parts, int64, -1 where nobody has looked; without a part, none of it is checked.

    Warns:
        UserWarning: the validation part is ignored because there is no clean part.
    """
    warn_of_similar_classes(classes)
    order = ["train", *(name for name in ("clean", "validation") if name in images)]
    if "validation" in images and "clean" not in images and not (checked.get("train", _NONE) != UNCHECKED).any():
        warnings.warn(
            "The validation part is ignored because there is no clean part; add one, such as some validation examples",
            stacklevel=4,
        )
        order.remove("validation")
    ends = np.cumsum([0, *(len(images[name]) for name in order)])
    found = [checked.get(name, np.full(len(images[name]), UNCHECKED)) for name in order]
    indices = {name: np.arange(start, end) for name, start, end in zip(order, ends, ends[1:], strict=False)}
    return Arrays(
        x_train=Joined([images[name] for name in order]),
        y_train=np.concatenate([labels[name] for name in order]),
        x_test=images.get("test"),
        y_test=labels.get("test"),
        classes=tuple(classes),
        clean_indices=indices.get("clean"),
        validation_indices=indices.get("validation"),
        verified=verified,
        verified_labels=np.concatenate(found) if checked else None,
    )


def class_name(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), since "é" may also be stored as "e" with an accent."""
    return unicodedata.normalize("NFC", name)


def warn_of_similar_classes(classes: Iterable[str]) -> None:
    """Warn of classes whose names differ only in case, spaces or Unicode form, which are probably one class."""
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault("".join(class_name(name).split()).casefold(), name)
        if other != name:
            warnings.warn(
                f"the classes {other!r} and {name!r} differ only in case, spaces or Unicode form; correct the labels "
                "if they are one class",
                stacklevel=4,
            )


def warn_of_no_trusted_labels(name: str, remedy: str) -> None:
    """Warn that a clean set can only be drawn from unverified labels."""
    warnings.warn(
        f"{name} has no verified labels, so a clean set drawn from it may contain wrong labels; {remedy}, or draw "
        "none: --config elr --split.clean_per_class 0",
        stacklevel=4,
    )


def lines_of(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """Yield the non-blank lines of a text file with their line numbers, from 1.

    Args:
        path: the file.
        expected: description of the expected file and its origin, for the error message.

    Raises:
        UserError: the file is missing or is not a text file.
    """
    check_there(path, expected)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); expected {expected}.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def check_there(path: Path, expected: str) -> None:
    """Raise if a file or folder is missing; the message describes the expected one."""
    if not path.exists():
        started = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise UserError(f"{path} does not exist{started}; expected {expected}.")


def fields_of(path: Path, number: int, line: str, separator: str | None, count: int) -> list[str]:
    """Split a line into exactly ``count`` fields, from the right."""
    fields = line.rsplit(separator, count - 1)
    if len(fields) != count:
        raise UserError(f"{path}, line {number}: expected {count} fields but got {line!r}; restore the file.")
    return fields


def class_number(path: Path, number: int, text: str, num_classes: int) -> int:
    """Parse a class number from a line of a file.

    Raises:
        UserError: the text is not a number from 0 to ``num_classes`` - 1.
    """
    if not text.isdecimal() or int(text) >= num_classes:
        raise UserError(f"{path}, line {number}: {text!r} is not a class; classes are 0 to {num_classes - 1}.")
    return int(text)


def class_named(path: Path, number: int, name: str, numbers: dict[str, int]) -> int:
    """Return the number of a class named in a line of a file.

    Raises:
        UserError: no class has that name.
    """
    if name not in numbers:
        raise UserError(f"{path}, line {number}: {name!r} is not a class of this data set; correct the line.")
    return numbers[name]
