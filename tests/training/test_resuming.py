"""A run stopped at any step resumes to the same checkpoint, bit for bit, with any options."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.data import Mixup
from vri_pyro.guides import DiagonalNormal, Hierarchical
from vri_pyro.infer.schedules import Constant, CyclicCosine, LinearWarmUp
from vri_pyro.methods import NoisyCrossEntropy
from vri_pyro.methods.base import Stage
from vri_pyro.methods.bilevel import Bilevel, EstimatedBilevel
from vri_pyro.models import HierarchicalRectification, Rectification, StandardNormal
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.selection import GaussianMixture, SmallLoss
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.interruption import Interrupted

from .spies import cross_entropy, sgd

Run = Callable[..., dict[str, Any]]

NO_CLEAN: dict[str, Any] = {
    "split": SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=200),
    "warm_up": Stage(cross_entropy(), sgd(0.3), epochs=1),
}


def _vri() -> Bilevel:
    return Bilevel(
        lambda features, classes: Rectification(features, classes, StandardNormal),
        lambda features, classes: DiagonalNormal(features, classes, hidden=(8,)),
        lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    )


def _hierarchical() -> Bilevel:
    return EstimatedBilevel(
        lambda features, classes: HierarchicalRectification(features, classes, StandardNormal),
        lambda features, classes: Hierarchical(features, classes, partial(DiagonalNormal, hidden=(8,))),
        lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        estimation=NoisyCrossEntropy(),
        estimation_share=0.5,
    )


OPTIONS: dict[str, dict[str, Any]] = {
    "averaged": {"ema": 0.9},
    "estimation": {"method": _hierarchical()},
    "two networks": {"networks": 2},
    "clean mixup": {"clean_mixup": CleanMixup(every=1, epochs=2), "clean_batch_size": 8},
    "schedule": {"schedule": LinearWarmUp(CyclicCosine(2), epochs=1.5)},
    "small losses": NO_CLEAN | {"selection": SmallLoss(50)},
    "all": NO_CLEAN
    | {
        "selection": GaussianMixture(),
        "ema": 0.9,
        "networks": 2,
        "clean_mixup": CleanMixup(every=2),
        "augmentation": Mixup(),
        "clean_augmentation": Mixup(),
    },
}


def _assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        for pair in zip(one, other, strict=True):
            _assert_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_stopped_run_resumes_bit_for_bit(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    changes = {
        "method": _vri(),
        "epochs": 3,
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        "backbone": lambda shape, classes: MLP(shape, classes, hidden=(8,), dropout=0.2),
        "schedule": Constant(),
    } | options
    run(output=tmp_path / "whole", **changes)
    step, taken = Trainer._step, []

    def stopping(self: Trainer, *arguments: Any) -> None:
        step(self, *arguments)
        taken.append(1)
        if len(taken) in (2, 5, 8, 9):  # within an epoch, at its end, and in the next epoch
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_step", stopping)
    for _ in range(4):
        with pytest.raises(Interrupted):
            run(resume=True, **changes)
    run(resume=True, **changes)
    for name in ("last.pt", *(["best.pt"] if (folder / "checkpoints" / "best.pt").exists() else [])):
        _assert_same(*(load_checkpoint(one / "checkpoints" / name) for one in (tmp_path / "whole", folder)))
    assert (folder / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
