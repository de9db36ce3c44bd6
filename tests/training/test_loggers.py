"""Loggers: what they are called with, and the real packages, offline."""

from __future__ import annotations

import csv
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vri_pyro.runs.experiment import Experiment
from vri_pyro.training.evaluation import evaluate
from vri_pyro.training.loggers import Logger, MLflowLogger, Row, Rows, TensorBoardLogger, WandbLogger
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.interruption import Interrupted


class Recording(Logger):
    """Remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def start(self, folder: RunFolder, rows: Rows) -> None:
        self.calls.append(("start", len(rows)))
        self.config = folder.read_config()

    def log(self, row: Row) -> None:
        self.calls.append(("log", row["epoch"]))

    def close(self) -> None:
        self.calls.append(("close", None))


class Refusing(Recording):
    """Cannot start."""

    def start(self, folder: RunFolder, rows: Rows) -> None:
        raise UserError("no server")


def test_logger_is_started_called_after_each_epoch_and_closed(run: Callable[..., Any]) -> None:
    logger = Recording()
    run(epochs=2, loggers=[logger])
    assert logger.calls == [("start", 0), ("log", 0), ("log", 1), ("close", None)]
    assert logger.config == {"epochs": 3}


def test_logger_is_told_the_rows_of_a_run_that_resumes(
    run: Callable[..., Any], experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, save = Recording(), Recording(), Trainer.save

    def interrupted(self: Trainer) -> None:
        save(self)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", interrupted)
        with pytest.raises(Interrupted):
            run(epochs=3, loggers=[first])
    run(epochs=3, loggers=[second], resume=True)
    assert first.calls == [("start", 0), ("log", 0), ("close", None)]
    assert second.calls == [("start", 1), ("log", 1), ("log", 2), ("close", None)]


def test_loggers_that_started_are_closed_when_another_cannot_start(run: Callable[..., Any], folder: Path) -> None:
    logger = Recording()
    with pytest.raises(UserError, match="no server"):
        run(loggers=[logger, Refusing()])
    assert logger.calls == [("start", 0), ("close", None)]


def test_loggers_change_no_number_and_metrics_are_always_written(run: Callable[..., Any], folder: Path) -> None:
    results = run(epochs=2)["results"]
    written = (folder / "metrics.csv").read_text()
    folder.rename(folder.with_name("without"))
    assert run(epochs=2, loggers=[Recording(), TensorBoardLogger()])["results"] == results
    assert (folder / "metrics.csv").read_text() == written


def test_logger_may_watch_the_networks_at_the_end_of_every_epoch(run: Callable[..., Any]) -> None:
    class Watching(Recording):
        def watch(self, trainer: Trainer) -> None:
            self.trainer = trainer
            self.calls.append(("watch", trainer.state.epoch))

        def log(self, row: Row) -> None:
            data = self.trainer.data
            found = evaluate(self.trainer.ema.network, data.train, data.validation)["accuracy"]
            self.calls.append((self.trainer.state.epoch, found == row["validation_accuracy"]))

    logger = Watching()
    run(epochs=2, loggers=[logger])
    assert logger.calls == [("watch", 0), ("start", 0), (1, True), (2, True), ("close", None)]


def test_tensorboard_files_do_not_name_the_machine(run: Callable[..., Any], folder: Path) -> None:
    own, own_name = socket.gethostname, socket.gethostname()
    run(epochs=1, loggers=[TensorBoardLogger()])
    (file,) = (folder / "tensorboard").iterdir()
    assert ".localhost." in file.name
    assert own_name not in file.name
    assert own_name.encode() not in file.read_bytes()
    assert socket.gethostname is own


def test_tensorboard_has_the_numbers_of_the_metrics(run: Callable[..., Any], folder: Path) -> None:
    run(epochs=2, loggers=[TensorBoardLogger()])
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    with (folder / "metrics.csv").open() as file:
        expected = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    assert [event.value for event in events.Scalars("test_accuracy")] == pytest.approx(expected)
    assert [event.step for event in events.Scalars("loss")] == [0, 1]


@pytest.mark.filterwarnings("ignore")  # of the packages' own
def test_mlflow_has_the_metrics_and_the_configuration_and_a_resumed_run_is_the_same_one(
    run: Callable[..., Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri, save = (tmp_path / "mlruns").as_uri(), Trainer.save

    def interrupted(self: Trainer) -> None:
        save(self)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", interrupted)
        with pytest.raises(Interrupted):
            run(epochs=2, loggers=[MLflowLogger(tracking_uri=uri)])
    run(epochs=2, loggers=[MLflowLogger(tracking_uri=uri)], resume=True)
    client = mlflow.MlflowClient(uri)
    identifier = (folder / "mlflow_id.txt").read_text()
    logged = client.get_metric_history(identifier, "test_accuracy")
    with (folder / "metrics.csv").open() as file:
        expected = [float(row["test_accuracy"]) for row in csv.DictReader(file)]
    assert [(metric.step, metric.value) for metric in logged] == list(enumerate(expected))
    found = client.get_run(identifier)
    assert found.data.params == {"epochs": "3"}
    assert found.info.run_name == folder.name
    assert found.info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_wandb_stores_a_run_offline(
    run: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    run(epochs=2, loggers=[WandbLogger(mode="offline")])
    identifier = (folder / "wandb_id.txt").read_text()
    (stored,) = (folder / "wandb").glob(f"offline-run-*-{identifier}")
    assert list(stored.glob("*.wandb"))


@pytest.mark.parametrize("logger", [MLflowLogger(), WandbLogger()])
def test_missing_package_is_named_with_the_command_that_installs_it(
    logger: Logger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = type(logger).__name__.removesuffix("Logger").lower()
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(UserError, match=rf"needs {name}: pip install 'vri-pyro\[{name}\]'"):
        logger.start(RunFolder(folder), [])
