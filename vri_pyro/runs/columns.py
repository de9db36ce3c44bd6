"""Read the columns of a .csv or .parquet table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from vri_pyro.data.declared_size import check_parquet
from vri_pyro.utils.cells import other_separator
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import counted


def read_columns(path: Path) -> dict[str, Sequence[object]]:
    """Read a table by columns.

    Args:
        path: a .csv file in UTF-8 with a header, or a .parquet file.

    Returns:
        the values of each column, in the order of the file. Values of a .csv file are strings; an empty value is "" in
        a .csv file and None in a .parquet file.

    Raises:
        UserError: the file is damaged, has no header or no rows, or a column name occurs twice; or pyarrow is missing.
    """
    names, columns = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has more than one column {twice!r}; rename one of them")
    if not columns or not len(columns[0]):
        raise UserError(f"{path} has no rows; expected at least one below the header")
    return dict(zip(names, columns, strict=True))


def _csv(path: Path) -> tuple[list[str], list[Sequence[object]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a .csv file in UTF-8 ({error}); write it again") from error
    if not header or all(map(_is_number, header)):
        raise UserError(f"{path} has no header; add a first line with the names of the columns")
    if remedy := other_separator(header):
        raise UserError(f"{path} has one column, {header[0]!r}; {remedy}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UserError(
                f"{path}, row {number}: found {counted(len(row), 'value')} for {counted(len(header), 'column')}; "
                "correct the row"
            )
    return header, list(zip(*rows, strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> tuple[list[str], list[Sequence[object]]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise UserError(f"reading {path} needs pyarrow: pip install 'vri-pyro[tables]'") from error
    try:
        metadata = parquet.read_metadata(path)
        check_parquet(path, metadata, metadata.num_columns)
        table = parquet.read_table(path)
    except (OSError, ArrowInvalid) as error:
        raise UserError(f"{path} is damaged or not a .parquet file; write it again") from error
    return table.column_names, [column.to_pylist() for column in table.columns]
