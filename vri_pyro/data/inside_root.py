"""Check that the paths of a list stay in the folder of the data."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vri_pyro.utils.errors import UserError


def check_inside(file: Path, root: Path, paths: Iterable[tuple[int, str]], unit: str, remedy: str) -> None:
    """Raise if a path leads out of a folder: as an absolute path, by ``..``, or through a symbolic link.

    Every folder that holds listed files is listed once. No file is opened, and files may be missing.

    Args:
        file: the list, for messages.
        root: the folder to which the paths are relative.
        paths: numbers of rows or lines, and the paths in them.
        unit: "row" or "line".
        remedy: what to do if the path is meant, for the message.

    Raises:
        UserError: a path leads out of the folder.
    """
    inside = _Inside(root)
    for number, path in paths:
        if not inside.has(path):
            raise UserError(f"{file}, {unit} {number}: {path!r} is outside of {root}; {remedy}.")


class _Inside:
    """The places inside a folder, with what is known of the folders below it."""

    def __init__(self, root: Path) -> None:
        self._path, self._root = str(root), os.path.realpath(root)
        self._real: dict[str, str] = {}
        self._links: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        """Tell whether a path, relative to the folder, leads to a place inside it."""
        folder, name = os.path.split(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(os.path.join(self._path, folder))
        real = self._real[folder]
        if name in ("", ".", "..") or name in self._links_in(real):
            real = os.path.realpath(os.path.join(real, name))
        return real == self._root or real.startswith(self._root.rstrip(os.sep) + os.sep)

    def _links_in(self, folder: str) -> frozenset[str]:
        if folder not in self._links:
            self._links[folder] = _links_in(folder)
        return self._links[folder]


def _links_in(folder: str) -> frozenset[str]:
    """Return the names of the symbolic links in a folder."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_symlink())
    except OSError:  # a missing folder is reported when its images are read
        return frozenset()
