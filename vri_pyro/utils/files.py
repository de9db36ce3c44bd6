"""Writing files so that a crash or a full disk leaves the previous one whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vri_pyro.utils.errors import UserError


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Say in one sentence that ``path`` could not be written, and why; what was there before must be intact."""
    try:
        yield
    except OSError as error:
        kept = "the previous one is intact" if path.is_file() else "nothing was there before"
        raise UserError(
            f"cannot write {path}: {error.strerror} ({kept}); free some space, fix the rights or choose another place"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it was: write beside it, flush to disk, rename.

    Raises:
        UserError: when the file cannot be written; the previous file is intact.
    """
    with replacing(path) as partial, open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_place(path: Path) -> None:
    """Refuse what is there and is no file.

    Raises:
        UserError: ``path`` is a folder, a device or the like.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path}: it is no regular file; name another one")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write, which takes its place in the end; where that fails, ``path`` is as it was.

    Folders on the way to it are made, and where ``path`` is a link, what it leads to is replaced.

    Raises:
        UserError: when the file cannot be written, or ``path`` is a folder, a device or the like.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    check_place(path)
    partial = path.with_name(f".{path.name}.partial")
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
