"""One process at a time writes to a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.locks import locked

_HOLDER = """
import sys, time
from pathlib import Path
from vri_pyro.utils.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_process_is_refused_until_the_first_one_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, tmp_path], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        message = f"{tmp_path} is in use by process {holder.pid} on .*; wait for that process or stop it"
        with pytest.raises(UserError, match=message), locked(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_second_run_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass


def test_new_folders_are_removed_if_nothing_was_written(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "a"):
        assert (tmp_path / "runs" / "a").is_dir()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "file").touch()
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["file"]


def test_file_system_without_locks_gives_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.warns(UserWarning, match="cannot be locked .*make sure that no other process writes"), locked(tmp_path):
        pass


def test_folder_that_cannot_be_written_to_has_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with locked(tmp_path):
        pass
