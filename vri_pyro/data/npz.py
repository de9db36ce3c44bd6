"""Reading .npz files that somebody else wrote, and writing them whole or not at all."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

# What NumPy and zipfile raise, by version and kind of damage, for bytes that are no sound archive or array.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, required: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file, read without unpickling anything.

    Args:
        path: the file.
        required: keys that must be there.
        optional: keys that are read where they are there; all others are ignored.

    Raises:
        UserError: the file is missing, is no .npz, is damaged, lacks a key or holds a pickled object.
    """
    expected = f"expected is an .npz file, written by numpy.savez, with the arrays {', '.join(required)}"
    if not path.is_file():
        raise UserError(f"There is no file {path}; {expected}.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}); make it readable.") from error
    with file:
        # Asked first, because numpy.load takes any other bytes for a pickle and says so.
        if file.read(2) != b"PK":
            raise UserError(f"{path} is not an .npz file; {expected}.")
        file.seek(0)
        try:
            pack = np.load(file, allow_pickle=False)
        except _UNREADABLE as error:
            raise UserError(f"{path} is truncated or damaged; write or copy it again.") from error
        with pack:
            missing = [key for key in required if key not in pack.files]
            if missing:
                found = ", ".join(pack.files) or "nothing"
                raise UserError(f"{path} lacks {', '.join(missing)} (it holds {found}); {expected}.")
            wanted = [*required, *(key for key in optional if key in pack.files)]
            return {key: _read_array(path, pack, key) for key in wanted}


def names_in(path: Path) -> list[str]:
    """Names of the arrays of a sound .npz file."""
    with np.load(path, allow_pickle=False) as pack:
        return list(pack.files)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an .npz file, or leave an older file as it was.

    Raises:
        UserError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # taken for savez's own keywords
    write_atomically(path, buffer.getvalue())


def _read_array(path: Path, pack: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        array = pack[key]
    except _UNREADABLE as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{key} in {path} is an array of Python objects, which is not read because unpickling can "
                "run code; save it with a numeric dtype and equal lengths."
            ) from error
        raise UserError(f"{key} in {path} is truncated or damaged; write or copy the file again.") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{key} in {path} is not a NumPy array; write the file with numpy.savez.")
    return array
