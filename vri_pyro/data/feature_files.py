"""A folder of features that a network has extracted, written shard by shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.declared_size import npy_size
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.npz import names_in, read_npz, write_npz
from vri_pyro.data.stored import StoredVectors
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable, checked_path, replacing, write_atomically
from vri_pyro.utils.spelling import check_spelling

Part = Literal["train", "test"]
_FORMAT = 1
_LABELS = ("y_test", "y_train_clean", "clean_indices", "validation_indices")
_AGAIN = "run the same vri-pyro embed again"
_EXPECTED = "expected a folder that vri-pyro embed has written"


@dataclass(frozen=True)
class Description:
    """What a folder of features contains, as ``features.json`` says it.

    Attributes:
        dim: number of features D.
        dtype: dtype of the files, "float16" or "float32".
        rows_per_file: number of rows of each file; the last file of a part may have fewer.
        train, test: numbers of examples; without a test set, ``test`` is 0.
        open_set, verified: see :class:`~vri_pyro.data.arrays.Arrays`.
        made_from: the options that determine the features, and the hash of the weights.
        made_by: versions and hardware.
        format: version of the format.
    """

    dim: int
    dtype: str
    rows_per_file: int
    train: int
    test: int
    open_set: bool
    verified: bool
    made_from: dict[str, Any]
    made_by: dict[str, Any]
    format: int = _FORMAT


class FeatureFiles:
    """The files of a folder of features.

    ``features.json`` describes them; ``labels.npz`` has the labels as :class:`~vri_pyro.data.NpzFile` reads them;
    ``fingerprint.npz`` tells whether the inputs have changed; and ``features-train-00000.npy``, … hold the features,
    one row per example, in the order of the data.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = checked_path("path", path)
        self.description = self.path / "features.json"
        self.labels = self.path / "labels.npz"
        self.fingerprint = self.path / "fingerprint.npz"

    def shard(self, part: Part, number: int) -> Path:
        """Return the path of a file of features."""
        return self.path / f"features-{part}-{number:05d}.npy"

    def begin(self, arrays: Arrays, description: Description, fingerprint: Fingerprint) -> None:
        """Write everything except the features; ``features.json`` last, so that it stands for the others.

        Features without a description, whose network is unknown, are removed.
        """
        for old in self.path.glob("features-*-*.npy"):
            old.unlink()
        labels = {name: value for name in ("y_train", *_LABELS) if (value := getattr(arrays, name)) is not None}
        if arrays.verified_labels is not None:
            labels["verified"] = arrays.verified_labels
        write_npz(self.labels, labels | {"classes": np.array(arrays.classes)})
        fingerprint.save(self.fingerprint)
        text = json.dumps(asdict(description), indent=2, ensure_ascii=False, default=str)
        write_atomically(self.description, f"{text}\n".encode())

    def check_others(self) -> None:
        """Raise if the folder, which has no description, has files that an interrupted extraction does not leave.

        Raises:
            UserError: there is such a file.
        """
        own = (self.labels.name, self.fingerprint.name, ".lock")
        for file in sorted(self.path.iterdir()):
            if file.name not in own and not file.match("features-*-*.npy") and not file.match(".*.partial"):
                raise UserError(f"{self.path} already has other files, such as {file.name}; choose another --output")
        check_replaceable(
            self.labels, lambda path: {"y_train", "classes"} <= set(names_in(path)), "the labels of vri-pyro embed"
        )

    def discard_empty(self) -> None:
        """Delete what :meth:`begin` has written, unless there are features."""
        if not any(self.path.glob("features-*-*.npy")):
            for file in (self.description, self.labels, self.fingerprint):
                file.unlink(missing_ok=True)

    def write_shard(self, part: Part, number: int, features: np.ndarray) -> None:
        """Write the features of successive examples [n, D] atomically."""
        with replacing(self.shard(part, number)) as partial, partial.open("wb") as file:
            np.save(file, features, allow_pickle=False)

    def read_description(self) -> Description:
        """Read ``features.json``.

        Raises:
            UserError: it is missing or damaged, or of a newer version.
        """
        for file in (self.description, self.labels, self.fingerprint):
            if file.is_symlink():
                raise UserError(f"{file} is a link; replace it by the file.")
        try:
            found = json.loads(self.description.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.path} has no {self.description.name}; {_EXPECTED}.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{self.description} is damaged ({error}); {_EXPECTED}.") from error
        if isinstance(found, Mapping) and isinstance(found.get("format"), int) and found["format"] > _FORMAT:
            raise UserError(f"{self.description} was written by a newer version of vri-pyro; upgrade vri-pyro.")
        if (name := _invalid(found)) is not None:
            raise UserError(f"{self.description} is damaged: {name} is missing or invalid; {_EXPECTED}.")
        return Description(**{field.name: found[field.name] for field in fields(Description)})

    def read_labels(self) -> dict[str, np.ndarray]:
        """Read ``labels.npz``, with the keys of :class:`~vri_pyro.data.arrays.Arrays`."""
        optional = (*_LABELS, "verified")
        labels = read_npz(self.labels, ("y_train", "classes"), optional)
        check_spelling(f"{self.labels}", names_in(self.labels), {name: name for name in optional}, "array")
        return labels | ({"verified_labels": labels.pop("verified")} if "verified" in labels else {})

    def read(self, part: Part, description: Description) -> StoredVectors:
        """Open the features of a part; none is read.

        Raises:
            UserError: a file is missing, damaged or a symbolic link.
        """
        shards = []
        for number, rows in enumerate(rows_of_files(description, part)):
            shards.append(self._opened(self.shard(part, number), (rows, description.dim), description.dtype))
        return StoredVectors(shards)

    def _opened(self, path: Path, shape: tuple[int, int], dtype: str) -> np.ndarray:
        if not path.is_file():
            raise UserError(f"{path} is missing, since the extraction did not finish; {_AGAIN} to continue it.")
        if path.is_symlink():
            raise UserError(f"{path} is a link, which could lead anywhere; replace it by the file itself.")
        try:
            with path.open("rb") as file:
                npy_size(file)
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path} is damaged ({error}); delete it and {_AGAIN}.") from error
        if found.shape != shape or found.dtype != np.dtype(dtype):
            raise UserError(
                f"{path} has {found.dtype} {list(found.shape)} but features.json says {dtype} {list(shape)}; delete it "
                f"and {_AGAIN}."
            )
        return found


def rows_of_files(description: Description, part: Part) -> Iterator[int]:
    """Yield the number of rows of each file of a part."""
    count, most = description.train if part == "train" else description.test, description.rows_per_file
    return (min(most, count - start) for start in range(0, count, most))


def is_feature_folder(path: Path) -> bool:
    """Return whether a folder contains features of ``vri-pyro embed``."""
    return (path / "features.json").is_file()


def _invalid(found: Any) -> str | None:
    """Return the name of a field that is missing or has an invalid value; None if there is none."""
    if not isinstance(found, Mapping):
        return "the object"
    least = {"dim": 1, "rows_per_file": 1, "train": 1, "test": 0, "format": 1}
    for name, lowest in least.items():
        if type(found.get(name)) is not int or not lowest <= found[name] < 2**48:
            return name
    kinds = {"open_set": bool, "verified": bool, "made_from": dict, "made_by": dict}
    if (wrong := next((name for name, kind in kinds.items() if type(found.get(name)) is not kind), None)) is not None:
        return wrong
    return None if found.get("dtype") in ("float16", "float32") else "dtype"
