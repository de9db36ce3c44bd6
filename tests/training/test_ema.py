"""The moving average of the classifier: its definition, and that it is evaluated, saved and resumed."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vri_pyro.backbones import MLP, SmallCNN
from vri_pyro.data import DeviceData, Digits, mean_and_std
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.runs.configuration import FineTuning
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.ema import EMA
from vri_pyro.training.evaluation import evaluate
from vri_pyro.utils.errors import UserError

from .spies import Spying, sgd

Run = Callable[..., dict[str, Any]]


def _moved(classifier: Classifier) -> None:
    with torch.no_grad():
        for value in [*classifier.parameters(), *classifier.buffers()]:
            if value.is_floating_point():
                value.add_(torch.randn_like(value))


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {n: v.clone() for n, v in module.state_dict().items() if v.is_floating_point()}


def test_average_of_weights_and_buffers_is_exponential() -> None:
    classifier = SmallCNN((1, 8, 8), 3).double()
    assert any(name.endswith("running_mean") for name in classifier.state_dict())
    average, history = EMA(classifier, 0.7), []
    for _ in range(4):
        _moved(classifier)
        average.update()
        history.append(_state(classifier))
    for name, found in _state(average.network).items():
        expected = history[0][name]
        for later in history[1:]:
            expected = 0.7 * expected + 0.3 * later[name]
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_restarted_average_keeps_its_value_until_the_next_step() -> None:
    classifier = MLP((4,), 3, hidden=(5,))
    average = EMA(classifier, 0.9)
    for _ in range(3):
        _moved(classifier)
        average.update()
    before = _state(average.network)
    average.restart()
    assert all(torch.equal(before[name], value) for name, value in _state(average.network).items())
    _moved(classifier)
    average.update()
    assert all(torch.equal(value, classifier.state_dict()[n]) for n, value in _state(average.network).items())


def test_without_a_decay_the_network_is_the_classifier() -> None:
    classifier = MLP((4,), 3, hidden=(5,))
    average = EMA(classifier)
    assert average.network is classifier
    assert average.state_dict() is None


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_decay_out_of_range_raises(run: Run, folder: Path, decay: float) -> None:
    with pytest.raises(
        UserError, match=r"ema is .*; expected a value in \(0, 1\), such as 0\.999, or null for no average"
    ):
        run(ema=decay)
    assert not folder.exists()


def _accuracy(state: dict[str, torch.Tensor]) -> float:
    arrays = Digits().load()
    classifier = MLP(arrays.input_shape, arrays.num_classes, hidden=(8,))
    classifier.load_state_dict(state)
    data = DeviceData(arrays.x_test, arrays.y_test, "cpu", *mean_and_std(arrays.x_train))
    return evaluate(classifier, data)["accuracy"]


def test_average_is_evaluated_and_saved(run: Run, folder: Path) -> None:
    summary = run(ema=0.95, optimizer=sgd(0.5), epochs=6)
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    last, best = (load_checkpoint(folder / "checkpoints" / name) for name in ("last.pt", "best.pt"))
    trained = last["stages"][0]["classifier"]
    assert not torch.equal(last["classifier"]["head.weight"], trained["head.weight"])
    assert _accuracy(last["classifier"]) == float(rows[-1]["test_accuracy"])
    assert _accuracy(best["classifier"]) == float(rows[best["epoch"]]["test_accuracy"])
    assert best["epoch"] == summary["results"]["chosen_epoch"]


def test_average_does_not_change_training(run: Run, folder: Path, tmp_path: Path) -> None:
    run(epochs=2)
    run(epochs=2, ema=0.9, output=tmp_path / "averaged")
    plain, averaged = (load_checkpoint(f / "checkpoints/last.pt") for f in (folder, tmp_path / "averaged"))
    for name, value in plain["stages"][0]["classifier"].items():
        assert torch.equal(averaged["stages"][0]["classifier"][name], value)


def test_every_step_of_a_mixup_pass_updates_the_average(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def update(self: EMA) -> None:
        seen.append(next(self._classifier.parameters()).detach().clone())

    monkeypatch.setattr(EMA, "update", update)
    run(epochs=1, ema=0.9, clean_batch_size=5, clean_mixup=CleanMixup(every=1, epochs=2))
    assert len(seen) == 4 + 2 * 4  # noisy batches, and two epochs of clean batches
    assert not any(torch.equal(one, other) for one, other in pairwise(seen))


def test_each_stage_has_an_average_of_its_own(run: Run, folder: Path) -> None:
    last = Spying("clean")  # trains nothing, so the average of its stage equals the classifier
    run(epochs=2, ema=0.999, fine_tuning=FineTuning(last, sgd(0.1), epochs=1))
    state = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert torch.equal(state["classifier"]["head.weight"], state["stages"][0]["classifier"]["head.weight"])


def test_state_dict_restores_the_average() -> None:
    classifier = MLP((4,), 3, hidden=(5,))
    one, other = EMA(classifier, 0.5), EMA(copy.deepcopy(classifier), 0.5)
    _moved(classifier)
    one.update()
    other.load_state_dict(one.state_dict())
    x = torch.ones(2, 4)
    assert torch.equal(one.network(x).logits, other.network(x).logits)


class Buffered(MLP):
    """Has constant buffers that are not finite, and buffers that are not floating point, which every step changes."""

    def __init__(self) -> None:
        super().__init__((4,), 3, hidden=(5,))
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
        self.register_buffer("unknown", torch.tensor([torch.nan, 1.0]))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("spread", torch.ones(3))

    def forward(self, x: torch.Tensor) -> ClassifierOutput:
        output = super().forward(x @ self.mask.softmax(-1).T)
        return output._replace(logits=output.logits + self.mask[0, 0] * 0 + self.spread.mean())


def test_integer_and_boolean_buffers_are_those_of_the_classifier() -> None:
    classifier = Buffered()
    average = EMA(classifier, 0.999)
    for step in range(4):
        classifier.count += 5
        classifier.flags.logical_not_()
        average.update()
        assert average.network.count == classifier.count == 12 + 5 * step
        assert torch.equal(average.network.flags, classifier.flags)


def test_entries_that_are_not_finite_are_those_of_the_classifier_and_the_others_are_averaged() -> None:
    classifier = Buffered().double()
    average = EMA(classifier, 0.5)
    average.update()
    classifier.unknown[1] = 3.0
    classifier.spread[0] = torch.inf
    average.update()
    found = average.network
    torch.testing.assert_close(found.unknown, torch.tensor([torch.nan, 2.0]).double(), equal_nan=True)
    assert torch.equal(found.mask, classifier.mask)
    assert torch.equal(found.spread, torch.tensor([torch.inf, 1.0, 1.0]).double())
    classifier.spread[0] = 4.0
    average.update()
    assert torch.equal(found.spread, torch.tensor([4.0, 1.0, 1.0]).double())


def test_average_of_a_network_with_masks_has_finite_logits() -> None:
    classifier = Buffered()
    average = EMA(classifier, 0.9)
    for _ in range(3):
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update()
    assert average.network(torch.randn(2, 4)).logits.isfinite().all()


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_network_that_cannot_be_copied_raises() -> None:
    classifier = MLP((4,), 3, hidden=(5,))
    nn.utils.weight_norm(classifier.head)
    with pytest.raises(UserError, match=r"^MLP cannot be copied for its moving average .*; set ema to null, or use"):
        EMA(classifier, 0.9)
