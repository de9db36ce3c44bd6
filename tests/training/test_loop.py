"""The training loop: batches, learning rates, stages, interruption, resuming and errors."""

from __future__ import annotations

import csv
import math
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vri_pyro.backbones import MLP
from vri_pyro.data import Arrays, Digits, Source, Split, mean_and_std
from vri_pyro.data.batch import Batch
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.infer.schedules import Cosine
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.methods.base import Pool
from vri_pyro.runs.configuration import FineTuning, SplitSizes
from vri_pyro.runs.experiment import Experiment
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.interruption import Interrupted

from .spies import Spy, Spying, cross_entropy, sgd

Run = Callable[..., dict[str, Any]]


class _Overflowing(MLP):
    """Classifier whose logits are never finite."""

    def forward(self, x: Tensor) -> ClassifierOutput:
        output = super().forward(x)
        return output._replace(logits=output.logits * math.inf)


@pytest.mark.parametrize("pool", ["noisy", "clean", "noisy_and_clean"])
def test_every_pool_gets_the_same_number_of_steps(run: Run, pool: Pool) -> None:
    method = Spying(pool)
    run(method=method, epochs=3)
    assert len(method.spy.seen) == 3 * (200 // 50)


@dataclass(frozen=True)
class Numbered(Source):
    """Data set whose only feature is the position of the example."""

    def load(self) -> Arrays:
        return Arrays(
            x_train=np.arange(90, dtype=np.float32)[:, None],
            y_train=np.arange(90) % 3,
            x_test=np.arange(90, 99, dtype=np.float32)[:, None],
            y_test=np.arange(9) % 3,
            classes=("a", "b", "c"),
        )

    def pairs(self, batches: Iterable[Batch]) -> set[tuple[int, int]]:
        """Return the (position, label) pairs in standardised batches."""
        mean, std = mean_and_std(self.load().x_train)
        return {
            (round(x * float(std[0]) + float(mean[0])), y)
            for batch in batches
            for x, y in zip(batch.x[:, 0].tolist(), batch.y.tolist(), strict=True)
        }


@pytest.mark.parametrize("pool", ["noisy", "clean", "noisy_and_clean"])
def test_batches_have_the_examples_and_the_labels_of_their_pools(run: Run, folder: Path, pool: Pool) -> None:
    method, data = Spying(pool), Numbered()
    run(method=method, data=data, split=SplitSizes(2, 2), batch_size=10, epochs=10)
    split = Split.load(folder / "split.npz")
    given = set(zip(split.noisy_indices.tolist(), split.given_labels.tolist(), strict=True))
    trusted = set(zip(split.clean_indices.tolist(), split.clean_labels.tolist(), strict=True))
    expected = {"noisy": given, "clean": trusted, "noisy_and_clean": given | trusted}[pool]
    assert data.pairs(step.noisy for step in method.spy.seen) == expected
    assert data.pairs(step.clean for step in method.spy.seen) == trusted


def test_clean_batch_is_the_whole_clean_set_when_that_is_smaller_than_a_batch(run: Run, folder: Path) -> None:
    method = Spying()
    run(method=method, clean_batch_size=100, epochs=1)
    split = Split.load(folder / "split.npz")
    for step in method.spy.seen:
        assert sorted(step.clean.y.tolist()) == sorted(split.clean_labels.tolist())


def test_steps_run_in_training_mode_also_after_an_evaluation(run: Run) -> None:
    method = Spying()
    run(method=method, epochs=2)
    assert all(step.training_mode for step in method.spy.seen)


def test_cosine_schedule_spans_each_stage_from_the_learning_rate_of_the_stage(run: Run) -> None:
    first, second = Spying(), Spying("clean")
    fine_tuning = FineTuning(second, sgd(0.003), epochs=1)
    run(method=first, epochs=2, optimizer=sgd(0.1), schedule=Cosine(), fine_tuning=fine_tuning)
    first_rates, second_rates = ([step.rates[0] for step in method.spy.seen] for method in (first, second))
    assert first_rates == pytest.approx([0.05 * (1 + math.cos(math.pi * i / 8)) for i in range(8)])
    assert second_rates == pytest.approx([0.0015 * (1 + math.cos(math.pi * i / 4)) for i in range(4)])


def test_fine_tuning_sees_the_clean_set_only_and_starts_from_the_trained_classifier(run: Run, folder: Path) -> None:
    second = Spying("clean")
    run(epochs=2, fine_tuning=FineTuning(second, sgd(0.003), epochs=1))
    assert all(len(step.noisy.y) == 20 for step in second.spy.seen)
    trained = load_checkpoint(folder / "checkpoints" / "last.pt")["stages"][0]["classifier"]
    assert all(torch.equal(trained[name], value) for name, value in second.spy.classifier.state_dict().items())
    with open(folder / "metrics.csv", newline="") as file:
        assert [row["stage"] for row in csv.DictReader(file)] == ["training", "training", "fine-tuning"]


def test_fine_tuning_fits_the_clean_set(run: Run, folder: Path) -> None:
    run(epochs=1, fine_tuning=FineTuning(cross_entropy("clean"), sgd(0.5), epochs=8))
    with open(folder / "metrics.csv", newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.2 < losses[0]


def test_epoch_metrics_are_means_over_its_steps(run: Run, folder: Path) -> None:
    run(method=Spying(), epochs=2)
    with open(folder / "metrics.csv", newline="") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [2.5, 6.5]


class SometimesInfinite(Spying):
    """Reports an infinite loss in every other step."""

    def build(self, *arguments: Any) -> Spy:
        spy = super().build(*arguments)
        original = spy.step

        def step(noisy: Batch, clean: Batch) -> dict[str, Tensor]:
            metrics = original(noisy, clean)
            return {name: value if value % 2 else value * math.inf for name, value in metrics.items()}

        spy.step = step  # type: ignore[method-assign]
        return spy


def test_skipped_steps_are_left_out_of_the_means(run: Run, folder: Path) -> None:
    run(method=SometimesInfinite(), epochs=1)
    with open(folder / "metrics.csv", newline="") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [2.0]  # mean of 1 and 3


class Signalled(Spying):
    """Sends a signal to the process in the third step."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number

    def build(self, *arguments: Any) -> Spy:
        spy = super().build(*arguments)
        original = spy.step

        def step(noisy: Batch, clean: Batch) -> dict[str, Tensor]:
            metrics = original(noisy, clean)
            if len(spy.seen) == 3:
                os.kill(os.getpid(), self.number)
            return metrics

        spy.step = step  # type: ignore[method-assign]
        return spy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_in_mid_epoch_and_restores_the_signal_handlers(
    run: Run, folder: Path, number: signal.Signals
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted):
        run(method=Signalled(number))
    progress = load_checkpoint(folder / "checkpoints" / "last.pt")["progress"]
    assert (progress["epoch"], progress["step"]) == (0, 3)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_interrupted_run_resumes_with_the_next_step(run: Run, tmp_path: Path) -> None:
    whole, rest = Spying(), Spying()
    with pytest.raises(Interrupted):
        run(method=Signalled(signal.SIGINT))
    run(method=rest, resume=True)
    run(method=whole, output=tmp_path / "undisturbed")
    assert len(rest.spy.seen) == len(whole.spy.seen) - 3
    for resumed, undisturbed in zip(rest.spy.seen, whole.spy.seen[3:], strict=True):
        assert torch.equal(resumed.noisy.x, undisturbed.noisy.x)
        assert torch.equal(resumed.clean.x, undisturbed.clean.x)


def test_non_finite_training_raises_and_keeps_the_last_good_checkpoint(run: Run, folder: Path) -> None:
    exploding = FineTuning(cross_entropy("clean"), sgd(1e30), epochs=1)
    with pytest.raises(NonFiniteError, match=r"non-finite for 10 consecutive steps; .*\. Lower the learning rates"):
        run(epochs=2, batch_size=10, fine_tuning=exploding)
    state = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert state["progress"]["epoch"] == 2
    assert all(value.isfinite().all() for value in state["stages"][0]["classifier"].values())


def test_run_without_a_finite_step_raises_and_has_no_summary(run: Run, folder: Path) -> None:
    with pytest.raises(NonFiniteError, match="all steps of this run were non-finite"):
        run(epochs=1, batch_size=1340, method=cross_entropy("noisy"), optimizer=sgd(0.1), backbone=_Overflowing)
    assert not (folder / "summary.json").exists()


def test_resuming_a_finished_run_changes_no_file(run: Run, folder: Path) -> None:
    first = run()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    assert run(resume=True) == first
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_resuming_writes_the_summary_of_a_run_killed_before_it(run: Run, folder: Path) -> None:
    first = run()
    (folder / "summary.json").unlink()
    assert run(resume=True) == first
    assert (folder / "summary.json").exists()


def test_resuming_before_the_first_checkpoint_starts_the_run(run: Run, tmp_path: Path) -> None:
    assert run(resume=True)["results"] == run(output=tmp_path / "other")["results"]


def test_resuming_with_other_data_raises(run: Run) -> None:
    run(data=Numbered(), split=SplitSizes(2, 2), batch_size=10)
    with pytest.raises(UserError, match=r"the data have changed since the run .* an input is uint8"):
        run(data=Digits(), resume=True)


@pytest.mark.parametrize("option", ["epochs", "batch_size", "clean_batch_size"])
def test_numbers_below_one_raise_by_name(experiment: Callable[..., Experiment], option: str) -> None:
    with pytest.raises(UserError, match=f"{option} is 0; expected a value >= 1"):
        experiment(**{option: 0})


def test_errors_of_pytorch_become_user_errors(run: Run, folder: Path) -> None:
    with pytest.raises(UserError, match=r"method of training cannot be built; .*Invalid learning rate: -1"):
        run(optimizer=sgd(-1))
    assert not folder.exists()
