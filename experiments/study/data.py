"""The studies' images: found, and pooled to a smaller size once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vri_pyro.data.npz import names_in, read_npz, write_npz
from vri_pyro.utils.errors import UserError

_IMAGES = ("x_train", "x_test", "x")


def find(name: str, given: Iterable[Path]) -> Path | None:
    """``<name>.npz`` among files and in folders; None where it is not.

    Raises:
        UserError: one of the places is not there.
    """
    for place in given:
        if place.is_dir() and (place / f"{name}.npz").is_file():
            return place / f"{name}.npz"
        if place.is_file() and place.stem == name:
            return place
        if not place.exists():
            raise UserError(f"there is no file or folder {place}; give --data .npz files, or folders of some")
    return None


def pooled(source: Path, side: int, folder: Path) -> Path:
    """A copy of an .npz file whose images are pooled to ``side`` pixels, made the first time it is asked for.

    The copy's name holds a digest of the source, so that another file of the same name is not taken for it.

    Args:
        source: images uint8 [N, H, W] or [N, H, W, C] as x_train and x_test, or as x; all else is copied.
        side: of the images of the copy; it divides their sides.
        folder: where copies are.
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
    """Average non-overlapping squares of pixels: uint8 [N, H, W, ...] to [N, side, side, ...], rounded.

    Raises:
        UserError: the images are not square, or their side is no multiple of ``side``.
    """
    count, height, width, *rest = images.shape
    if height != width or height % side:
        raise UserError(f"images of {height} x {width} pixels cannot be pooled to {side} x {side}; give other data")
    if height == side:
        return images
    squares = images.reshape(count, side, height // side, side, width // side, *rest)
    # Summed as integers, a pixel of every square at a time: a float copy of a whole data set is large.
    steps = range(height // side)
    total = sum(squares[:, :, i, :, j].astype(np.uint32) for i in steps for j in steps)
    area = len(steps) ** 2
    return ((total + area // 2) // area).astype(np.uint8)


def synthetic(path: Path) -> Path:
    """Grey 8x8 images of ten classes, each a pattern with noise, for trying a study out; made once."""
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
