"""Ensembles: different initial parameters, the same batches, and averaged logits."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.data import DeviceData, Digits, mean_and_std
from vri_pyro.data.batch import Batch
from vri_pyro.infer.schedules import Cosine
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.ensemble import Ensemble, EnsembleAlgorithm, build_algorithm, build_classifier
from vri_pyro.training.evaluation import evaluate

from .spies import Choosing, ChoosingSVI, Spy, Spying, cross_entropy, sgd

Run = Callable[..., dict[str, Any]]


class SpyingOnAll(Spying):
    """Records the spies of all networks."""

    def __init__(self) -> None:
        super().__init__()
        self.spies: list[Spy] = []

    def build(self, *arguments: Any) -> Spy:
        self.spies.append(super().build(*arguments))
        return self.spies[-1]


def test_logits_are_averaged_and_features_are_concatenated() -> None:
    members = [MLP((4,), 3, hidden=(5,)), MLP((4,), 3, hidden=(5,))]
    ensemble, x = Ensemble(members), torch.randn(6, 4)
    outputs = [member(x) for member in members]
    found = ensemble(x)
    torch.testing.assert_close(found.logits, (outputs[0].logits + outputs[1].logits) / 2)
    assert found.features.shape == (6, ensemble.feature_dim) == (6, 10)
    assert ensemble.num_classes == 3


def test_one_network_is_not_an_ensemble() -> None:
    assert isinstance(build_classifier(lambda shape, classes: MLP(shape, classes), (4,), 3, networks=1), MLP)


def test_networks_differ_initially_and_get_the_same_batches_and_learning_rates(run: Run) -> None:
    method = SpyingOnAll()
    run(method=method, networks=2, epochs=2, schedule=Cosine())
    first, second = method.spies
    assert not torch.equal(first.classifier.head.weight, second.classifier.head.weight)  # type: ignore[union-attr]
    assert len(first.seen) == len(second.seen) == 8
    for one, other in zip(first.seen, second.seen, strict=True):
        assert torch.equal(one.noisy.x, other.noisy.x)
        assert torch.equal(one.clean.x, other.clean.x)
        assert one.rates == other.rates
        assert one.training_mode
        assert other.training_mode
    assert first.seen[-1].rates[0] < first.seen[0].rates[0]


def test_each_network_is_trained_as_it_would_be_alone() -> None:
    method = cross_entropy()
    together = [MLP((4,), 3, hidden=(5,)) for _ in range(2)]
    alone = copy.deepcopy(together)
    algorithm = build_algorithm(Ensemble(together), lambda network: method.build(network, sgd(0.3)))
    single = [method.build(network, sgd(0.3)) for network in alone]
    for _ in range(4):
        noisy = Batch(torch.randn(6, 4), torch.arange(6) % 3)
        loss = algorithm.step(noisy, noisy)["loss"]
        torch.testing.assert_close(loss, torch.stack([one.step(noisy, noisy)["loss"] for one in single]).mean())
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert not torch.equal(together[0].head.weight, together[1].head.weight)


def test_metrics_are_means_over_the_networks() -> None:
    class Reporting(Spy):
        def step(self, *batches: Any) -> dict[str, torch.Tensor]:
            return {"loss": torch.tensor(self.loss), f"only/{self.loss}": torch.tensor(self.loss)}

        def __init__(self, loss: float) -> None:
            classifier = MLP((4,), 3, hidden=(5,))
            super().__init__(classifier, torch.optim.SGD(classifier.parameters(), lr=0.1))
            self.loss = loss

    members = [Reporting(1.0), Reporting(3.0)]
    algorithm = EnsembleAlgorithm(Ensemble([one.classifier for one in members]), members)
    found = algorithm.step(None, None)  # type: ignore[arg-type]
    assert {name: value.item() for name, value in found.items()} == {"loss": 2.0, "only/1.0": 1.0, "only/3.0": 3.0}


def test_averaged_logits_are_evaluated_and_saved(run: Run, folder: Path) -> None:
    run(networks=2, epochs=3)
    saved = load_checkpoint(folder / "checkpoints" / "last.pt")
    arrays = Digits().load()
    members = []
    for part in saved["stages"][0]["members"]:
        member = MLP(arrays.input_shape, arrays.num_classes, hidden=(8,))
        member.load_state_dict(part["classifier"])
        members.append(member.eval())
    data = DeviceData(arrays.x_test, arrays.y_test, "cpu", *mean_and_std(arrays.x_train))
    batch = data.batch(torch.arange(len(data)))
    logits = torch.stack([member(batch.x).logits for member in members]).mean(0)
    with open(folder / "metrics.csv", newline="") as file:
        reported = float(list(csv.DictReader(file))[-1]["test_accuracy"])
    assert reported == pytest.approx(100 * (logits.argmax(-1) == batch.y).double().mean().item())
    ensemble = Ensemble(members)
    ensemble.load_state_dict(saved["classifier"])
    assert evaluate(ensemble, data)["accuracy"] == reported


class ChoosingApart(Choosing):
    """Records the algorithms of all networks; each chooses its own random examples."""

    def __init__(self) -> None:
        super().__init__()
        self.algorithms: list[ChoosingSVI] = []

    def build(self, *arguments: Any) -> Any:
        self.algorithms.append(super().build(*arguments))  # type: ignore[arg-type]
        return self.algorithms[-1]


def test_all_networks_draw_from_the_examples_that_the_first_one_chose(run: Run) -> None:
    method = ChoosingApart()
    run(method=method, networks=2, epochs=2)
    first, second = method.algorithms
    assert first.seen == second.seen
    assert len(first.contexts) == len(second.contexts) == 1


def test_zero_networks_raise(run: Run) -> None:
    with pytest.raises(ValueError, match="networks is 0; expected a value >= 1"):
        run(networks=0, optimizer=sgd(0.1))
