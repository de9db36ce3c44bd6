"""Unusable YAML files are refused with the file, the line and the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.yaml_files import read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def _refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: 1\nseed: 2\nepochs: 3\n", "FILE, line 3: epochs is set twice in the same place; remove one of them."),
        ("split: {clean_size: 1, clean_size: 2}", "FILE, line 1: clean_size is set twice"),
        (BOMB, "FILE, line 5: aliases expand to more than 100000 values"),
        ("method: &m {class_path: *m}", "FILE, line 1: an alias stands for a value that contains it"),
        ("a: " + "[" * 3000 + "]" * 3000, "FILE has values that are nested too deeply"),
        ("epochs: " + "9" * 5000, f"FILE, line 1: the value {'9' * 30} cannot be read"),
        ("day: 2024-13-45", "FILE, line 1: the value 2024-13-45 cannot be read"),
        ("output: ''", "FILE, line 1: output is empty; set it to a path."),
        ("data: {init_args: {path: ''}}", "FILE, line 1: path is empty; set it to a path."),
        ("split:\n\tfile: a", "FILE, line 2: the line is indented with a tab; use spaces."),
        ("a: !!python/object/apply:os.system [ls]", "FILE, line 1: could not determine a constructor"),
        ("epochs: 1\n---\nepochs: 2", "FILE, line 2: but found another document"),
    ],
)
def test_text_that_is_no_configuration(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "given.yaml").write_text(content)
    assert _refusal(tmp_path / "given.yaml").startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: 1".encode("utf-16"), "FILE is UTF-16 text; save the file as UTF-8."),
        ("# ü\nepochs: 1".encode("latin-1"), "FILE, line 1: not UTF-8 text; save the file as UTF-8."),
        (bytes(50), "FILE is not valid YAML (unacceptable character #x0000"),
    ],
)
def test_bytes_that_are_no_utf_8_text(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "given.yaml").write_bytes(content)
    assert _refusal(tmp_path / "given.yaml").startswith(message)


def test_a_pipe_a_device_and_a_long_name_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert _refusal(tmp_path / "pipe") == "FILE is not a regular file; save the options in a file."
    assert _refusal(Path("/dev/zero")) == "FILE is not a regular file; save the options in a file."
    message = _refusal(tmp_path / ("x" * 300))
    assert "File name too long" in message
    assert len(message) < 250


def test_aliases_merges_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = "one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\nthree: *one\n"
    (tmp_path / "given.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    one = {"a": 1, "b": 2}
    assert read_yaml(tmp_path / "given.yaml") == {"one": one, "two": {"a": 1, "b": 3}, "three": one}
