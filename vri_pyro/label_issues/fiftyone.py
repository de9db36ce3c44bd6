"""Write label issues for FiftyOne."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vri_pyro.data import Examples
from vri_pyro.label_issues.filled_in import FilledIn
from vri_pyro.label_issues.media import folder_of, image_files
from vri_pyro.label_issues.ranking import LabelIssues
from vri_pyro.label_issues.table import table_rows, write_rows


def write_fiftyone(
    path: Path,
    issues: LabelIssues,
    indices: np.ndarray,
    classes: Sequence[str],
    examples: Examples,
    true: np.ndarray | None = None,
    limit: int | None = None,
    filled: FilledIn | None = None,
) -> None:
    """Write a table that FiftyOne imports as a ``fiftyone.types.CSVDataset``.

    The first column, ``filepath``, has the absolute path of the image; the others are those of
    :func:`~vri_pyro.label_issues.write_table`. Images of arrays are written to the folder NAME_images beside the table.

    Args:
        path: the .csv file to write.
        issues, indices, classes, examples, true, limit, filled: see :func:`~vri_pyro.label_issues.write_table`.

    Raises:
        UserError: a file cannot be written.
    """
    rows = list(table_rows(issues, indices, classes, examples, true, limit))
    rows = rows if filled is None else filled.kept(rows)
    files = image_files(examples, [row["index"] for row in rows], folder_of(path))
    write_rows(path, [{"filepath": str(file.absolute())} | row for row, file in zip(rows, files, strict=True)])
