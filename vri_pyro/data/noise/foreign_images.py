"""Images of another data set, for open-set noise."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vri_pyro.data.npz import names_in, read_npz
from vri_pyro.data.randomness import permutation
from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.data.validation import check_array, check_labels
from vri_pyro.utils.errors import UserError

_IMAGES, _LABELS, _NAMES = ("x_train", "x"), ("y_train", "y"), ("classes", "names")


def read_foreign(path: Path, exclude: tuple[str, ...], like: Inputs) -> np.ndarray:
    """The images of an .npz file that fit among a data set's.

    Args:
        path: the file. It has the images as ``x_train`` or ``x`` and, where classes are to be excluded, labels as
            ``y_train`` or ``y`` and the classes' names as ``classes`` or ``names``.
        exclude: words or whole names; the classes in whose name one of them occurs are left out.
        like: the data set.

    Returns:
        uint8 or float32 [M, H, W, C].

    Raises:
        UserError: the file is missing, lacks an array or has an unusable one, its images differ in shape or dtype from
            the data's, a word is in no name, nothing is left, or the data are streamed.
    """
    if isinstance(like, Streamed):
        raise UserError(f"The images of {path} cannot replace streamed ones; take data that fit into memory.")
    keys = _keys(path, (_IMAGES, _LABELS, _NAMES) if exclude else (_IMAGES,))
    arrays = read_npz(path, keys)
    images = check_array(f"{keys[0]} in {path}", arrays[keys[0]])
    if images.shape[1:] != like.shape[1:] or images.dtype != like.dtype:
        raise UserError(
            f"The images of {path} are {images.dtype} {list(images.shape[1:])} but the data's are {like.dtype} "
            f"{list(like.shape[1:])}; convert them."
        )
    if not exclude:
        return images
    excluded = _excluded(path, exclude, arrays[keys[2]])
    kept = images[~excluded[check_labels(f"{keys[1]} in {path}", arrays[keys[1]], len(images), len(excluded))]]
    if len(kept) == 0:
        raise UserError(f"Excluding {', '.join(exclude)} leaves no image of {path}; exclude less.")
    return kept


def draw_foreign(images: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Some of the images in random order; an image comes again only after all others have come."""
    passes = -(-count // len(images))
    order = [permutation(generator, len(images)) for _ in range(passes)]
    return images[np.concatenate([np.empty(0, np.int64), *order])[:count]]


def _keys(path: Path, groups: tuple[tuple[str, str], ...]) -> list[str]:
    """Which name of each group the file uses; the first where it has none, for the reader to miss."""
    if not path.is_file() or path.suffix != ".npz":
        raise UserError(f"There is no .npz file {path}; it holds the images that replace others, as x_train or x.")
    read_npz(path, ())
    there = names_in(path)
    return [next((name for name in group if name in there), group[0]) for group in groups]


def _excluded(path: Path, words: tuple[str, ...], names: np.ndarray) -> np.ndarray:
    """Which classes have one of the words in their name, bool [K]."""
    if names.ndim != 1:
        raise UserError(f"The classes' names in {path} have shape {names.shape}; give one name a class.")
    excluded = np.zeros(len(names), dtype=bool)
    for word in words:
        # Bounded by what is no letter or digit: "cat" is in "tabby_cat", but not in "catamaran".
        pattern = re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", re.IGNORECASE)
        found = np.array([pattern.search(str(name)) is not None for name in names])
        if not found.any():
            raise UserError(f"No class in {path} has {word!r} in its name; correct or drop the word.")
        excluded |= found
    return excluded
