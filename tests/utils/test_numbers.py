"""Checks of numbers name the argument, the value and the expected range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from vri_pyro.utils.errors import UserError, UserTypeError
from vri_pyro.utils.numbers import check_integer, check_number, counted


@pytest.mark.parametrize("value", [1, np.int64(3), 2**63 - 1])
def test_integers_of_python_and_numpy_are_accepted(value: Any) -> None:
    check_integer("epochs", value, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "epochs is 0; expected a value >= 1, or null"),
        (2**63, "epochs is 9223372036854775808; expected a value below 2^63, or null"),
        pytest.param(
            10**5000, "epochs is a number of more than 30 digits; expected a value below 2^63, or null", id="huge"
        ),
    ],
)
def test_integers_out_of_range_are_refused(value: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_integer("epochs", value, 1, remedy=", or null")
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [True, 1.0, "3", None, np.array([1]), int])
def test_values_that_are_no_integers_are_a_type_error(value: Any) -> None:
    with pytest.raises(UserTypeError, match=r"^epochs is .*; expected an integer$"):
        check_integer("epochs", value, 1)


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (-1, {"at_least": 0}, "rate is -1; expected a value >= 0"),
        (0, {"above": 0}, "rate is 0; expected a value > 0"),
        (1, {"at_least": 0, "below": 1}, "rate is 1; expected a value in [0, 1)"),
        (2.0, {"above": 0, "at_most": 1}, "rate is 2.0; expected a value in (0, 1]"),
        (5, {"at_most": 1}, "rate is 5; expected a value <= 1"),
        (math.nan, {"at_least": 0}, "rate is nan; expected a value >= 0"),
        (math.inf, {"at_least": 0}, "rate is inf; expected a finite value >= 0"),
        (-math.inf, {}, "rate is -inf; expected a value that is finite"),
    ],
)
def test_numbers_out_of_range_are_refused(value: float, limits: dict[str, float], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_number("rate", value, **limits)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [True, "0.5", None, [0.5], 1j])
def test_values_that_are_no_numbers_are_a_type_error(value: Any) -> None:
    with pytest.raises(UserTypeError, match=r"^rate is .*; expected a number$"):
        check_number("rate", value)


def test_counts_agree_with_their_nouns() -> None:
    assert [counted(number, "check") for number in (0, 1, 2)] == ["0 checks", "1 check", "2 checks"]
    assert counted(1, "class", "classes") == "1 class"
    assert counted(2, "class", "classes") == "2 classes"
