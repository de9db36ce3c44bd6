"""Listing of the image files in folders."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

#: suffixes of the image files that are read from folders, in lower case
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".ppm"),
    *(".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
)
# Suffixes of images that Pillow reads if it was built for them, or if a plugin such as pillow-heif is registered.
_OF_PLUGINS = (".avif", ".heic", ".heif")
# Suffixes of text and data, such as annotations beside the images, which nobody takes for images.
_BESIDE = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".log", ".pdf"),
    *(".npy", ".npz", ".parquet", ".pt"),
)
# Files and folders that operating systems and network drives add, in lower case.
_CLUTTER = ("thumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin", "lost+found")


class Found(NamedTuple):
    """The contents of a folder, without hidden ones and those of the operating system, sorted by name.

    Attributes:
        images: names of the image files.
        others: names of all other files.
        folders: names of the folders.
    """

    images: list[str]
    others: list[str]
    folders: list[str]


def is_image(name: str) -> bool:
    """Tell by its suffix, in upper or lower case, whether a file is an image that can be read."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix in _OF_PLUGINS and suffix in Image.registered_extensions())


def contents_of(folder: Path) -> Found:
    """List the contents of a folder.

    Files and folders whose names begin with a dot, and those of operating systems (``Thumbs.db``, ``desktop.ini``,
    ``__MACOSX``, ``@eaDir``), are left out.
    """
    found = Found([], [], [])
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.name.startswith(".") or entry.name.lower() in _CLUTTER):
                of_kind = found.folders if entry.is_dir() else found.images if is_image(entry.name) else found.others
                of_kind.append(entry.name)
    for names in found:
        names.sort()
    return found


def files_below(folder: Path) -> tuple[list[str], list[str]]:
    """List the files in a folder and in the folders below it, see :func:`contents_of`.

    Links to folders are followed, except to a folder in which they are.

    Returns:
        paths of the image files and of all other files, relative to the folder with ``/``, sorted.
    """
    images: list[str] = []
    others: list[str] = []
    waiting = [("", frozenset([os.path.realpath(folder)]))]
    while waiting:
        prefix, above = waiting.pop()
        found = contents_of(folder / prefix)
        images += [prefix + name for name in found.images]
        others += [prefix + name for name in found.others]
        for name in found.folders:
            if (real := os.path.realpath(folder / prefix / name)) not in above:
                waiting.append((f"{prefix}{name}/", above | {real}))
    return sorted(images), sorted(others)


def warn_of_unread(folder: Path, names: Sequence[str]) -> None:
    """Warn of files that are not read because their suffix is not one of an image; text and data are not counted.

    Args:
        folder: the folder of the data.
        names: paths of the files, relative to the folder.
    """
    names = [name for name in names if PurePosixPath(name).suffix.lower() not in _BESIDE]
    if names:
        warnings.warn(
            f"files in {folder} are not read because their suffixes are not those of images ({_by_suffix(names)}, the "
            f"first is {names[0]}); convert images to .png or .jpg, or give them the suffix of their format",
            stacklevel=3,
        )


def warn_of_nested(folder: Path, names: Sequence[str]) -> None:
    """Warn of images that are not read because they are in a folder inside the folder of their class."""
    if names:
        warnings.warn(
            f"images in {folder} are not read because they are in a folder inside the folder of a class (there are "
            f"{len(names)}, the first is {names[0]}); move them into the folder of the class",
            stacklevel=3,
        )


def _by_suffix(names: Iterable[str]) -> str:
    counts = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names)
    return ", ".join(f"{count} with {suffix}" for suffix, count in sorted(counts.items()))
