"""A lock that lets only one process write to a folder."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import clear_write_errors

_NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder and hold its lock, so that no other process writes to it. Readers need no lock.

    The lock is an ``flock`` on the file ``.lock`` in the folder, so the operating system releases it when the process
    dies, however it dies. Afterwards the file is removed, and so is the folder if it is new and still empty.

    Raises:
        UserError: another process holds the lock, or the folder cannot be created.
    """
    created = [one for one in (folder, *folder.parents) if not one.exists()]
    with clear_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                (folder / _NAME).unlink()
            os.close(descriptor)
        with suppress(OSError):  # the first folder that is not empty, and those above it, stay
            for one in created:
                one.rmdir()


def _acquire(folder: Path) -> int | None:
    """Return the open file that holds the lock; None if the folder cannot have a lock."""
    while True:
        try:
            descriptor = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None  # a folder that cannot be written to; the first write raises if there is one
        if not _lock(descriptor, folder):
            os.close(descriptor)
            return None
        if _is_current(descriptor, folder / _NAME):
            break
        os.close(descriptor)  # the previous holder has removed this file in the meantime
    with suppress(OSError):  # a full disk; the lock works without the text
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return descriptor


def _lock(descriptor: int, folder: Path) -> bool:
    """Lock an open file; return False if the operating system has no locks or, with a warning, the file system."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        os.close(descriptor)
        raise UserError(
            f"{folder} is in use by {holder}; wait for that process or stop it, or choose another --output"
        ) from error
    except OSError as error:
        warnings.warn(
            f"{folder} cannot be locked ({error.strerror}); make sure that no other process writes to it", stacklevel=4
        )
        return False
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
