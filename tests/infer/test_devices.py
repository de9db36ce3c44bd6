"""Steps of every method run on another device and synchronise with it only to check for non-finite values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyro
import pytest
import torch

from vri_pyro.backbones import SmallCNN
from vri_pyro.data.batch import Batch
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.guard import FiniteGuard
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Stage
from vri_pyro.runs.parsing import configuration_parser

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
NAMES = (
    *(
        "vri",
        "vri_paper",
        "vri_released",
        "vri_vector",
        "vri_gated",
        "vri_dirac",
        "warpi",
        "mw_net",
        "mlc",
        "emlc",
        "bome",
    ),
    *("cross_entropy", "mixup", "elr", "sop", "sop_plus", "l2rw", "glc", "pes", "mw_net_unnormalised", "mlc_released"),
)
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


@contextmanager
def _no_synchronisation(device: str) -> Iterator[None]:
    """Raise on any synchronisation with the device; on "meta", which has no values, reading one raises anyway."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def _batch(device: str, count: int) -> Batch:
    images, labels = torch.randn(count, 1, 8, 8), torch.arange(count) % 10
    return Batch(images.to(device), labels.to(device), torch.arange(count).to(device), (images + 1).to(device))


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")  # as in some papers' configurations
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_step_on_another_device(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = configuration_parser()
    method = parser.instantiate(parser.parse_args(["--config", str(CONFIGS / f"{name}.yaml")])).method
    stages = method.stages("training", Stage(method, SGD))
    classifier: Classifier = SmallCNN((1, 8, 8), 10).to(device)
    algorithms = [stage.method.build(classifier, SGD) for stage in stages.values()]
    for algorithm in algorithms:
        for part in (algorithm, algorithm.model):
            if hasattr(part, "memory"):
                part.memory.reserve(100)
    # Where a step synchronises, and what synchronises once before training.
    monkeypatch.setattr(FiniteGuard, "read", staticmethod(lambda metrics: dict.fromkeys(metrics, 0.0)))
    monkeypatch.setattr(BilevelSVI, "check", lambda *_: None)
    noisy, clean = _batch(device, 12), _batch(device, 10)
    with pyro.validation_enabled(False):
        for algorithm in algorithms:
            algorithm.step(noisy, clean)  # creates the state that is created only once
            with _no_synchronisation(device):
                metrics = algorithm.step(noisy, clean)
            assert {value.device.type for value in metrics.values()} == {device}
            assert device == "meta" or all(value.isfinite() for value in metrics.values())
