"""What the sources of files on disk share: reading their lists, and putting their parts together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.image_files import ImageFiles, Joined
from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.errors import UserError


@dataclass
class Listed:
    """Files with their labels.

    Attributes:
        paths: relative to the source's folder.
        labels: class numbers, one a path.
    """

    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, path: str, label: int) -> None:
        """Add one file."""
        self.paths.append(path)
        self.labels.append(label)


def streamed_arrays(
    root: Path,
    classes: Sequence[str],
    size: int,
    noisy: Listed,
    test: Listed,
    clean: Listed | None = None,
    validation: Listed | None = None,
    verified: bool = False,
) -> Arrays:
    """Arrays of image files, unread; noisy, clean and validation part make up the training set in this order.

    Args:
        root: the folder that all paths start from.
        classes: names.
        size: side of the images in pixels.
        noisy: examples whose labels are not trusted.
        test: test examples.
        clean: trusted examples, where there are some. Without them ``y_train`` is all there is, not verified, and a
            clean set will be drawn from it.
        validation: further trusted examples, where there are some.
        verified: see :class:`Arrays`.

    Raises:
        UserError: the noisy or the test part is empty.
    """
    for name, part in (("noisy", noisy), ("test", test)):
        if not part.paths:
            raise UserError(f"{root} has no {name} images; put some there.")
    parts = {"train": noisy, "clean": clean, "validation": validation, "test": test}
    there = {name: part for name, part in parts.items() if part is not None and part.paths}
    images = {name: ImageFiles(root, part.paths, size) for name, part in there.items()}
    labels = {name: np.array(part.labels) for name, part in there.items()}
    return arrays_of_parts(classes, images, labels, verified)


def arrays_of_parts(
    classes: Sequence[str], images: Mapping[str, Streamed], labels: Mapping[str, np.ndarray], verified: bool = False
) -> Arrays:
    """Arrays of streamed parts: "train" (the noisy one), "test" and, where there are some, "clean" and "validation".

    Warns:
        UserWarning: there is a validation part but no clean one, so that it is left out.
    """
    order = ["train", *(name for name in ("clean", "validation") if name in images)]
    if "validation" in images and "clean" not in images:
        warnings.warn(
            "The validation part is not used without a clean part; give one, such as a share of it", stacklevel=4
        )
        order.remove("validation")
    ends = np.cumsum([0, *(len(images[name]) for name in order)])
    indices = {name: np.arange(start, end) for name, start, end in zip(order, ends, ends[1:], strict=False)}
    return Arrays(
        x_train=Joined([images[name] for name in order]),
        y_train=np.concatenate([labels[name] for name in order]),
        x_test=images["test"],
        y_test=labels["test"],
        classes=tuple(classes),
        clean_indices=indices.get("clean"),
        validation_indices=indices.get("validation"),
        verified=verified,
    )


def warn_of_no_trusted_labels(name: str, remedy: str) -> None:
    """Say that a clean set will be drawn from labels that nobody has verified."""
    warnings.warn(
        f"{name} has no verified labels, so that the clean set is drawn from its noisy ones; {remedy}", stacklevel=4
    )


def lines_of(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1.

    Args:
        path: the file.
        expected: what it should be and where it comes from, for the message.

    Raises:
        UserError: the file is missing or no text.
    """
    check_there(path, expected)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}); expected is {expected}.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def check_there(path: Path, expected: str) -> None:
    """Refuse a missing file or folder, saying what it should be."""
    if not path.exists():
        started = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise UserError(f"There is no {path}{started}; expected is {expected}.")


def fields_of(path: Path, number: int, line: str, separator: str | None, count: int) -> list[str]:
    """The fields of a line, of which there must be ``count``; the last one separated first."""
    fields = line.rsplit(separator, count - 1)
    if len(fields) != count:
        raise UserError(f"{path}, line {number}: {line!r} has not {count} fields; restore the file.")
    return fields


def class_number(path: Path, number: int, text: str, num_classes: int) -> int:
    """A class number written in a line.

    Raises:
        UserError: it is none of 0 to ``num_classes`` - 1.
    """
    if not text.isdecimal() or int(text) >= num_classes:
        raise UserError(f"{path}, line {number}: {text!r} is no class; classes are 0 to {num_classes - 1}.")
    return int(text)


def class_named(path: Path, number: int, name: str, numbers: dict[str, int]) -> int:
    """The number of a class named in a line.

    Raises:
        UserError: there is no class of that name.
    """
    if name not in numbers:
        raise UserError(f"{path}, line {number}: {name!r} is no class of this data set; correct the line.")
    return numbers[name]
