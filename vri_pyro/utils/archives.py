"""Check zip archives, such as checkpoints and .npz files, for damage."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

#: errors of zipfile for damaged archives, which depend on the damage
DAMAGE = (OSError, ValueError, EOFError, RuntimeError, LookupError, struct.error, zipfile.BadZipFile, zlib.error)


def check_archive(path: Path) -> None:
    """Compare every entry of a zip archive with its checksum, and the names of the entries with the archive's table.

    PyTorch compares no checksums, and NumPy only those of the arrays that it is asked for. A bit that flips outside the
    entries either makes the archive unreadable or has no effect, as in the padding or the time of an entry.

    Raises:
        zipfile.BadZipFile: an entry is damaged. Other damage raises one of :data:`DAMAGE`.
    """
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{name} does not match its checksum")
