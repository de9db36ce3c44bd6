"""Names in figures are short, drawable and unique."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from vri_pyro.report.figures import curves
from vri_pyro.report.matrices import diagonals, fits, largest_entries, likeliest, matrix
from vri_pyro.report.names import drawable


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["cat", "dog"], ["cat", "dog"]),
        (["golden retriever", "cat"], ["golden re…", "cat"]),
        (["golden retriever 1", "golden retriever 2"], ["golden r…1", "golden r…2"]),
        (["a folder of cats", "a folder of rats"], ["a fol…cats", "a fol…rats"]),
        (["x" * 30 + "a" + "y" * 30, "x" * 30 + "b" + "y" * 30], ["xxxxxxx… 0", "xxxxxxx… 1"]),
        (["日本語", "cat", " "], ["class 0", "cat", "class 2"]),
        (["two\nlines"], ["two lines"]),
    ],
)
def test_names_are_short_and_unique(names: list[str], short: list[str]) -> None:
    assert drawable(names, "class", 10) == short


def test_characters_that_cannot_be_drawn_are_in_the_caption_and_no_warning() -> None:
    drawn = matrix(np.eye(2), ["日本語 🐱", "cat"], "class", "predicted", "Shares.")
    assert "class 0" in drawn.svg
    assert drawn.caption == (
        "Shares. Names with characters that cannot be drawn are replaced by numbers: class 0 is 日本語 🐱."
    )
    several = curves({"运行": ([1.0], [0.0]), "run": ([1.0], [1.0])}, "accuracy", "Accuracy.")
    assert "run 0 is 运行" in several.caption


@pytest.mark.parametrize(
    ("classes", "named"), [([f"class of dogs {n}" for n in range(20)], True), (["dog"] * 30, False)]
)
def test_classes_fit_the_axes_of_a_matrix_up_to_a_number(classes: list[str], named: bool) -> None:
    count = len(classes)
    assert fits(classes) is named
    shares = np.eye(count) * 0.7 + np.roll(np.eye(count), 1, axis=1) * 0.3
    assert likeliest(shares) == [(row, row + 1) for row in range(8)]


def test_many_classes_are_shown_by_their_largest_confusions() -> None:
    classes = [f"breed {number}" for number in range(100)]
    shares = np.eye(100) * 0.7
    for number in range(100):
        shares[number, (number + 1) % 100] = 0.3 * (number + 1) / 100
    drawn = largest_entries(
        {"estimated": shares, "true": np.eye(100)}, classes, "share", "The largest.", (shares, shares)
    )
    texts = [*ElementTree.fromstring(drawn.svg).itertext()]
    rows = [text for text in texts if " → " in text]
    assert rows == [f"breed {number} → breed {(number + 1) % 100}" for number in range(99, 87, -1)]
    assert {"estimated", "true", "share"} <= {*texts}
    assert "classes" in diagonals(shares, "accuracy of a class", "Accuracies.").svg


def test_names_of_confused_classes_that_cannot_be_drawn_are_in_the_caption() -> None:
    classes = [f"breed {number}" for number in range(99)] + ["日本語"]
    shares = np.eye(100)
    shares[99, 3] = 0.4
    drawn = largest_entries({"estimated": shares}, classes, "share", "The largest.")
    assert "class 99 → breed 3" in drawn.svg
    assert drawn.caption.endswith("replaced by numbers: class 99 is 日本語.")


def test_two_classes_have_two_confusions() -> None:
    assert likeliest(np.array([[0.9, 0.1], [0.4, 0.6]])) == [(1, 0), (0, 1)]
    assert likeliest(np.array([[1.0, 0.0], [np.nan, np.nan]])) == []
