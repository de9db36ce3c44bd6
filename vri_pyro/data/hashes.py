"""Hashes of inputs, equal for equal inputs on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from vri_pyro.data.stored import StoredVectors

_CHUNK = 4096  # examples that are normalised at a time, to avoid a copy of the whole set
_BYTES = 8


def row_hashes(x: np.ndarray | StoredVectors) -> np.ndarray:
    """Hash every example of an array.

    Two examples have the same hash if their values are equal; 0.0 and -0.0 are equal. With a million examples, the
    probability that any two different ones share a hash is below 1e-7.

    Args:
        x: images [N, H, W, C] or vectors [N, D], uint8 or float32; stored vectors are read chunk by chunk.

    Returns:
        64-bit hashes, uint64 [N].
    """
    width = int(np.prod(x.shape[1:])) * x.dtype.itemsize
    digests = []
    for start in range(0, len(x), _CHUNK):
        chunk = x[start : start + _CHUNK]
        # Adding zero turns -0.0 into 0.0.
        chunk = chunk if x.dtype == np.uint8 else (chunk + np.float32(0)).astype("<f4", copy=False)
        content = np.ascontiguousarray(chunk).tobytes()
        digests.append(hashes_of(content[at : at + width] for at in range(0, len(content), width)))
    return np.concatenate(digests)


def hashes_of(contents: Iterable[bytes]) -> np.ndarray:
    """Hash byte strings: uint64, one hash per string."""
    digests = b"".join(blake2b(content, digest_size=_BYTES).digest() for content in contents)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
