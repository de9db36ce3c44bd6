"""Atomic, durable writes of files and folders; a previous file survives a crash or a full disk."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

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


_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RecursionError, BadZipFile)
_PARTIAL = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.partial")  # the number is the process that writes it


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
            f"cannot write {path}: {error.strerror or error} ({kept}); free disk space, fix the permissions or use "
            "another path"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically; see :func:`replacing`.

    Raises:
        UserError: the file cannot be written; the previous file is intact.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


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


def check_new(path: Path, why: str = "") -> None:
    """Raise if there is a file at ``path``, which a person may have filled in.

    Args:
        path: the file to write.
        why: reason for the message, such as ", and may have answers".

    Raises:
        UserError: ``path`` exists, or cannot be a file; see :func:`check_place`.
    """
    check_place(path)
    if path.exists():
        raise UserError(f"{path} already exists{why}; choose another --output, or move the file away")


def check_replaceable(path: Path, is_own: Callable[[Path], bool], what: str, option: str = "--output") -> None:
    """Raise if writing to ``path`` would destroy anything but an earlier output of the same command.

    A command calls this before its expensive computation, for every file that it writes. An empty file may be replaced.

    Args:
        path: the file to write.
        is_own: whether an existing file is an earlier output. Errors of reading and decoding count as no.
        what: what the command writes, such as "a certificate", for the message.
        option: the option that names the file, for the message.

    Raises:
        UserError: the file exists and is something else, or cannot be a file; see :func:`check_place`.
    """
    check_place(path)
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        own = is_own(path)
    except _UNREADABLE:
        own = False
    if not own:
        raise UserError(f"{path} already exists and is not {what}; choose another {option}, or move the file away")


def first_line(path: Path) -> str:
    """Return the first line of a text file in UTF-8, of at most 1 MB, without its end."""
    with path.open("rb") as file:
        return file.readline(2**20).decode("utf-8-sig").rstrip("\r\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which replaces ``path`` on success.

    The file is flushed to disk before it is renamed, and the folder afterwards, so that a power failure also leaves
    either the previous file or the new one. On failure, ``path`` stays unchanged. Missing parent folders are created.
    If ``path`` is a symbolic link, its target is replaced. Several processes may write to the same path: one of the
    files wins as a whole.

    Raises:
        UserError: the file cannot be written, or ``path`` is a folder, a device or another special file.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    check_place(path)
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path)
        try:
            yield partial
            _flush(partial)
            os.replace(partial, path)
        except BaseException:  # also Ctrl-C, since large files are written row by row
            with suppress(OSError):
                partial.unlink()
            raise
        _flush_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, which becomes ``path`` on success; on failure, nothing is left behind.

    Raises:
        UserError: ``path`` exists and is not an empty folder, or it cannot be written.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not path.is_dir():
        raise UserError(f"cannot write {path}: it is not a folder; use another path")
    with clear_write_errors(path):
        if path.exists() and any(path.iterdir()):
            raise UserError(f"{path} is not empty; choose another folder, or delete this one")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path)
        partial.mkdir()
        try:
            yield partial
            for file in partial.rglob("*"):
                if file.is_file():
                    _flush(file)
            os.replace(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _flush_folder(path.parent)


def _partial(path: Path) -> Path:
    """Return a name beside ``path`` that no other process or thread uses."""
    _remove_abandoned(os.path.realpath(path.parent))
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")


@cache  # once per folder: listing it for every file would make many files in one folder slow
def _remove_abandoned(folder: str) -> None:
    """Remove temporary files and folders of processes that were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := _PARTIAL.fullmatch(entry.name)) and not _running(int(match[1])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)


def _running(process: int) -> bool:
    """Whether another process has this number. This process has not written to the folder yet."""
    if os.name != "posix":
        return True  # cannot be asked; on Windows, os.kill kills
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # the process of another user
    return True


def _flush(file: Path) -> None:
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    with suppress(OSError):  # not all file systems can; the file itself is complete
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
