"""Stages before and after the main stage, methods with several stages, and algorithms that choose their examples."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.guides import Hierarchical
from vri_pyro.infer.initial_state import InitialState
from vri_pyro.infer.schedules import Constant, Cosine
from vri_pyro.methods.base import Stage
from vri_pyro.methods.bilevel import Bilevel
from vri_pyro.models import HierarchicalRectification
from vri_pyro.runs.configuration import FineTuning
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.interruption import Interrupted

from .spies import Choosing, ChoosingSVI, Spying, cross_entropy, sgd

Run = Callable[..., dict[str, Any]]


def _stage_names(folder: Path) -> list[str]:
    with open(folder / "metrics.csv", newline="") as file:
        return [row["stage"] for row in csv.DictReader(file)]


def test_transition_estimate_needs_a_warm_up(run: Run, folder: Path) -> None:
    method = Bilevel(HierarchicalRectification, Hierarchical, lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
    with pytest.raises(UserError, match="this classifier is untrained"):
        run(method=method, epochs=1)
    run(method=method, epochs=1, warm_up=Stage(cross_entropy(), sgd(0.1)), output=folder / "warmed")


def test_warm_up_comes_first_and_is_as_long_as_the_main_stage_by_default(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run(epochs=2, warm_up=Stage(cross_entropy(), sgd(0.1)))
    assert _stage_names(folder) == ["warm-up"] * 2 + ["training"] * 2
    fine_tuning = FineTuning(cross_entropy("clean"), sgd(0.1), epochs=1)
    run(epochs=2, warm_up=Stage(cross_entropy(), sgd(0.1), 1), fine_tuning=fine_tuning, output=tmp_path / "other")
    assert _stage_names(tmp_path / "other") == ["warm-up", "training", "training", "fine-tuning"]


def test_all_stages_train_the_same_classifier(run: Run) -> None:
    first, second, third = Spying(), Spying(), Spying()
    run(method=second, epochs=1, warm_up=Stage(first, sgd(0.1)), fine_tuning=FineTuning(third, sgd(0.1), epochs=1))
    assert first.spy.classifier is second.spy.classifier is third.spy.classifier


def test_stage_uses_its_own_schedule_or_that_of_the_run(run: Run) -> None:
    first, second, third = Spying(), Spying(), Spying()
    warm_up = Stage(first, sgd(0.2), epochs=1, schedule=Constant())
    run(
        method=second,
        epochs=1,
        schedule=Cosine(),
        warm_up=warm_up,
        fine_tuning=FineTuning(third, sgd(0.1), epochs=1),
    )
    rates = [[step.rates[0] for step in method.spy.seen] for method in (first, second, third)]
    assert rates[0] == [0.2] * 4
    assert rates[1] == rates[2] == pytest.approx([0.05 * (1 + np.cos(np.pi * i / 4)) for i in range(4)])


class Folded(Spying):
    """Has two folds with other pools before the main stage."""

    def __init__(self) -> None:
        super().__init__()
        self.folds = Spying("clean"), Spying("noisy_and_clean")

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        folds = (Stage(fold, stage.optimizer, epochs=1) for fold in self.folds)
        return {f"fold {number}": fold for number, fold in enumerate(folds)} | {name: stage}


def test_method_can_have_several_stages(run: Run, folder: Path) -> None:
    method = Folded()
    run(method=method, epochs=2)
    assert _stage_names(folder) == ["fold 0", "fold 1", "training", "training"]
    assert [len(fold.spy.seen) for fold in method.folds] == [4, 4]
    best = load_checkpoint(folder / "checkpoints" / "best.pt")
    assert best["epoch"] == 3  # all accuracies are equal, and folds are ignored
    assert method.folds[0].spy.classifier is method.spy.classifier


def test_warm_up_method_can_have_several_stages(run: Run, folder: Path) -> None:
    run(warm_up=Stage(Folded(), sgd(0.1), epochs=1), epochs=1)
    assert _stage_names(folder) == ["warm-up: fold 0", "warm-up: fold 1", "warm-up", "training"]


@pytest.mark.parametrize("epochs", [0, -1])
def test_stage_without_epochs_raises(epochs: int) -> None:
    with pytest.raises(UserError, match=f"epochs is {epochs}; expected a value >= 1"):
        Stage(cross_entropy(), sgd(0.1), epochs)


def test_batches_of_a_stage_are_drawn_from_the_examples_that_its_algorithm_chose(run: Run) -> None:
    first, second = Choosing(), Choosing()
    run(method=first, epochs=2, fine_tuning=FineTuning(second, sgd(0.1), epochs=2))
    chosen = [set().union(*(noisy for noisy, _ in method.algorithm.seen)) for method in (first, second)]
    assert [len(method.algorithm.seen) for method in (first, second)] == [8, 8]
    assert [len(pool) for pool in chosen] == [100, 100]
    assert chosen[0] != chosen[1]
    assert all(len(clean) == 20 for method in (first, second) for _, clean in method.algorithm.seen)


def test_hook_is_called_once_a_stage_with_the_data_and_the_pools_of_the_stage(run: Run) -> None:
    first, second = Choosing(), Choosing()
    run(method=first, epochs=3, seed=5, fine_tuning=FineTuning(second, sgd(0.1), epochs=2))
    contexts = [context for method in (first, second) for context in method.algorithm.contexts]
    assert [context.trained for context in contexts] == [False, True]
    for context in contexts:
        assert context.classifier is first.algorithm.classifier
        assert context.classifier.num_classes == 10
        assert context.seed == 5
        assert (len(context.labels), len(context.noisy), len(context.clean)) == (1400, 200, 20)


class ChoosingNone(Choosing):
    def build(self, *arguments: Any) -> Any:
        algorithm = super().build(*arguments)
        algorithm.begin_training = lambda context: context.noisy[:0]  # type: ignore[method-assign]
        return algorithm


def test_choosing_no_examples_raises_with_the_name_of_the_stage(run: Run) -> None:
    with pytest.raises(UserError, match="training selected no examples to train on; relax"):
        run(method=ChoosingNone())


@pytest.mark.parametrize(("at", "hooks"), [(1, [0, 1]), (4, [0, 1]), (6, [0, 1]), (8, [0, 1]), (11, [0, 0])])
def test_run_with_chosen_examples_is_resumed_bit_for_bit_without_repeating_a_hook(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, hooks: list[int]
) -> None:
    def momentum_sgd(parameters: Iterable[torch.Tensor]) -> torch.optim.SGD:
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)

    def methods(output: Path, **options: Any) -> list[Choosing]:
        first, second = Choosing(), Choosing()
        run(
            method=first,
            epochs=2,
            fine_tuning=FineTuning(second, momentum_sgd, epochs=2),
            optimizer=momentum_sgd,
            backbone=lambda shape, classes: MLP(shape, classes, hidden=(8,), dropout=0.2),
            output=output,
            **options,
        )
        return [first, second]

    methods(tmp_path / "whole")
    step, taken = ChoosingSVI.step, iter(range(1, 17))

    def stopping(self: ChoosingSVI, *batches: Any) -> Any:
        metrics = step(self, *batches)
        if next(taken) == at:
            signal.raise_signal(signal.SIGINT)
        return metrics

    with monkeypatch.context() as patch:
        patch.setattr(ChoosingSVI, "step", stopping)
        with pytest.raises(Interrupted):
            methods(folder)
    resumed_methods = methods(folder, resume=True)
    assert [len(method.algorithm.contexts) for method in resumed_methods] == hooks
    last = "checkpoints/last.pt"
    whole, resumed = (load_checkpoint(one / last) for one in (tmp_path / "whole", folder))
    assert resumed["progress"]["rows"] == whole["progress"]["rows"]
    assert all(torch.equal(resumed["pools"][name], pool) for name, pool in whole["pools"].items())
    for one, other in zip(resumed["stages"], whole["stages"], strict=True):
        torch.testing.assert_close(one["classifier"], other["classifier"], rtol=0, atol=0)


def test_restoring_the_initial_state_resets_parameters_and_momentum() -> None:
    classifier = MLP((3,), 2, hidden=(4,))
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9)
    initial = InitialState(classifier)
    classifier(torch.ones(5, 3)).logits.square().sum().backward()
    optimizer.step()
    assert not torch.equal(classifier.head.weight, before["head.weight"])
    initial.restore(optimizer)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert not optimizer.state


def test_loaded_initial_state_replaces_the_one_at_construction() -> None:
    one, other = MLP((3,), 2, hidden=(4,)), MLP((3,), 2, hidden=(4,))
    saved, initial = InitialState(one).state_dict(), InitialState(other)
    initial.load_state_dict(saved)
    initial.restore(torch.optim.SGD(other.parameters(), lr=0.1))
    assert torch.equal(other.head.weight, one.head.weight)
