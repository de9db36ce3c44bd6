"""Images of the studies: finding the .npz files and pooling them to a smaller size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vri_pyro.data.npz import names_in, read_npz, write_npz
from vri_pyro.utils.errors import UserError

_IMAGES = ("x_train", "x_test", "x")


def find(name: str, given: Iterable[Path]) -> Path | None:
    """Find ``<name>.npz`` among the given files and in the given folders.

    Returns:
        The path of the file, or None if it was not found.

    Raises:
        UserError: if one of the given paths does not exist.
    """
    for place in given:
        if place.is_dir() and (place / f"{name}.npz").is_file():
            return place / f"{name}.npz"
        if place.is_file() and place.stem == name:
            return place
        if not place.exists():
            raise UserError(f"{place} does not exist; set --data to .npz files or folders that contain them")
    return None


def pooled(source: Path, side: int, folder: Path) -> Path:
    """Return the path of a copy of an .npz file with images pooled to ``side`` pixels; create it if necessary.

    The copy's name contains a digest of the source, so that a different file of the same name gets its own copy.

    Args:
        source: .npz file with images uint8 [N, H, W] or [N, H, W, C] as x_train and x_test, or as x. Other arrays are
            copied unchanged.
        side: side length of the pooled images; it must divide the side length of the source images.
        folder: folder of the copies.

    Raises:
        UserError: as for :func:`pool`.
    """
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    path = folder / f"{source.stem}_{side}x{side}_{digest}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        arrays = read_npz(source, names_in(source))
        write_npz(path, {name: pool(x, side) if name in _IMAGES else x for name, x in arrays.items()})
    return path


def pool(images: np.ndarray, side: int) -> np.ndarray:
    """Average non-overlapping squares of pixels and round: uint8 [N, H, W, ...] to [N, side, side, ...].

    Raises:
        UserError: if the images are not square, or their side length is not a multiple of ``side``.
    """
    count, height, width, *rest = images.shape
    if height != width or height % side:
        raise UserError(
            f"images of {height} x {width} pixels cannot be pooled to {side} x {side}; expected square images with a "
            f"side length that is a multiple of {side}"
        )
    if height == side:
        return images
    squares = images.reshape(count, side, height // side, side, width // side, *rest)
    # Sum integers over the positions within a square: a float copy of the whole data set would need more memory.
    steps = range(height // side)
    total = sum(squares[:, :, i, :, j].astype(np.uint32) for i in steps for j in steps)
    area = len(steps) ** 2
    return ((total + area // 2) // area).astype(np.uint8)


def synthetic(path: Path) -> Path:
    """Write synthetic grey 8x8 images of ten classes, a noisy pattern per class; an existing file is kept."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(0)
        labels = np.arange(2100) % 10
        patterns = generator.integers(0, 120, (10, 8, 8))
        images = (patterns[labels] + generator.integers(0, 120, (len(labels), 8, 8))).astype(np.uint8)
        train, test = slice(100, None), slice(100)
        parts = {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}
        write_npz(path, parts)
    return path
