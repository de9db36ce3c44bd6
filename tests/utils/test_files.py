"""Folders are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import new_folder


def interrupted(path: Path) -> None:
    with new_folder(path) as folder:
        (folder / "file").write_text("content")
        raise KeyboardInterrupt


def test_a_folder_appears_on_success_only(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "file").write_text("content")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "file").read_text() == "content"
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_empty_folder_is_filled_and_any_other_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "file").write_text("content")
    with pytest.raises(UserError, match="empty is not empty; choose another folder"), new_folder(tmp_path / "empty"):
        pass
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["file"]


def test_places_that_cannot_be_folders_raise(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with pytest.raises(UserError, match="file: it is not a folder; use another path"), new_folder(tmp_path / "file"):
        pass
    with pytest.raises(UserError, match="cannot write"), new_folder(tmp_path / "file" / "inside"):
        pass
