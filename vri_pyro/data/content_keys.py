"""Keys that tell which inputs are identical."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.fingerprints import Fingerprint, size_of
from vri_pyro.data.hashes import hashes_of, row_hashes
from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.utils.errors import UserError

_TAIL = 4096  # bytes read of a file whose size occurs twice
_BLOCK = 1 << 20
# Image files are decoded, which takes seconds, if there are no more of them than this and no more bytes in all.
_FEW, _SMALL = 10_000, 1 << 28


class ContentKeys(NamedTuple):
    """Numbers of the inputs of a data set; two inputs have the same number if and only if they are identical.

    Attributes:
        train: keys of the training inputs, uint64 [N].
        test: keys of the test inputs, uint64 [T]; empty without a test set.
    """

    train: np.ndarray
    test: np.ndarray


def content_keys(arrays: Arrays, known: Fingerprint | None = None) -> ContentKeys:
    """Compute keys of the inputs.

    Inputs in memory are compared by their values, and streamed images by their pixels at the size that the classifier
    sees. Image files are compared by their bytes if there are more than 10,000 or if they have more than 256 MiB, and
    are then read only if another file has the same size.

    Args:
        arrays: the data.
        known: their fingerprint, whose hashes of inputs in memory are used instead of computing them again.
    """
    count = len(arrays.x_train)
    parts = [arrays.x_train] if arrays.x_test is None else [arrays.x_train, arrays.x_test]
    files = [_files(part) for part in parts]
    if all(files) and not _quickly_decoded([file for part in files for file in part]):
        keys = _file_keys([file for part in files for file in part])
    elif known is not None and not any(isinstance(part, Streamed) for part in parts):
        return ContentKeys(known.train.inputs, np.empty(0, np.uint64) if known.test is None else known.test.inputs)
    else:
        keys = np.concatenate([_pixel_keys(part) for part in parts])
    return ContentKeys(keys[:count], keys[count:])


def _files(inputs: Inputs) -> list[str]:
    """Return the files of streamed images; an empty list unless each image has one."""
    if not isinstance(inputs, Streamed):
        return []
    files = [inputs.file(index) for index in range(len(inputs))]
    return [file for file in files if file is not None] if None not in files else []


def _quickly_decoded(files: list[str]) -> bool:
    return len(files) <= _FEW and sum(map(size_of, files)) <= _SMALL


def _pixel_keys(inputs: Inputs) -> np.ndarray:
    if not isinstance(inputs, Streamed):
        return row_hashes(inputs)

    def content(index: int) -> bytes:
        try:
            return inputs.read(index).tobytes()
        except UserError:  # a damaged image is reported when it is used
            return f"unreadable {inputs.name(index)}".encode()

    return hashes_of(content(index) for index in range(len(inputs)))


def _file_keys(files: list[str]) -> np.ndarray:
    """Compare files by size, then by their last bytes, and only then as a whole.

    Names of the same file, such as links, have the same key.
    """
    keys = np.array([_size_key(file) for file in files], dtype=np.uint64)
    for ending in (_TAIL, None):
        _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
        for index in np.flatnonzero(counts[group] > 1).tolist():
            keys[index] = _content_key(files[index], ending)
    return keys


def _size_key(file: str) -> int:
    """Hash the size of a file; of a missing file, its name."""
    try:
        content = f"{os.stat(file).st_size} bytes"
    except OSError:
        content = f"missing {file}"
    return int(hashes_of([os.fsencode(content)])[0])


def _content_key(file: str, ending: int | None) -> int:
    """Hash the content of a file, or its size and its last ``ending`` bytes."""
    digest = blake2b(digest_size=8)
    try:
        with open(file, "rb") as content:
            if ending is not None:
                size = content.seek(0, os.SEEK_END)
                digest.update(f"{size} bytes".encode())
                content.seek(max(0, size - ending))
            while block := content.read(_BLOCK):
                digest.update(block)
    except OSError:  # reported when the image is used
        digest.update(os.fsencode(f"missing {file}"))
    return int.from_bytes(digest.digest(), "little")
