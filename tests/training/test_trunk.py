"""The trunk of a classifier, trained with its own learning rate or not at all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from infer.toys import CLASSES, batch, diagonal_normal, rectification
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP, FromModule, SmallCNN
from vri_pyro.cli.main import main
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.functional import parameters_of
from vri_pyro.infer.hypergradient import SplitJVP, Unrolled
from vri_pyro.infer.virtual_step import learning_rate
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods import ELR
from vri_pyro.training import Trunk
from vri_pyro.training.ema import EMA
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError


class Headless(Classifier):
    """A classifier whose last layer has another name."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes, self.last = 4, CLASSES, nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> ClassifierOutput:
        return ClassifierOutput(self.last(x), x)


def _wrapped() -> FromModule:
    body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    return FromModule((6,), CLASSES, body)


def test_trunk_and_head_have_their_own_learning_rates() -> None:
    classifier = _wrapped()
    optimizer = Trunk(lr_factor=0.1).optimizer(partial(SGD, lr=0.5, momentum=0.9), classifier)(classifier.parameters())
    trunk, head = optimizer.param_groups
    assert (trunk["lr"], head["lr"], trunk["momentum"]) == (pytest.approx(0.05), 0.5, 0.9)
    assert {id(p) for p in head["params"]} == {id(p) for p in classifier.head.parameters()}
    assert len(trunk["params"]) == 4
    assert learning_rate(optimizer) == 0.5


def test_parameters_of_a_model_are_trained_like_the_head() -> None:
    classifier, other = _wrapped(), nn.Linear(2, 2)
    build = Trunk(lr_factor=0.1).optimizer(partial(Adam, lr=0.5), classifier)
    trunk, rest = build([*classifier.parameters(), *other.parameters()]).param_groups
    assert (len(trunk["params"]), len(rest["params"])) == (4, 4)


def test_step_of_a_method_moves_the_trunk_by_its_factor() -> None:
    def moved(factor: float) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        classifier = MLP((6,), CLASSES, hidden=(8,))
        before = {name: p.detach().clone() for name, p in classifier.named_parameters()}
        optimizer = Trunk(lr_factor=factor).optimizer(partial(SGD, lr=0.5), classifier)
        torch.manual_seed(1)
        noisy, clean = batch(7, (6,)), batch(5, (6,))
        ELR(clean_weight=0.2).build(classifier, optimizer).step(
            noisy._replace(index=torch.arange(7)), clean._replace(index=torch.arange(5))
        )
        change = {name: p.detach() - before[name] for name, p in classifier.named_parameters()}
        return change["body.1.weight"], change["head.weight"]

    (trunk, head), (slow, same) = moved(1.0), moved(0.25)
    torch.testing.assert_close(slow, 0.25 * trunk)
    torch.testing.assert_close(same, head)


def test_hypergradient_is_exact_with_two_learning_rates() -> None:
    def step(strategy: Any) -> list[Tensor]:
        torch.manual_seed(0)
        classifier = _wrapped().double()
        model, guide = rectification(classifier.feature_dim).double(), diagonal_normal(classifier.feature_dim).double()
        build = Trunk(lr_factor=0.1).optimizer(partial(SGD, lr=0.3, momentum=0.9), classifier)
        outer = SGD([*model.parameters(), *guide.parameters()], lr=1.0)
        algorithm = BilevelSVI(
            classifier, model, guide, build(classifier.parameters()), outer, outer_kl_weight=0.1, hypergradient=strategy
        )
        noisy, clean = batch(7, (6,)), batch(5, (6,))
        before = [p.detach().clone() for p in guide.parameters()]
        algorithm.step(noisy._replace(x=noisy.x.double()), clean._replace(x=clean.x.double()))
        return [p.detach() - b for p, b in zip(guide.parameters(), before, strict=True)]

    for split, unrolled in zip(step(SplitJVP()), step(Unrolled()), strict=True):
        assert (split - unrolled).norm() <= 1e-10 * unrolled.norm()


def test_frozen_trunk_keeps_weights_and_batch_statistics_and_has_no_dropout() -> None:
    classifier = _wrapped().freeze_trunk()
    assert list(parameters_of(classifier)) == ["head.weight", "head.bias"]
    classifier.train()
    assert classifier.training
    assert classifier.head.training
    assert not any(layer.training for layer in classifier.network.modules())
    before, x = copy.deepcopy(classifier.state_dict()), torch.randn(9, 6)
    assert torch.equal(classifier(x).features, classifier(x).features)
    classifier.eval()
    assert not classifier.head.training
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    average = EMA(classifier, 0.9).network
    average.train()
    assert not average.network.training  # type: ignore[union-attr]


def test_only_the_head_of_a_frozen_network_learns() -> None:
    torch.manual_seed(0)
    classifier = _wrapped().freeze_trunk()
    before = copy.deepcopy(classifier.state_dict())
    model, guide = rectification(classifier.feature_dim), diagonal_normal(classifier.feature_dim)
    algorithm = BilevelSVI(
        classifier.train(),
        model,
        guide,
        SGD(classifier.parameters(), lr=0.1, weight_decay=0.1),
        Adam([*model.parameters(), *guide.parameters()], lr=1e-3),
    )
    algorithm.step(batch(7, (6,)), batch(5, (6,)))
    changed = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_a_classifier_without_a_head_is_refused_with_the_remedy() -> None:
    message = "Headless has no layer named head, so its trunk is unknown; name its last layer head"
    with pytest.raises(UserError, match=message):
        Headless().freeze_trunk()
    with pytest.raises(UserError, match=message):
        Trunk(lr_factor=0.1).optimizer(partial(SGD, lr=0.1), Headless())


@pytest.mark.parametrize("factor", [0, -1, float("nan"), "much"])
def test_impossible_factors_are_refused(factor: Any) -> None:
    with pytest.raises(UserError, match=r"trunk\.lr_factor"):
        Trunk(lr_factor=factor)


@pytest.mark.slow
def test_options_of_the_trunk_reach_every_stage_and_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--epochs", "2", "--split.noisy_size", "200", "--threads", "1", "--quiet", "true"]
    options = ["--networks", "2", "--trunk.lr_factor", "0.1", "--schedule", "Cosine"]
    assert main(["fit", *small, *options, "--output", "slow"]) == 0
    rows = RunFolder(tmp_path / "slow").read_metrics()
    assert {row["stage"] for row in rows} == {"estimation", "training"}
    state = torch.load(tmp_path / "slow" / "checkpoints" / "last.pt", weights_only=True)["state"]
    for stage in state["stages"]:
        for member in stage["members"]:
            trunk, head = next(value for name, value in member.items() if "optimizer" in name)["param_groups"]
            assert trunk["lr"] == pytest.approx(0.1 * head["lr"])

    monkeypatch.setattr("vri_pyro.runs.building.has_random_trunk", lambda *_: False)
    assert main(["fit", *small, "--trunk.frozen", "true", "--output", "frozen"]) == 0
    state = torch.load(tmp_path / "frozen" / "checkpoints" / "last.pt", weights_only=True)["state"]["classifier"]
    torch.manual_seed(0)
    initial = SmallCNN((1, 8, 8), 10).state_dict()
    changed = {name for name, value in initial.items() if not torch.equal(value, state[name])}
    assert changed == {"head.weight", "head.bias"}
    assert np.isfinite(RunFolder(tmp_path / "frozen").read_metrics()[-1]["loss"])


class Pretrained(MLP):
    """A network whose trunk has the same weights whenever it is built, and whose head is random."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            super().__init__(input_shape, num_classes, hidden=(8,))
        self.head.reset_parameters()


@pytest.mark.parametrize(("backbone", "random"), [(MLP, True), (Pretrained, False)])
def test_a_trunk_that_is_frozen_at_random_weights_is_told(backbone: Callable[..., Classifier], random: bool) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    frozen = VRIClassifier("elr", backbone=backbone, epochs=1, trunk=Trunk(frozen=True))
    message = "trunk.frozen keeps the trunk of MLP at random weights; use a pretrained network, or train the trunk"
    with pytest.warns(UserWarning, match=message) if random else nullcontext():
        frozen.fit(x, np.arange(60) % 3, trusted=range(15))


@pytest.mark.filterwarnings("default:the options of the trunk:UserWarning")
def test_a_network_without_a_trunk_is_told_that_the_options_have_no_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "vectors.npz"
    np.savez(data, x_train=np.eye(30, dtype=np.float32), y_train=np.arange(30) % 3)
    words = ["fit", "--data", "NpzFile", "--data.path", str(data), "--data.verified", "true", "--epochs", "1"]
    words += ["--split.clean_per_class", "2", "--split.validation_per_class", "1", "--batch_size", "5"]
    words += ["--output", str(tmp_path / "run"), "--report", "false", "--quiet", "true", "--trunk.frozen", "true"]
    assert main(words) == 0
    assert "the options of the trunk have no effect: MLP has no weights before its head" in capsys.readouterr().err


def test_learning_rate_of_a_frozen_trunk_is_refused() -> None:
    with pytest.raises(UserError, match=r"trunk.lr_factor is 0.1 but a frozen trunk has no learning rate; leave out"):
        Trunk(lr_factor=0.1, frozen=True)
