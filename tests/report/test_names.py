"""Names in figures are short, drawable and unique."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from vri_pyro.report.confusions import called, likeliest
from vri_pyro.report.figures import curves, matrix
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
def test_classes_without_room_are_numbered_and_their_confusions_listed(classes: list[str], named: bool) -> None:
    count = len(classes)
    shares = np.eye(count) * 0.7 + np.roll(np.eye(count), 1, axis=1) * 0.3
    drawn = matrix(shares, classes, "class", "predicted", "Shares.")
    texts = {*ElementTree.fromstring(drawn.svg).itertext()}
    assert (classes[3] in texts) is named
    assert ("Classes are numbered from 0 to 29." in drawn.caption) is not named
    assert likeliest(shares, classes) == [(row, row + 1) for row in range(3 if named else 10)]
    assert called(classes, 3) == ("class of dogs 3" if named else "dog (3)")


def test_two_classes_have_two_confusions() -> None:
    assert likeliest(np.array([[0.9, 0.1], [0.4, 0.6]]), ["cat", "dog"]) == [(1, 0), (0, 1)]
    assert likeliest(np.array([[1.0, 0.0], [np.nan, np.nan]]), ["cat", "dog"]) == []
