"""Reading untrusted .npz files, and writing .npz files atomically."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from vri_pyro.data.declared_size import check_memory, npy_size
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

# Exceptions of NumPy and zipfile for damaged archives and arrays, which depend on the version and the damage.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def read_npz(path: Path, required: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read named arrays of an .npz file, without unpickling anything.

    Args:
        path: the file.
        required: keys that must exist.
        optional: keys that are read if they exist; all other keys are ignored.

    Raises:
        UserError: the file is missing, damaged or not an .npz file, it lacks a required key or contains a pickled
            object, or its arrays declare more data than the memory of this machine holds.
    """
    arrays = f", with the arrays {', '.join(required)}" if required else ""
    expected = f"expected an .npz file, written by numpy.savez{arrays}"
    if not path.is_file():
        raise UserError(f"The file {path} does not exist; {expected}.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}); fix its permissions.") from error
    with file:
        # numpy.load treats any other bytes as a pickle, and its error message would mislead.
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
                raise UserError(f"{path} lacks {', '.join(missing)} (it contains {found}); {expected}.")
            wanted = [*required, *(key for key in optional if key in pack.files)]
            _check_sizes(path, wanted)
            return {key: _read_array(path, pack, key) for key in wanted}


def names_in(path: Path) -> list[str]:
    """Return the names of the arrays of a valid .npz file."""
    with np.load(path, allow_pickle=False) as pack:
        return list(pack.files)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an .npz file atomically; on failure an existing file stays unchanged.

    Raises:
        UserError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # mypy takes them for savez's own keywords
    write_atomically(path, buffer.getvalue())


def _check_sizes(path: Path, keys: Collection[str]) -> None:
    """Check what the headers of the arrays declare, before memory is allocated for any of them."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for key in keys:
            try:
                size = _declared_size(archive, key)
            except _UNREADABLE as error:
                raise UserError(
                    f"{key} in {path} is truncated or damaged ({error}); write or copy the file again."
                ) from error
            check_memory(f"{key} in {path}", size)
            total += size
    check_memory(f"The arrays {', '.join(keys)} in {path} together", total)


def _declared_size(archive: zipfile.ZipFile, key: str) -> int:
    """Return the bytes that a member of the archive declares.

    Raises:
        ValueError: the header of the array is damaged, or declares more data than the archive does.
    """
    name = f"{key}.npy"
    if name not in archive.NameToInfo:  # not an array, which is reported when it is read
        return archive.getinfo(key).file_size
    stored = archive.getinfo(name).file_size
    with archive.open(name) as file:
        header, declared = npy_size(file)
    if header + declared > stored:
        raise ValueError(f"{declared:,} bytes are declared but {stored:,} are stored")
    return stored


def _read_array(path: Path, pack: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        array = pack[key]
    except MemoryError as error:
        raise UserError(f"{key} in {path} does not fit into the free memory; store less or smaller data.") from error
    except _UNREADABLE as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{key} in {path} is an array of Python objects, and unpickling could run arbitrary code; "
                "save numbers with a numeric dtype and rows of equal length, and strings with .astype(str)."
            ) from error
        raise UserError(f"{key} in {path} is truncated or damaged; write or copy the file again.") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{key} in {path} is not a NumPy array; write the file with numpy.savez.")
    return array
