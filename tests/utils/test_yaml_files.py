"""Hostile YAML files are refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &a ["
            + "x, " * 9
            + "x]\n"
            + "".join(
                f"{chr(98 + n)}: &{chr(98 + n)} [" + f"*{chr(97 + n)}, " * 9 + f"*{chr(97 + n)}]\n" for n in range(9)
            ),
            "more than 100,000 values",
        ),
        ("a: &a {b: *a}\n", "more than 100,000 values"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [true]\n", "line 1: could not determine a constructor"),
    ],
    ids=["repeated", "recursive", "deep", "object"],
)
def test_hostile_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_yaml(tmp_path / "config.yaml")
