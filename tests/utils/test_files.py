"""Files and folders are written whole or not at all, and durably."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vri_pyro.utils import files
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_new, check_replaceable, new_folder, replacing, write_atomically


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


def test_the_file_is_flushed_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, flush, rename = [], os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix or "folder")
        flush(descriptor)

    def renamed(*paths: Any) -> None:
        done.append("rename")
        rename(*paths)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomically(tmp_path / "file", b"text")
    assert done == [".partial", "rename", "folder"]


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as first, replacing(tmp_path / "file") as second:
        first.write_text("first")
        second.write_text("second, longer")
    assert (tmp_path / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_temporary_files_of_killed_processes_are_removed_and_others_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".file.{dead.pid}-01234567.partial").touch()
    (tmp_path / f".folder.{dead.pid}-01234567.partial").mkdir()
    (tmp_path / f".folder.{dead.pid}-01234567.partial" / "inside").touch()
    kept = [f".file.{os.getppid()}-01234567.partial", ".of_the_user.partial", "file"]
    for name in kept[:2]:
        (tmp_path / name).touch()
    files._remove_abandoned.cache_clear()
    write_atomically(tmp_path / "file", b"text")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_only_own_files_and_empty_ones_may_be_replaced(tmp_path: Path) -> None:
    def is_own(path: Path) -> bool:
        return path.read_text() == "own"

    path = tmp_path / "file"
    check_replaceable(path, is_own, "an own file")
    check_new(path)
    for content in (b"", b"own"):
        path.write_bytes(content)
        check_replaceable(path, is_own, "an own file")
        with pytest.raises(
            UserError, match="file already exists, and may have answers; choose another --output, or move"
        ):
            check_new(path, ", and may have answers")
    for content in (b"other", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="file already exists and is not an own file; choose another --picture, or"):
            check_replaceable(path, is_own, "an own file", "--picture")
    with pytest.raises(UserError, match="it is a folder"):
        check_replaceable(tmp_path, is_own, "an own file")
