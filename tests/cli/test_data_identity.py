"""A run knows its data: changes are refused, and moved data and folders are found again."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from vri_pyro.data import Split
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.runs.run import Run

from .conftest import Command

DATA = ("--data", "NpzFile", "--data.path", "data.npz")
FIT = ("fit", "--config", "tiny.yaml", "--quiet", "true")


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    y = np.arange(260) % 3
    x = (generator.normal(size=(260, 4)) + y[:, None]).astype(np.float32)
    trusted = {"clean_indices": np.arange(30), "validation_indices": np.arange(30, 45)}
    return {"x_train": x[:200], "y_train": y[:200], "x_test": x[200:], "y_test": y[200:], **trusted}


def write(path: Path, **changes: Any) -> None:
    np.savez(path, **arrays() | changes)


def changed(key: str, at: Any, to: Any) -> dict[str, np.ndarray]:
    values = arrays()[key].copy()
    values[at] = to
    return {key: values}


@pytest.fixture
def run(here: Path, vri_pyro: Command) -> Path:
    write(here / "data.npz")
    done = vri_pyro(*FIT, *DATA)
    assert done.status == 0, done.stderr
    return here / "run"


def commands(here: Path) -> dict[str, tuple[str, ...]]:
    (here / "corrections.csv").write_text("index,label\n50,1\n")
    return {
        "issues": ("issues", "run", "--device", "cpu"),
        "report": ("report", "run", "--device", "cpu"),
        "diagnose": ("diagnose", "run", "--examples", "5", "--draws", "100"),
        "relabel": ("relabel", "run", "--corrections", "corrections.csv", "--output", "new.npz"),
        "resume": ("fit", "--config", "run/config.yaml", "--resume", "true", "--quiet", "true"),
    }


@pytest.mark.parametrize("command", ["issues", "report", "diagnose", "relabel", "resume"])
def test_changed_data_are_refused_with_the_change(run: Path, here: Path, vri_pyro: Command, command: str) -> None:
    files = (path for path in here.rglob("*") if path.is_file() and path.name != "data.npz")
    before = {path: path.stat().st_mtime_ns for path in files}
    for changes, message in (
        (changed("y_train", 60, 1), "1 of 200 training labels differ (example 60)"),
        (changed("x_train", [7, 9], 0), "2 of 200 training inputs differ (example 7, example 9)"),
        ({"x_train": arrays()["x_train"] * 255}, "all 200 training inputs differ, as after rescaling"),
        ({"x_train": arrays()["x_train"][::-1]}, "the training inputs are in another order"),
        (changed("y_test", 1, 2), "1 of 60 test labels differ (example 1)"),
    ):
        write(here / "data.npz", **changes)
        done = vri_pyro(*commands(here)[command])
        assert done.status == 2, done.stdout
        assert message in done.stderr
        assert "restore the data, or train a new run with them" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    (here / "corrections.csv").unlink()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_same_data_in_a_rewritten_file_are_accepted(run: Path, here: Path, vri_pyro: Command) -> None:
    write(
        here / "data.npz", x_train=arrays()["x_train"].astype(np.float64), y_train=arrays()["y_train"].astype(np.int8)
    )
    os.utime(here / "data.npz", (0, 0))
    for command in commands(here).values():
        done = vri_pyro(*command)
        assert done.status == 0, done.stderr


def test_unfinished_run_is_not_resumed_with_other_data(here: Path, vri_pyro: Command, stopped: Path) -> None:
    write(here / "data.npz", **changed("x_train", 3, 1))
    done = vri_pyro("fit", "--config", "run/config.yaml", "--resume", "true")
    assert (done.status, "1 of 200 training inputs differ (example 3)" in done.stderr) == (2, True)


@pytest.fixture
def stopped(here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two epochs that stopped after the first."""
    from vri_pyro.training.trainer import Trainer

    write(here / "data.npz")
    assert vri_pyro(*FIT, *DATA, "--epochs", "2", "--output", "whole").status == 0
    save, saved = Trainer.state_dict, []

    def interrupted(self: Trainer) -> dict[str, Any]:
        state = save(self)
        saved.append(state)
        if len(saved) > 1:
            raise KeyboardInterrupt
        return state

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "state_dict", interrupted)
        assert vri_pyro(*FIT, *DATA, "--epochs", "2").status == 130
    assert (here / "run" / "checkpoints" / "last.pt").exists()
    return here / "run"


def test_resumes_with_moved_data_in_a_moved_folder_from_another_working_directory(
    stopped: Path, here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "elsewhere").mkdir()
    (here / "data.npz").rename(here / "elsewhere" / "moved.npz")
    shutil.move(stopped, here / "elsewhere" / "renamed")
    monkeypatch.chdir(here / "elsewhere")
    done = vri_pyro("fit", "--config", "renamed/config.yaml", "--resume", "true")
    assert "if the data have moved, say where with --data.path" in done.stderr
    resume = ("fit", "--config", "renamed/config.yaml", "--resume", "true", "--data.path", "moved.npz")
    done = vri_pyro(*resume)
    assert done.status == 0, done.stderr
    assert not (here / "run").exists()
    whole = (here / "whole" / "metrics.csv").read_text()
    assert (here / "elsewhere" / "renamed" / "metrics.csv").read_text() == whole
    assert vri_pyro("issues", "renamed", "--device", "cpu").status == 0  # config.yaml has the new place
    config = yaml.safe_load(Path("renamed/config.yaml").read_text())
    assert config["data"]["init_args"]["path"] == str(here / "elsewhere" / "moved.npz")
    assert config["output"] == str(here / "elsewhere" / "renamed")


def test_other_options_are_still_refused_on_resume(stopped: Path, here: Path, vri_pyro: Command) -> None:
    for option, value in (("--seed", "5"), ("--data.verified", "true"), ("--split.noisy_size", "50")):
        done = vri_pyro("fit", "--config", "run/config.yaml", "--resume", "true", option, value)
        assert done.status == 2
        assert "has a different configuration" in done.stderr


@pytest.mark.parametrize("command", ["issues", "report", "diagnose", "relabel"])
def test_moved_data_are_found_with_their_new_place(run: Path, here: Path, vri_pyro: Command, command: str) -> None:
    (here / "data.npz").rename(here / "moved.npz")
    words = commands(here)[command]
    done = vri_pyro(*words)
    assert done.status == 2
    assert "if the data have moved, say where with --data.path" in done.stderr
    done = vri_pyro(*words, "--data.path", "moved.npz")
    assert done.status == 0, done.stderr
    if command == "relabel":
        assert done.stdout.rstrip().endswith("--data.path moved.npz")
    (here / "new.npz").unlink(missing_ok=True)
    done = vri_pyro(*words, "--data.image_root", "moved.npz")
    assert "the data of the run are NpzFile, whose place has no option image_root; expected one of path" in done.stderr


def test_run_made_with_relative_paths_opens_in_another_working_directory(
    run: Path, here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["init_args"]["path"] == str(here / "data.npz")
    done = vri_pyro(*FIT, *DATA, "--split.file", "run/split.npz", "--output", "again")
    assert done.status == 0, done.stderr
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    for folder in ("run", "again"):
        done = vri_pyro("issues", f"../{folder}", "--device", "cpu")
        assert done.status == 0, done.stderr
        done = vri_pyro("fit", "--config", f"../{folder}/config.yaml", "--resume", "true", "--quiet", "true")
        assert done.status == 0, done.stderr
    assert list(Path().iterdir()) == []


def test_run_in_a_moved_folder_opens_as_before(run: Path, here: Path, vri_pyro: Command) -> None:
    run.rename(here / "renamed")
    assert vri_pyro("issues", "renamed", "--device", "cpu").status == 0
    assert (here / "renamed" / "label_issues.csv").exists()
    done = vri_pyro("fit", "--config", "renamed/config.yaml", "--resume", "true", "--output", "new", "--quiet", "true")
    assert done.status == 0, done.stderr  # another output is a new run
    assert (here / "new" / "summary.json").exists()


def test_split_file_with_labels_corrected_since_is_refused(run: Path, here: Path, vri_pyro: Command) -> None:
    write(here / "data.npz", **changed("y_train", [60, 61], 2))
    done = vri_pyro(*FIT, *DATA, "--split.file", "run/split.npz", "--output", "again")
    assert done.status == 2
    assert "2 labels of the data have changed since the split was drawn (example 60, example 61)" in done.stderr
    assert not (here / "again").exists()


def test_split_file_serves_other_features_of_the_same_examples(run: Path, here: Path, vri_pyro: Command) -> None:
    write(here / "data.npz", x_train=arrays()["x_train"] ** 2)
    assert vri_pyro(*FIT, *DATA, "--split.file", "run/split.npz", "--output", "again").status == 0


def test_run_of_an_older_version_opens_without_a_fingerprint(run: Path, here: Path, vri_pyro: Command) -> None:
    (run / "fingerprint.npz").unlink()
    Run(run)
    done = vri_pyro("fit", "--config", "run/config.yaml", "--resume", "true", "--quiet", "false")
    assert done.status == 0, done.stderr
    assert "has no fingerprint of its data" in done.stdout


def test_damaged_fingerprint_is_named(run: Path, vri_pyro: Command) -> None:
    (run / "fingerprint.npz").write_bytes(b"PK damaged")
    done = vri_pyro("issues", "run", "--device", "cpu")
    assert (done.status, "fingerprint.npz is truncated or damaged" in done.stderr) == (2, True)


LEAKED = {"x_test": arrays()["x_train"][45:100], "y_test": arrays()["y_train"][45:100]}


@pytest.mark.parametrize("command", [("data",), ("fit", "--quiet", "true")])
def test_test_set_taken_from_training_is_an_error_unless_it_is_meant(
    here: Path, vri_pyro: Command, command: tuple[str, ...]
) -> None:
    write(here / "data.npz", **LEAKED)
    words = (*command, "--config", "tiny.yaml", *DATA)
    done = vri_pyro(*words)
    assert done.status == 2
    assert "the test set is a part of the training set: 55 of 55 test examples are also in the" in done.stderr
    assert not (here / "run").exists()
    assert vri_pyro(*words, "--duplicates", "ignore").status == 0


def test_duplicates_are_told_refused_or_removed(here: Path, vri_pyro: Command) -> None:
    write(here / "data.npz", **changed("x_test", [4, 5], arrays()["x_train"][[99, 4]]))
    told = (
        "identical inputs in several parts of the data: 1 of 60 test examples are also in the clean set (test example "
        "5 is training example 4); 1 of 60 test examples are also in the noisy set (test example 4 is training example "
        "99); take them out of training with --duplicates remove"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = vri_pyro("data", "--config", "tiny.yaml", *DATA)
    assert done.status == 0
    assert f"warning: {told}" in done.stderr
    done = vri_pyro(*FIT, *DATA, "--duplicates", "refuse")
    assert done.status == 2
    assert "also in the noisy set (test example 4 is training example 99)" in done.stderr
    done = vri_pyro("fit", "--config", "tiny.yaml", *DATA, "--duplicates", "remove")
    assert done.status == 0, done.stderr
    assert "removed from training, as duplicates of other parts: 1 noisy, 1 clean examples" in done.stdout
    split = Split.load(here / "run" / "split.npz")
    assert (99 in split.noisy_indices, 4 in split.clean_indices) == (False, False)
    assert len(split.noisy_indices) + len(split.clean_indices) == 200 - 15 - 2
    assert vri_pyro("issues", "run", "--device", "cpu").status == 0  # the run fits its data


def test_contradictory_labels_are_told_and_kept(here: Path, vri_pyro: Command) -> None:
    write(here / "data.npz", **changed("x_train", 101, arrays()["x_train"][100]))
    done = vri_pyro("fit", "--config", "tiny.yaml", *DATA)
    assert done.status == 0, done.stderr
    assert "2 noisy examples are identical to another one with a different label (training example 100" in done.stdout
    assert len(Split.load(here / "run" / "split.npz").noisy_indices) == 155


def test_tables_with_few_distinct_rows_train_without_a_warning(here: Path, vri_pyro: Command) -> None:
    x, y = np.random.default_rng(0).integers(0, 2, (260, 4)).astype(np.float32), np.arange(260) % 3
    write(here / "data.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    done = vri_pyro("fit", "--config", "tiny.yaml", *DATA)
    assert (done.status, done.stderr) == (0, "")
    assert "60 of 60 test examples are also in the noisy set" in done.stdout
    assert "so many are expected, since 100.0% of the training examples have an identical twin" in done.stdout


def test_fingerprint_of_a_run_is_that_of_its_data(run: Path) -> None:
    saved = Fingerprint.load(run / "fingerprint.npz")
    assert saved.train.labels.tolist() == arrays()["y_train"].tolist()
    assert (saved.shape, saved.dtype, saved.classes) == ((4,), "float32", ("0", "1", "2"))
