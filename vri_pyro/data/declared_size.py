"""Check the size that a file declares before memory is allocated for it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from vri_pyro.utils.errors import UserError

_ZIP = b"PK"  # first bytes of a zip archive
_OBJECT = 64  # bytes of a short Python string, with the reference to it


def physical_memory() -> int | None:
    """Return the bytes of memory of this machine; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(what: str, size: int, remedy: str = "store less or smaller data") -> None:
    """Raise if data of a declared size exceed the memory of this machine.

    Args:
        what: name of the data and the file, for the message.
        size: declared size in bytes.
        remedy: what to do, for the message.

    Raises:
        UserError: the size exceeds the physical memory.
    """
    memory = physical_memory()
    if memory is not None and size > memory:
        raise UserError(f"{what} would take {_gib(size)} but this machine has {_gib(memory)} of memory; {remedy}.")


def npy_size(file: IO[bytes]) -> tuple[int, int]:
    """Read the header of an .npy file, without its data.

    Args:
        file: the file at its beginning.

    Returns:
        the bytes of the header, and the bytes of data that it declares; 0 for Python objects, which are never read.

    Raises:
        ValueError: the header is damaged.
    """
    version = np.lib.format.read_magic(file)
    # Versions 2 and 3 differ in the encoding of field names only, which does not matter here.
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    return file.tell(), 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize


def check_npy(path: Path) -> None:
    """Raise if an .npy file declares more data than the memory of this machine holds.

    The contents of an .npz file, which is a zip archive, pass.

    Raises:
        UserError: the declared size exceeds the memory.
        OSError, ValueError: the file cannot be opened, its header is damaged, or it has less data than it declares.
    """
    with path.open("rb") as file:
        if file.read(2) == _ZIP:
            return
        file.seek(0)
        header, declared = npy_size(file)
    if header + declared > path.stat().st_size:
        raise ValueError(f"it declares {declared} bytes of data but the file has {path.stat().st_size} bytes")
    check_memory(f"The array in {path}", declared)


def check_parquet(path: Path, metadata: Any, columns: int) -> None:
    """Raise if a .parquet file declares more data than the memory of this machine holds.

    Args:
        path: the file, for the message.
        metadata: its metadata, as ``pyarrow.parquet.read_metadata`` returns them.
        columns: number of columns that are read, of which every value becomes a Python object.

    Raises:
        UserError: the declared size exceeds the memory.
    """
    stored = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    check_memory(f"The table in {path}", max(stored, metadata.num_rows * columns * _OBJECT))


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
