"""Images of another data set, for open-set noise."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vri_pyro.data.npz import names_in, read_npz
from vri_pyro.data.randomness import permutation
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import check_array, check_labels
from vri_pyro.utils.errors import UserError

_IMAGES, _LABELS, _NAMES = ("x_train", "x"), ("y_train", "y"), ("classes", "names")


def read_foreign(path: Path, exclude: tuple[str, ...], like: Inputs) -> np.ndarray:
    """Read replacement images for a data set from an .npz file.

    Args:
        path: the file. It contains the images as ``x_train`` or ``x``. If classes are excluded, it also contains the
            labels as ``y_train`` or ``y`` and the class names as ``classes`` or ``names``.
        exclude: words or full class names; images of classes whose name contains one of them are excluded.
        like: the inputs of the data set, for their shape and dtype.

    Returns:
        the images, uint8 or float32 [M, H, W, C].

    Raises:
        UserError: the file is missing, or lacks an array or contains an invalid one; its images differ in shape or
            dtype from the data; no class name contains one of the words; no image is left; or the data are on disk.
    """
    if not isinstance(like, np.ndarray):
        raise UserError(f"The images of {path} cannot replace inputs on disk; use data that fit into memory.")
    keys = _keys(path, (_IMAGES, _LABELS, _NAMES) if exclude else (_IMAGES,))
    arrays = read_npz(path, keys)
    images = check_array(f"{keys[0]} in {path}", arrays[keys[0]])
    if images.shape[1:] != like.shape[1:] or images.dtype != like.dtype:
        raise UserError(
            f"The images of {path} are {images.dtype} {list(images.shape[1:])} but the images of the data are "
            f"{like.dtype} {list(like.shape[1:])}; convert the images of the file."
        )
    if not exclude:
        return images
    excluded = _excluded(path, exclude, arrays[keys[2]])
    kept = images[~excluded[check_labels(f"{keys[1]} in {path}", arrays[keys[1]], len(images), len(excluded))]]
    if len(kept) == 0:
        raise UserError(f"Excluding {', '.join(exclude)} leaves no image of {path}; exclude fewer classes.")
    return kept


def draw_foreign(images: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw images in random order; an image repeats only after all images have been drawn."""
    passes = -(-count // len(images))
    order = [permutation(generator, len(images)) for _ in range(passes)]
    return images[np.concatenate([np.empty(0, np.int64), *order])[:count]]


def _keys(path: Path, groups: tuple[tuple[str, str], ...]) -> list[str]:
    """Return one key per group: the key that the file contains.

    If the file contains no key of a group, return the first one, which the reader then reports as missing.
    """
    if not path.is_file() or path.suffix != ".npz":
        raise UserError(f"There is no .npz file {path}; expected one with replacement images as x_train or x.")
    read_npz(path, ())
    there = names_in(path)
    return [next((name for name in group if name in there), group[0]) for group in groups]


def _excluded(path: Path, words: tuple[str, ...], names: np.ndarray) -> np.ndarray:
    """Mark the classes whose name contains one of the words, bool [K]."""
    if names.ndim != 1:
        raise UserError(f"The class names in {path} have shape {names.shape}; expected one name per class.")
    excluded = np.zeros(len(names), dtype=bool)
    for word in words:
        # Word boundaries are all characters but letters and digits: "cat" matches "tabby_cat" but not "catamaran".
        pattern = re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", re.IGNORECASE)
        found = np.array([pattern.search(str(name)) is not None for name in names])
        if not found.any():
            raise UserError(f"No class name in {path} contains {word!r}; correct or remove the word.")
        excluded |= found
    return excluded
