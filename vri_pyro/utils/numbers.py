"""Checks of numbers that users pass; the messages name the argument, its value and what was expected."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from typing import Any

from vri_pyro.utils.errors import UserError, UserTypeError, described

# More threads or processes crash PyTorch or the machine.
MOST_PROCESSES = max(1024, os.cpu_count() or 1)
_LARGEST = 2**63 - 1  # of an int64, in which PyTorch and NumPy keep sizes and seeds
_SHOWN = 10**30


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer of Python or NumPy; Booleans are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a real number of Python or NumPy; Booleans are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun, such as "1 check" and "2 checks".

    Args:
        number: the number.
        noun: the singular.
        nouns: the plural; None for the singular with an s.
    """
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def check_integer(
    name: str, value: Any, least: int | None = None, most: int | None = _LARGEST, remedy: str = ""
) -> None:
    """Raise if a value is not an integer in a range.

    Args:
        name: name of the argument.
        value: the value; Booleans are no integers here.
        least, most: the smallest and the largest valid value; None for no limit.
        remedy: text after the expected range, such as ", or null for all".

    Raises:
        UserTypeError: the value is not an integer.
        UserError: it is out of range.
    """
    if not is_integer(value):
        raise UserTypeError(f"{name} is {described(value)}; expected an integer{remedy}")
    if least is not None and value < least:
        raise UserError(f"{name} is {_shown(value)}; expected a value >= {least}{remedy}")
    if most is not None and value > most:
        limit = "a value below 2^63" if most == _LARGEST else f"a value <= {most}"
        raise UserError(f"{name} is {_shown(value)}; expected {limit}{remedy}")


def check_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    remedy: str = "",
) -> None:
    """Raise if a value is not a finite number in a range.

    Args:
        name: name of the argument.
        value: the value; Booleans are no numbers here.
        at_least, above: the lower limit, which is a valid value itself or not; neither for no lower limit.
        below, at_most: the upper limit, in the same way.
        remedy: text after the expected range, such as ", such as 0.9".

    Raises:
        UserTypeError: the value is not a number.
        UserError: it is out of range or not finite.
    """
    if not is_number(value):
        raise UserTypeError(f"{name} is {described(value)}; expected a number{remedy}")
    valid = (
        math.isfinite(value)
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    if not valid:
        expected = _range(at_least, above, below, at_most)
        finite = "a finite value" if value == math.inf else "a value"
        raise UserError(f"{name} is {_shown(value)}; expected {finite}{expected}{remedy}")


def _range(at_least: float | None, above: float | None, below: float | None, at_most: float | None) -> str:
    low, high = at_least if above is None else above, at_most if below is None else below
    if low is None and high is None:
        return " that is finite"
    if high is None:
        return f" >{'=' if above is None else ''} {low}"
    if low is None:
        return f" <{'=' if below is None else ''} {high}"
    return f" in {'[' if above is None else '('}{low}, {high}{']' if below is None else ')'}"


def _shown(value: Any) -> str:
    return str(value) if abs(value) < _SHOWN or not isinstance(value, Integral) else "a number of more than 30 digits"
