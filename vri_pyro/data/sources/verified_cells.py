"""Checked classes in the cells of tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vri_pyro.data.class_labels import shown_classes
from vri_pyro.data.sources.listing import class_name
from vri_pyro.data.validation import UNCHECKED
from vri_pyro.utils.errors import UserError

VERIFIED = "verified"  # name of the column that is read if there is one


def checked_class(cell: object, numbers: Mapping[str, int], where: str) -> int:
    """Return the class number in a cell of the column with checked classes; -1 for an empty cell or -1.

    Args:
        cell: the value. Numbers may be written as 3.0, as programs do in a column with empty cells.
        numbers: number of each class by name.
        where: the place of the cell in messages.

    Raises:
        UserError: the cell has something else than a class.
    """
    missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
    text = "" if missing else class_name(str(cell).strip())
    for name in (text, text.removesuffix(".0")):
        if name in numbers:
            return numbers[name]
        if name in ("", "-1"):
            return UNCHECKED
    raise UserError(
        f"{where} is {text!r}, which is not one of the classes ({shown_classes(list(numbers))}); enter the checked "
        "class, leave the cell empty, or rename a column that means something else."
    )
