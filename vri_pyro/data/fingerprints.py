"""Fingerprints of data sets, which show whether data have changed and what has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.hashes import hashes_of, row_hashes
from vri_pyro.data.npz import read_npz, write_npz
from vri_pyro.data.statistics import overall_mean, sample_of, sample_positions
from vri_pyro.data.stored import StoredVectors
from vri_pyro.data.streamed import Inputs, Streamed

_TEST_SAMPLE = 256  # streamed test images whose pixels are read
NAMED = 3  # examples or classes named in a message
_NOTHING = np.empty(0, dtype=np.uint64)
_NO_LABELS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class PartFingerprint:
    """Fingerprint of the training or the test set.

    Attributes:
        inputs: one number per input, uint64 [N]: the hash of its values; for streamed images, the size of its file.
        names: hashes of the names of streamed images in their list, uint64 [N]; empty for inputs in memory.
        pixels: hashes of the pixels of evenly spaced streamed images, uint64 [n]; empty for inputs in memory.
        labels: the labels, int64 [N].
    """

    inputs: np.ndarray
    names: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, inputs: Inputs, labels: np.ndarray, sample: np.ndarray | StoredVectors) -> Self:
        """Return the fingerprint of inputs; ``sample`` are the inputs themselves, or evenly spaced streamed images."""
        if not isinstance(inputs, Streamed):
            return cls(row_hashes(inputs), _NOTHING, _NOTHING, labels)
        everything = range(len(inputs))
        names = hashes_of(os.fsencode(inputs.listed(index)) for index in everything)
        sizes = np.array([size_of(inputs.file(index)) for index in everything], dtype=np.uint64)
        return cls(sizes, names, row_hashes(sample), labels)

    def differences(self, now: PartFingerprint, kind: str, example: Callable[[int], str]) -> list[str]:
        """Describe how ``now`` differs from this fingerprint.

        Args:
            now: fingerprint of the present data.
            kind: "training" or "test".
            example: names the example at a position of the present data.
        """
        if len(now.names) and (told := self._listing(now, kind, example)):
            return told
        if len(now.labels) != len(self.labels):
            return [f"there are {len(now.labels)} {kind} examples instead of {len(self.labels)}"]
        moved = np.flatnonzero(now.inputs != self.inputs)
        changed = np.flatnonzero(now.labels != self.labels)
        if not len(now.names) and len(moved) and _same_rows((self.inputs,), (now.inputs,)):
            told = [f"the {kind} inputs are in another order, from {example(int(moved[0]))} on"]
            if _same_rows((self.inputs, self.labels), (now.inputs, now.labels)):
                return [f"{told[0]}, together with their labels"]
            return [*told, *_counted(changed, now.labels, f"{kind} labels", example)]
        if len(now.names):
            told = _counted(moved, now.labels, f"{kind} images have files of another size", example)
            looked_at = sample_positions(len(now.labels), len(now.pixels))
            repainted = np.setdiff1d(looked_at[now.pixels != self.pixels], moved)
            told += _counted(repainted, looked_at, f"{kind} images looked at have other pixels", example)
        elif len(moved) == len(now.labels):
            told = [f"all {len(moved)} {kind} inputs differ"]
        else:
            told = _counted(moved, now.labels, f"{kind} inputs differ", example)
        return told + _counted(changed, now.labels, f"{kind} labels differ", example)

    def _listing(self, now: PartFingerprint, kind: str, example: Callable[[int], str]) -> list[str]:
        """Describe how the list of streamed images has changed."""
        if np.array_equal(self.names, now.names):
            return []
        if _same_rows((self.names,), (now.names,)):
            first = int(np.flatnonzero(self.names != now.names)[0])
            return [f"the list of {kind} images is in another order, from {example(first)} on"]
        new = np.flatnonzero(~np.isin(now.names, self.names))
        missing = int((~np.isin(self.names, now.names)).sum())
        told = _counted(new, now.names, f"{kind} images are new or renamed", example)
        return told + ([f"{missing} of {len(self.names)} {kind} images are missing or renamed"] if missing else [])


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Fingerprint of a data set, which a run keeps.

    Inputs in memory and stored vectors are hashed in full. Of streamed images it keeps the list of names, the sizes of
    all files, and the pixels of 2,048 evenly spaced training and 256 test images; another image of the same size in
    bytes that is not among those goes unnoticed. Paths of the data, times of files, and the choice of trusted examples
    do not count.

    Attributes:
        classes: the class names.
        shape: shape of one input, as in the arrays.
        dtype: dtype of the inputs.
        mean: mean of the training inputs, or of the sample of streamed images.
        train: fingerprint of the training set.
        true_labels: the true training labels, int64 [N]; empty if they are unknown.
        verified_labels: the checked classes beside the training labels, int64 [N]; empty if the data have none.
        test: fingerprint of the test set; None without a test set.
    """

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    mean: float
    train: PartFingerprint
    true_labels: np.ndarray
    test: PartFingerprint | None
    verified_labels: np.ndarray = field(default_factory=lambda: _NO_LABELS)

    @classmethod
    def of(cls, arrays: Arrays, sample: np.ndarray | StoredVectors) -> Self:
        """Return the fingerprint of data.

        Args:
            arrays: the data.
            sample: the training inputs as :func:`~vri_pyro.data.statistics.sample_of` returns them, so that streamed
                images that are read for the standardisation are not read again.
        """
        test = None
        if arrays.x_test is not None and arrays.y_test is not None:
            test = PartFingerprint.of(arrays.x_test, arrays.y_test, sample_of(arrays.x_test, _TEST_SAMPLE))
        return cls(
            classes=arrays.classes,
            shape=tuple(arrays.x_train.shape[1:]),
            dtype=str(arrays.x_train.dtype),
            mean=overall_mean(sample),
            train=PartFingerprint.of(arrays.x_train, arrays.y_train, sample),
            true_labels=_NO_LABELS if arrays.y_train_clean is None else arrays.y_train_clean,
            test=test,
            verified_labels=_NO_LABELS if arrays.verified_labels is None else arrays.verified_labels,
        )

    def differences(self, now: Fingerprint, arrays: Arrays) -> list[str]:
        """Describe how data differ from those of this fingerprint, one clause per difference; empty if they are equal.

        Args:
            now: fingerprint of the present data.
            arrays: the present data, for the names of their examples.
        """
        told = _classes(self.classes, now.classes)
        if (self.shape, self.dtype) != (now.shape, now.dtype):
            was, found = (f"{one.dtype} {list(one.shape)}" for one in (self, now))
            return [*told, f"an input is {found} instead of {was}"]
        if told and set(self.classes) != set(now.classes):
            return told  # the numbers of the classes mean something else
        of_training = self.train.differences(now.train, "training", namer(arrays.x_train))
        if of_training and of_training[0].startswith("all "):
            of_training[0] += f", as after rescaling (their mean was {self.mean:.4g}, now it is {now.mean:.4g})"
        told += of_training
        if not of_training:
            told += _truth(self.true_labels, now.true_labels, namer(arrays.x_train))
            told += _verified(self.verified_labels, now.verified_labels, namer(arrays.x_train))
        if (self.test is None) != (now.test is None):
            told.append(f"there is {'no' if now.test is None else 'a'} test set now")
        if self.test is not None and now.test is not None and arrays.x_test is not None:
            told += self.test.differences(now.test, "test", namer(arrays.x_test))
        return told

    def save(self, path: Path) -> None:
        """Save the fingerprint to an .npz file, atomically."""
        parts = {"train": self.train} | ({} if self.test is None else {"test": self.test})
        write_npz(
            path,
            {
                "classes": np.array(self.classes),
                "shape": np.array(self.shape),
                "dtype": np.array(self.dtype),
                "mean": np.array(self.mean),
                "true_labels": self.true_labels,
                **({"verified_labels": self.verified_labels} if len(self.verified_labels) else {}),
                **{f"{name}_{key}": value for name, part in parts.items() for key, value in vars(part).items()},
            },
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a fingerprint saved by :meth:`save`.

        Raises:
            UserError: the file is missing or damaged.
        """
        keys = list(PartFingerprint.__dataclass_fields__)
        required = ["classes", "shape", "dtype", "mean", "true_labels", *(f"train_{key}" for key in keys)]
        arrays = read_npz(path, required, ["verified_labels", *(f"test_{key}" for key in keys)])

        def part(name: str) -> PartFingerprint:
            return PartFingerprint(**{key: arrays[f"{name}_{key}"] for key in keys})

        return cls(
            classes=tuple(arrays["classes"].tolist()),
            shape=tuple(arrays["shape"].tolist()),
            dtype=str(arrays["dtype"].item()),
            mean=float(arrays["mean"].item()),
            train=part("train"),
            true_labels=arrays["true_labels"],
            test=part("test") if "test_inputs" in arrays else None,
            verified_labels=arrays.get("verified_labels", _NO_LABELS),
        )


def namer(inputs: Inputs, kind: str = "example") -> Callable[[int], str]:
    """Return a function that names an example: by its file if it is streamed, otherwise by its kind and position."""
    return inputs.listed if isinstance(inputs, Streamed) else f"{kind} {{}}".format


def listed(names: Sequence[str], count: int) -> str:
    """Join the first of ``count`` names for a message."""
    return ", ".join(names[:NAMED]) + (", …" if count > NAMED else "")


def _counted(positions: np.ndarray, among: np.ndarray, what: str, example: Callable[[int], str]) -> list[str]:
    """Return "3 of 500 training inputs differ (example 4, …)", or nothing if there are no positions."""
    if len(positions) == 0:
        return []
    names = [example(position) for position in positions[:NAMED].tolist()]
    return [f"{len(positions)} of {len(among)} {what} ({listed(names, len(positions))})"]


def _same_rows(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    """Whether two tables, given as columns of equal length, have the same rows in any order."""
    if len(first[0]) != len(second[0]):
        return False
    orders = [np.lexsort(columns) for columns in (first, second)]
    return all(np.array_equal(was[orders[0]], now[orders[1]]) for was, now in zip(first, second, strict=True))


def _classes(was: tuple[str, ...], now: tuple[str, ...]) -> list[str]:
    if was == now:
        return []
    if set(was) == set(now):
        return [f"the classes are in another order ({listed(now, len(now))} instead of {listed(was, len(was))})"]
    gone, new = [name for name in was if name not in now], [name for name in now if name not in was]
    clauses = [f"missing: {listed(gone, len(gone))}"] if gone else []
    clauses += [f"new: {listed(new, len(new))}"] if new else []
    return [f"the classes differ ({'; '.join(clauses)})"]


def _truth(was: np.ndarray, now: np.ndarray, example: Callable[[int], str]) -> list[str]:
    if len(was) != len(now):
        return [f"the data have {'true labels' if len(now) else 'no true labels'} (y_train_clean) now"]
    return _counted(np.flatnonzero(was != now), now, "true labels (y_train_clean) differ", example)


def _verified(was: np.ndarray, now: np.ndarray, example: Callable[[int], str]) -> list[str]:
    """Describe checked classes that have changed; those that were added later are not part of the run."""
    if len(was) == 0:
        return []
    if len(now) == 0:
        return ["the data have no verified labels now"]
    return _counted(np.flatnonzero(was != now), now, "verified labels differ", example)


def size_of(file: str | None) -> int:
    """Return the size of a file in bytes; 0 without a file, or if the file is missing, which is reported on reading."""
    try:
        return 0 if file is None else os.stat(file).st_size
    except OSError:
        return 0
