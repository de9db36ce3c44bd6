"""Tests of the page of the bench with nothing tuned."""

from __future__ import annotations

import untuned


def test_semi_supervised_methods_have_a_table_of_their_own() -> None:
    found = {
        "default": {"a": 80.0, "b": 90.0},
        "SOP, network chosen": {"a": 95.0},
        "DivideMix, network chosen": {"a": 82.0, "b": 84.0},
    }
    page = "\n".join(untuned.semi_supervised(found, {"a": "images", "b": "tables"}))
    assert "| DivideMix, network chosen | 2 | 83.0 | 1 | -2.0 |  | +6.0 |" in page
    assert "SOP" not in page
    assert untuned.semi_supervised({"default": {"a": 80.0}}, {"a": "images"}) == []
    assert "| 1 | 82.0 | 0 |" in "\n".join(
        untuned.semi_supervised({"DivideMix, network chosen": {"a": 82.0}}, {"a": "images"})
    )
