"""Checked classes of images in a table of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vri_pyro.data.sources.table import _header, _normal, _rows
from vri_pyro.data.sources.verified_cells import VERIFIED, checked_class
from vri_pyro.data.validation import UNCHECKED
from vri_pyro.utils.errors import UserError


def read_verified(file: Path, paths: Sequence[str], numbers: Mapping[str, int]) -> np.ndarray:
    """Read the checked classes of images from a table with the columns ``path`` and ``verified``.

    Args:
        file: a .csv or .parquet file, such as ``label_issues.csv`` with a column ``verified``. Images that it does not
            list are unchecked.
        paths: paths of the images.
        numbers: number of each class by name.

    Returns:
        class numbers, int64 [N], -1 for unchecked images.

    Raises:
        UserError: the file is missing, unreadable or lacks a column, a row names no image or no class, or two rows
            about one image differ.
    """
    if not file.is_file():
        raise UserError(
            f"{file} does not exist; expected a .csv or .parquet file with the columns path and {VERIFIED}."
        )
    if missing := [name for name in ("path", VERIFIED) if name not in _header(file)]:
        raise UserError(f"{file} has no column {missing[0]!r}; expected path and {VERIFIED}, the checked class.")
    places = {_normal(path): place for place, path in enumerate(paths)}
    found = np.full(len(paths), UNCHECKED, dtype=np.int64)
    for number, row in enumerate(_rows(file, ["path", VERIFIED]), start=1):
        label = checked_class(row[VERIFIED], numbers, f"{file}, row {number}: {VERIFIED}")
        if label == UNCHECKED:
            continue
        place = places.get(_normal(str(row["path"])))
        if place is None:
            raise UserError(f"{file}, row {number}: there is no noisy image {row['path']!r}; correct the path.")
        if found[place] not in (UNCHECKED, label):
            raise UserError(f"{file}, row {number}: {row['path']!r} has another class above; keep one of the rows.")
        found[place] = label
    return found
