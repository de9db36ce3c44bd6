"""Atomic writes of files and folders; a previous file survives a crash or a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vri_pyro.utils.errors import UserError, UserTypeError


def checked_path(name: str, path: Any) -> Path:
    """Return a path that a user passed.

    Args:
        name: name of the argument, for the message.
        path: the path; the empty string would stand for the working directory and is an error.

    Raises:
        UserTypeError: it is neither a string nor a path.
        UserError: it is empty.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserTypeError(f"{name} is {path!r}; expected a path")
    if path == "":
        raise UserError(f"{name} is empty; set it to a path")
    return Path(path)


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Convert an ``OSError`` to a :class:`~vri_pyro.utils.errors.UserError` that says why ``path`` cannot be written.

    The code in the context must leave an existing file at ``path`` unchanged when it fails.
    """
    try:
        yield
    except OSError as error:
        kept = "the previous file is intact" if path.is_file() else "no previous file existed"
        raise UserError(
            f"cannot write {path}: {error.strerror} ({kept}); free disk space, fix the permissions or use another path"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically: write a temporary file beside it, flush it to disk, rename it.

    Raises:
        UserError: the file cannot be written; the previous file is intact.
    """
    with replacing(path) as partial, open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_place(path: Path) -> None:
    """Raise if ``path`` exists and is not a regular file, or is below something that is no folder.

    Raises:
        UserError: ``path`` is a folder, a device or another special file, or below a file.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; use the path of a file")
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path}: it is not a regular file; use another path")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not there.is_dir():
        raise UserError(f"cannot write {path}: {there} is not a folder; use another path")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which replaces ``path`` on success.

    On failure, ``path`` stays unchanged. Missing parent folders are created. If ``path`` is a symbolic link, its target
    is replaced.

    Raises:
        UserError: the file cannot be written, or ``path`` is a folder, a device or another special file.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    check_place(path)
    partial = path.with_name(f".{path.name}.partial")
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        except BaseException:  # also Ctrl-C, since large files are written row by row
            with suppress(OSError):
                partial.unlink()
            raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, which becomes ``path`` on success; on failure, nothing is left behind.

    Raises:
        UserError: ``path`` exists and is not an empty folder, or it cannot be written.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not path.is_dir():
        raise UserError(f"cannot write {path}: it is not a folder; use another path")
    partial = path.with_name(f".{path.name}.partial")
    with clear_write_errors(path):
        if path.exists() and any(path.iterdir()):
            raise UserError(f"{path} is not empty; choose another folder, or delete this one")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)  # left behind by a process that was killed
        partial.mkdir()
        try:
            yield partial
            os.replace(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
