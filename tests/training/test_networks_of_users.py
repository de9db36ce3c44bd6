"""Networks that people bring: checked with every stage before the first one trains, and layers of any kind."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vri_pyro.backbones import MLP
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.hypergradient import SplitJVP, SplitVJP
from vri_pyro.infer.probe import StrategyWarning
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods.base import Stage
from vri_pyro.methods.bilevel import Bilevel
from vri_pyro.methods.l2rw import L2RW
from vri_pyro.models import Rectification
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.utils.errors import UserError

from .spies import Spying, sgd

# PyTorch calls torch.jit.script on the first use of forward mode, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

Run = Callable[..., dict[str, Any]]
WIDTH = 6


class Body(Classifier):
    """A body and a linear layer."""

    def __init__(self, body: nn.Module, num_classes: int, top: nn.Module | None = None) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = WIDTH, num_classes
        self.body, self.top = body, nn.Linear(WIDTH, num_classes) if top is None else top

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = self.body(x)
        return ClassifierOutput(self.top(features), features)


class Recurrent(nn.Module):
    """Reads an image row by row; PyTorch's kernel for single precision has no forward mode."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(8, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x[:, 0])[0][:, -1]


def _recurrent(shape: tuple[int, ...], classes: int) -> Classifier:
    return Body(Recurrent(), classes)


def _bilevel(**options: Any) -> Bilevel:
    return Bilevel(
        Rectification, DiagonalNormal, lambda parameters: torch.optim.Adam(parameters, lr=1e-3), 1, **options
    )


@pytest.mark.parametrize("method", [_bilevel(hypergradient=SplitJVP()), L2RW(hypergradient=SplitJVP())])
@pytest.mark.parametrize("networks", [1, 2])
def test_network_that_the_last_stage_cannot_train_is_refused_before_the_first_one(
    run: Run, folder: Path, method: Any, networks: int
) -> None:
    first = Spying()
    with pytest.raises(UserError, match=r"^Body does not work with SplitJVP: .*; use hypergradient SplitVJP$"):
        run(method=method, epochs=1, warm_up=Stage(first, sgd(0.1)), backbone=_recurrent, networks=networks)
    assert first.spy.seen == []
    assert not (folder / "checkpoints" / "last.pt").exists()


@pytest.mark.parametrize("method", [_bilevel(), L2RW()])
def test_strategy_that_works_is_used_by_default(run: Run, folder: Path, tmp_path: Path, method: Any) -> None:
    with pytest.warns(StrategyWarning, match=r"^Body does not work with SplitJVP"):
        run(method=method, epochs=1, backbone=_recurrent)
    own = _bilevel(hypergradient=SplitVJP()) if isinstance(method, Bilevel) else L2RW(hypergradient=SplitVJP())
    run(method=own, epochs=1, backbone=_recurrent, output=tmp_path / "own")
    default, asked = (load_checkpoint(f / "checkpoints/last.pt")["classifier"] for f in (folder, tmp_path / "own"))
    assert all(torch.equal(value, asked[name]) for name, value in default.items())


def test_check_before_training_changes_no_result(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropout(shape: tuple[int, ...], classes: int) -> Classifier:
        return MLP(shape, classes, hidden=(8,), dropout=0.5)

    run(method=_bilevel(), epochs=1, backbone=dropout)
    monkeypatch.setattr(BilevelSVI, "check", lambda *_: None)
    run(method=_bilevel(), epochs=1, backbone=dropout, output=tmp_path / "unchecked")
    one, other = (load_checkpoint(f / "checkpoints/last.pt")["classifier"] for f in (folder, tmp_path / "unchecked"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_error_of_the_adjoint_identity_is_in_the_metrics(run: Run, folder: Path) -> None:
    run(method=_bilevel(), epochs=2)
    with open(folder / "metrics.csv", newline="") as file:
        first, _ = csv.DictReader(file)
    assert 0 <= float(first["adjoint_error"]) < 1e-5


def test_network_of_another_number_of_classes_than_the_data_is_refused(run: Run) -> None:
    with pytest.raises(UserError, match=r"^Body was built for 11 classes, but the data have 10; "):
        run(backbone=lambda shape, classes: Body(Recurrent(), classes + 1), epochs=1)


LAYERS: dict[str, Callable[[int], Classifier]] = {
    "Conv3d": lambda classes: Body(
        nn.Sequential(nn.Unflatten(2, (2, 4)), nn.Conv3d(1, WIDTH, 2), nn.AdaptiveAvgPool3d(1), nn.Flatten()), classes
    ),
    "lazy": lambda classes: Body(
        nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(WIDTH)),
        classes,
        nn.LazyLinear(classes),
    ),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("options", [{}, {"networks": 2}, {"ema": 0.9}], ids=["plain", "ensemble", "average"])
def test_networks_with_such_layers_are_trained(
    run: Run, folder: Path, build: Callable[[int], Classifier], options: dict[str, Any]
) -> None:
    run(method=_bilevel(), epochs=1, backbone=lambda shape, classes: build(classes), **options)
    state = load_checkpoint(folder / "checkpoints" / "last.pt")["classifier"]
    assert all(value.isfinite().all() for value in state.values())
