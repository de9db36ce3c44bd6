"""Checkpoints contain plain data, survive failed writes, and raise precise errors when they cannot be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from vri_pyro.runs.configuration import FineTuning
from vri_pyro.runs.experiment import Experiment
from vri_pyro.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

from .spies import cross_entropy, sgd

CONFIG = "epochs: 60\nmethod:\n  class_path: Bilevel\n  init_args:\n    guide:\n      class_path: Flow\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.arange(1000.0), "epoch": 3}, CONFIG)
    return path


def test_loaded_state_equals_the_saved_state(path: Path) -> None:
    state = load_checkpoint(path, CONFIG)
    assert torch.equal(state["weights"], torch.arange(1000.0))
    assert state["epoch"] == 3


def _kinds(value: Any) -> set[type]:
    """Return the types in a nested value."""
    inside: Iterable[Any] = ()
    if isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple):
        inside = value
    return {type(value)}.union(*map(_kinds, inside))


def test_checkpoints_of_a_run_hold_tensors_and_plain_values_only(
    run: Callable[..., dict[str, Any]], folder: Path
) -> None:
    run(fine_tuning=FineTuning(cross_entropy("clean"), sgd(0.01), epochs=1))
    plain = {dict, OrderedDict, list, tuple, str, int, float, bool, type(None), torch.Tensor}
    for name in ("last.pt", "best.pt"):
        assert _kinds(torch.load(folder / "checkpoints" / name, weights_only=True)) <= plain


def test_missing_checkpoint_raises_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"checkpoint .*last\.pt does not exist; train with vri-pyro fit, without --resume"
    ):
        load_checkpoint(tmp_path / "last.pt")


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_truncated_checkpoint_raises_as_damaged(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    with pytest.raises(UserError, match=r"last\.pt is damaged or not a checkpoint; delete it and restart the run"):
        load_checkpoint(path)


def test_any_flipped_bit_of_the_weights_raises_as_damaged(path: Path) -> None:
    content = path.read_bytes()
    start = content.index(torch.arange(1000.0).numpy().tobytes())
    for place in range(start, start + 4000, 250):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(UserError, match=r"last\.pt is damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize("name", ["config", "state"])
def test_checkpoint_without_a_part_raises_by_name(path: Path, name: str) -> None:
    saved = torch.load(path, weights_only=True)
    del saved[name]
    torch.save(saved, path)
    with pytest.raises(UserError, match=rf"last\.pt has no {name}; delete it and restart the run"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"\x80\x02garbage", b"PK\x03\x04garbage", b"plain text\n", bytes(4096)])
def test_garbage_raises_as_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged or not a checkpoint"):
        load_checkpoint(path)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_code_in_a_checkpoint_is_not_executed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": FORMAT, "config": CONFIG, "state": _Code()}, path)
    with pytest.raises(UserError, match="is damaged or not a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "found"), [({"format": 99, "config": "", "state": {}}, "99"), ({"a": 1}, "None"), ([1], "None")]
)
def test_other_format_raises_with_both_numbers(path: Path, content: Any, found: str) -> None:
    torch.save(content, path)
    with pytest.raises(
        UserError, match=f"has format {found} but this version of vri_pyro reads format {FORMAT}; use the version"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("config", "difference"),
    [
        (CONFIG.replace("60", "61"), "epochs was 60, now it is 61"),
        (CONFIG.replace("Flow", "Dirac"), r"method\.guide was Flow, now it is Dirac"),
        (CONFIG + "seed: 1\n", "seed was not set, now it is 1"),
        (CONFIG.replace("epochs: 60\n", ""), "epochs was 60, now it is not set"),
    ],
)
def test_other_configuration_raises_with_the_option_that_differs(path: Path, config: str, difference: str) -> None:
    with pytest.raises(UserError, match=difference):
        load_checkpoint(path, config)


def test_resuming_with_another_configuration_changes_nothing(run: Callable[..., Any], folder: Path) -> None:
    run(identity="seed: 0")
    before = (folder / "checkpoints" / "last.pt").read_bytes()
    with pytest.raises(UserError, match="seed was 0, now it is 1"):
        run(identity="seed: 1", resume=True, seed=1)
    assert (folder / "checkpoints" / "last.pt").read_bytes() == before


def test_existing_run_is_not_overwritten(run: Callable[..., Any]) -> None:
    run()
    with pytest.raises(UserError, match="already contains a run; add --resume true to continue it"):
        run()


def test_unwritable_run_folder_raises_by_name(experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "run"
    with pytest.raises(UserError, match=f"cannot write {blocked}: Not a directory .*use another path"):
        experiment(output=blocked).run("", "seed: 0")


def test_writing_leaves_no_partial_file_behind(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# The file-size limit applies only to the subprocess.
_SAVE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from vri_pyro.training.checkpoint import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"epoch": 1}, "")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_checkpoint(path, {"epoch": 2, "weights": torch.zeros(10_000)}, "")
except ValueError as error:
    print(error)
"""


def test_full_disk_keeps_the_previous_checkpoint_and_no_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    done = subprocess.run(
        [sys.executable, "-c", _SAVE_ON_A_FULL_DISK, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {path}: File too large (the previous file is intact); free disk space")
    assert done.stdout.count("\n") == 1
    assert load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


_KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from vri_pyro.training.checkpoint import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"epoch": 1}, "")
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
save_checkpoint(path, {"epoch": 2}, "")
"""


def test_kill_before_the_rename_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    done = subprocess.run([sys.executable, "-c", _KILLED_WHILE_SAVING, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(path) == {"epoch": 1}
    save_checkpoint(path, {"epoch": 3}, "")
    assert load_checkpoint(path) == {"epoch": 3}
