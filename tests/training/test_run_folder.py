"""The files in the run folder."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import vri_pyro
from vri_pyro.data import Digits, Split
from vri_pyro.runs.configuration import FineTuning, SplitSizes
from vri_pyro.training.checkpoint import load_checkpoint, save_checkpoint
from vri_pyro.training.loggers import TensorBoardLogger
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.locks import locked

from .spies import cross_entropy, sgd

Run = Callable[..., dict[str, Any]]


def _metrics(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_have_a_row_an_epoch_with_losses_rates_and_accuracies(run: Run, folder: Path) -> None:
    run(epochs=3)
    rows = _metrics(folder)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {row["stage"] for row in rows} == {"training"}
    accuracies = {"validation_accuracy", "validation_nll", "test_accuracy", "test_nll"}
    assert {"loss", "kl", "gradient_norm", "learning_rate", "skipped"} | accuracies <= set(rows[0])
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_columns_of_a_later_stage_are_empty_before_it(folder: Path) -> None:
    folder.mkdir()
    RunFolder(folder).write_metrics([{"epoch": 0, "meta_loss": 0.5}, {"epoch": 1, "loss": 0.25}])
    assert _metrics(folder) == [
        {"epoch": "0", "meta_loss": "0.5", "loss": ""},
        {"epoch": "1", "meta_loss": "", "loss": "0.25"},
    ]


def test_run_without_validation_set_has_no_validation_columns_and_chooses_no_epoch(run: Run, folder: Path) -> None:
    summary = run(split=SplitSizes(clean_per_class=2, validation_per_class=0, noisy_size=200))
    assert not any(name.startswith("validation") for name in _metrics(folder)[0])
    assert summary["results"]["chosen"] is None
    assert not (folder / "checkpoints" / "best.pt").exists()


def test_summary_agrees_with_the_metrics_and_has_the_provenance(run: Run, folder: Path) -> None:
    returned = run()
    summary = RunFolder(folder).read_summary()
    assert summary == returned
    accuracies = [float(row["test_accuracy"]) for row in _metrics(folder)]
    assert summary["results"]["last"] == accuracies[-1]
    assert summary["results"]["last_10"] == pytest.approx(sum(accuracies) / len(accuracies))
    assert summary["split"]["noisy"] == 200
    assert summary["split"]["clean"] == 20
    assert summary["noise"] == "Flip(rate=0.4)"
    assert summary["made_by"]["vri_pyro"] == vri_pyro.__version__
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?", summary["made_by"].get("commit", "0000000"))


def test_saved_split_is_the_reported_one(run: Run, folder: Path) -> None:
    summary = run()
    split = Split.load(folder / "split.npz")
    split.check_fits(Digits().load())
    assert summary["split"]["realised_rate"] == split.realised_rate > 0


def test_tensorboard_has_every_epoch(run: Run, folder: Path) -> None:
    run(fine_tuning=FineTuning(cross_entropy("clean"), sgd(0.01), epochs=2), loggers=[TensorBoardLogger()])
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    logged = events.Scalars("test_accuracy")
    assert [event.step for event in logged] == [0, 1, 2, 3, 4]
    assert [event.value for event in logged] == pytest.approx([float(r["test_accuracy"]) for r in _metrics(folder)])


def test_config_is_written_as_given(run: Run, folder: Path) -> None:
    run()
    assert (folder / "config.yaml").read_text() == "epochs: 3\n"


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("inputs.json", "{", RunFolder.read_inputs),
        ("inputs.json", "[]", RunFolder.read_inputs),
        ("summary.json", "\x00", RunFolder.read_summary),
        ("metrics.csv", "epoch,loss\n0,x\n", RunFolder.read_metrics),
        ("metrics.csv", "epoch,loss\n0,1,2\n", RunFolder.read_metrics),
    ],
)
def test_damaged_files_raise_by_name(tmp_path: Path, name: str, content: str, read: Callable[[RunFolder], Any]) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"{name} is damaged .*copy the whole run folder, or train again"):
        read(RunFolder(tmp_path))


def test_changed_digit_in_a_json_file_raises_as_damaged(run: Run, folder: Path) -> None:
    run()
    for name, read in (("inputs.json", RunFolder.read_inputs), ("summary.json", RunFolder.read_summary)):
        text = (folder / name).read_text()
        for digit, place in [(found[0], found.start()) for found in re.finditer(r"\d", text)][::20]:
            (folder / name).write_text(text[:place] + str((int(digit) + 1) % 10) + text[place + 1 :])
            with pytest.raises(UserError, match=f"{name} is damaged"):
                read(RunFolder(folder))
        (folder / name).write_text(text)
        assert read(RunFolder(folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", None),
        ("mean", [0.1, 0.2]),
        ("std", ["0.1"]),
        ("classes", []),
        ("classes", [1]),
        ("shape", [8, 8]),
        ("shape", ["8"]),
        ("dtype", "uint9"),
    ],
)
def test_wrong_value_in_inputs_raises_by_file_and_key(run: Run, folder: Path, key: str, value: Any) -> None:
    run(epochs=1)
    inputs = RunFolder(folder).read_inputs() | {key: value}
    (folder / "inputs.json").write_text(json.dumps(inputs))
    with pytest.raises(UserError, match=rf"inputs\.json is damaged \(.*{key}"):
        RunFolder(folder).read_inputs()


@pytest.mark.parametrize("part", ["results", "split"])
def test_summary_without_a_part_raises_by_name(run: Run, folder: Path, part: str) -> None:
    run(epochs=1)
    summary = RunFolder(folder).read_summary()
    for value, message in (({}, "is not a number"), (None, f"no valid {part}")):
        (folder / "summary.json").write_text(json.dumps(summary | {part: value}))
        with pytest.raises(UserError, match=rf"summary\.json is damaged \(.*{message}"):
            RunFolder(folder).read_summary()


@pytest.mark.parametrize("damage", [lambda s: s | {"progress": 3}, lambda s: {}, lambda s: s | {"stages": [{}]}])
def test_checkpoint_of_another_run_raises_by_name(run: Run, folder: Path, damage: Callable[[Any], Any]) -> None:
    run()
    last = folder / "checkpoints" / "last.pt"
    save_checkpoint(last, damage(load_checkpoint(last)), "seed: 0")
    with pytest.raises(UserError, match=r"last\.pt does not fit the other files of the run, such as config\.yaml"):
        run(resume=True)


def test_run_in_use_is_refused(run: Run, folder: Path) -> None:
    with locked(folder), pytest.raises(UserError, match=f"{folder} is in use by process"):
        run()
    run()


def test_deleted_folder_stops_the_run_and_does_not_reappear(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def deleting(self: Trainer, *arguments: Any) -> None:
        step(self, *arguments)
        shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr(Trainer, "_step", deleting)
    with pytest.raises(UserError, match=f"{folder} was deleted or moved while the run was training"):
        run()
    assert not folder.exists()


def test_writing_does_not_replace_a_path_that_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: it is not a regular file; use another path"):
        write_atomically(tmp_path / "pipe", b"text")
    assert (tmp_path / "pipe").is_fifo()


def test_writing_to_a_link_keeps_the_link_and_writes_its_target(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    for content in (b"first", b"second"):
        write_atomically(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "file").read_bytes() == content


def test_results_without_their_checkpoint_are_not_overwritten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_text("epoch,stage,loss\n0,training,1.0\n1,training,0.9\n")
    for resume in (False, True):
        with pytest.raises(UserError, match=r"has the results of a run, but not its checkpoint last\.pt; restore"):
            folder.check(resume)
    folder.metrics.write_text("epoch,stage,loss\n0,training,1.0\n")  # killed before its first checkpoint
    folder.check(resume=True)
