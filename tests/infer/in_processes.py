"""Training steps of every kind, run in one process or shared by several, for :mod:`test_processes`."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

import vri_pyro.models
from vri_pyro.data import DeviceData
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal, Gated, Hierarchical, NoLatents
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods import (
    BOME,
    ELR,
    EMLC,
    GLC,
    L2RW,
    PES,
    SOP,
    Bilevel,
    DivideMix,
    Method,
    Mixup,
    NoisyCrossEntropy,
    SingleLevel,
)
from vri_pyro.models import CrossEntropy, GatedRectification, HierarchicalRectification, PriorNetwork, Rectification
from vri_pyro.training.ensemble import Ensemble, build_algorithm
from vri_pyro.training.evaluation import evaluate, predict
from vri_pyro.training.selection import SmallLoss
from vri_pyro.utils import processes

from .problems import CASES, seeded
from .toys import CLASSES, INPUTS, Dense

EXAMPLES, NOISY, CLEAN, STEPS = 40, 10, 7, 4  # batches that neither 2 nor 3 processes can divide evenly, together
_PRIOR = partial(PriorNetwork, hidden=(4,))
_VECTOR = partial(DiagonalNormal, hidden=(4,))
PAIRS: dict[str, tuple[Any, Any]] = {
    "vector": (partial(Rectification, prior=_PRIOR), _VECTOR),
    "gated": (partial(GatedRectification, prior=_PRIOR), partial(Gated, vector=_VECTOR)),
    "hierarchical": (partial(HierarchicalRectification, prior=_PRIOR), partial(Hierarchical, vector=_VECTOR)),
}
OPTIMIZERS: dict[str, Any] = {
    "SGD": partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": partial(Adam, lr=0.01),
}
STRATEGIES: dict[str, Callable[[], Hypergradient]] = {
    "SplitVJP": SplitVJP,
    "Unrolled": Unrolled,
    "SplitFiniteDifference": SplitFiniteDifference,
    "SplitForwardDifference": SplitForwardDifference,
}


def _methods() -> dict[str, tuple[Method, Any]]:
    found: dict[str, tuple[Method, Any]] = {}
    outer = partial(Adam, lr=1e-2)
    for name, (model, guide) in PAIRS.items():
        for rule, optimizer in OPTIMIZERS.items():
            found[f"{name}, {rule}"] = Bilevel(model, guide, outer), optimizer
        attached = {"detach_features": False, "inner_kl_weight": 0.1, "share_forward": False}
        found[f"{name}, attached features"] = Bilevel(model, guide, outer, **attached), OPTIMIZERS["SGD"]
        found[f"{name}, one level"] = SingleLevel(model, guide, num_particles=2), OPTIMIZERS["Adam"]
        for strategy, make in STRATEGIES.items():
            method = Bilevel(model, guide, outer, hypergradient=make())
            found[f"{name}, {strategy}"] = method, OPTIMIZERS["SGD"]
    plain: dict[str, Method] = {
        "cross entropy": NoisyCrossEntropy(),
        "cross entropy, clean batches": SingleLevel(CrossEntropy, NoLatents, "noisy_and_clean"),
        "ELR": ELR(),
        "GLC": GLC(),
        "L2RW": L2RW(),
        "mixup": Mixup(),
        "BOME, vector": BOME(*PAIRS["vector"], outer, inner_steps=2),
        "EMLC": EMLC(outer),
        "PES": PES(1, 1, 1),
        "SOP": SOP(),
        "SOP, two views": SOP(consistency_weight=0.9, balance_weight=0.1),
    }
    return found | {name: (method, OPTIMIZERS["SGD"]) for name, method in plain.items()}


METHODS = _methods()
# Methods that train the networks of an ensemble together.
TOGETHER: dict[str, tuple[Method, Any]] = {"DivideMix": (DivideMix(), OPTIMIZERS["SGD"])}
_OWN_RANDOM_NUMBERS = ("dropout, detached", "dropout, attached", "forward not shared, attached")
# Every problem of the strategies, except for those in which each process has random numbers or statistics of its own.
PROBLEMS = [
    name
    for name, case in CASES.items()
    if "dropout" not in name
    and ("BatchNorm" not in name or "evaluation" in name)
    and name != "forward not shared, attached"
]


def record(name: str) -> dict[str, Tensor]:
    """Train the case called ``name`` for a few steps; return its state and the sums of its metrics, by name."""
    if name.startswith("problem: "):
        return _problem(name.removeprefix("problem: "))
    torch.manual_seed(5)
    classifier: Classifier = Dense()
    if name.startswith("ensemble"):
        classifier = Ensemble([Dense(), Dense()])
    method, optimizer = (METHODS | TOGETHER)[name.removeprefix("ensemble: ")]
    algorithm = build_algorithm(classifier, lambda network: method.build(network, optimizer))
    x, y = torch.randn(EXAMPLES, INPUTS), torch.arange(EXAMPLES) % CLASSES
    clean = torch.arange(EXAMPLES - 8, EXAMPLES)
    context = TrainingContext(classifier, lambda positions: [x[positions]], y, torch.arange(EXAMPLES - 8), clean)
    algorithm.begin_training(context)
    algorithm.begin_epoch(context)
    torch.manual_seed(6)
    metrics: dict[str, Tensor] = {}
    for step in range(STEPS):
        chosen = (torch.arange(NOISY) + 7 * step) % EXAMPLES
        trusted = clean[(torch.arange(CLEAN) + step) % len(clean)]
        found = algorithm.step(
            Batch(x[chosen], y[chosen], chosen).shared(), Batch(x[trusted], y[trusted], trusted).shared()
        )
        metrics = {key: metrics.get(key, 0) + value.detach() for key, value in found.items()}
    loss = algorithm.supervised_step(x[:NOISY], lambda logits: F.cross_entropy(logits, y[:NOISY]))
    return _flat(_state(algorithm) | {"metrics": metrics, "supervised": loss})


def judged() -> dict[str, Tensor]:
    """Evaluate a classifier, predict with it and select by its losses, on numbers that no 2 or 3 processes share."""
    torch.manual_seed(5)
    classifier = Dense()
    x, y = torch.randn(EXAMPLES + 1, INPUTS).numpy(), np.arange(EXAMPLES + 1) % CLASSES
    data = DeviceData(x, y, "cpu", np.zeros(INPUTS), np.ones(INPUTS))
    logits, labels = predict(classifier, data, np.arange(3, EXAMPLES + 1), batch_size=7)
    chosen = SmallLoss(11)(classifier, data, np.arange(EXAMPLES))
    found = evaluate(classifier, data), evaluate(classifier, data, np.arange(2))  # fewer examples than processes
    return _flat({"found": found, "logits": logits, "labels": labels, "chosen": torch.from_numpy(chosen)})


def _problem(name: str) -> dict[str, Tensor]:
    """Take two steps in a problem of the strategies."""
    algorithm, noisy, clean = seeded(CASES[name], SplitJVP())
    for _ in range(2):
        metrics = algorithm.step(noisy.shared(), clean.shared())
    return _flat(_state(algorithm) | {"metrics": metrics})


def _state(algorithm: Algorithm) -> dict[str, Any]:
    return {"state": algorithm.state_dict(), "random": torch.get_rng_state()}


def _flat(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors and numbers in nested containers by their path."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: found for part, inner in items for key, found in _flat(inner, f"{name}/{part}").items()}
    if isinstance(value, Tensor | bool | int | float):
        return {name: torch.as_tensor(value).detach().clone()}
    return {}


def names(count: int) -> list[str]:
    """Return the cases of ``count`` processes: all for 2, to save time, and those with uneven shares for more."""
    methods = [*METHODS, "ensemble: ELR", "ensemble: vector, SGD", *(f"ensemble: {name}" for name in TOGETHER)]
    return [*methods, *(f"problem: {name}" for name in PROBLEMS)] if count == 2 else methods


class Normalised(Dense):
    """A network with batch normalisation and dropout."""

    def __init__(self) -> None:
        super().__init__(nn.BatchNorm1d, dropout=0.5)


def with_own_statistics() -> dict[str, Tensor]:
    """Train a network with batch normalisation and dropout, whose processes have statistics and masks of their own."""
    torch.manual_seed(5)
    method, optimizer = METHODS["vector, SGD"]
    classifier = Normalised()
    algorithm = method.build(classifier, optimizer)
    x, y = torch.randn(EXAMPLES, INPUTS), torch.arange(EXAMPLES) % CLASSES
    torch.manual_seed(6)
    for step in range(STEPS):
        chosen = (torch.arange(NOISY) + 7 * step) % EXAMPLES
        algorithm.step(Batch(x[chosen], y[chosen], chosen).shared(), Batch(x[:CLEAN], y[:CLEAN]).shared())
    return _flat(_state(algorithm))


def masks_of_dropout() -> Tensor:
    """Return what remains of ones in two forward passes with dropout, of the joined batch, [2, NOISY]."""
    from vri_pyro.infer.functional import ReplayedForward

    class Masked(Classifier):
        def forward(self, x: Tensor) -> vri_pyro.ClassifierOutput:
            kept = F.dropout(x, 0.5)
            return vri_pyro.ClassifierOutput(kept, kept)

    x = torch.ones(NOISY, 20)
    torch.manual_seed(3)
    passes = [ReplayedForward(Masked(), Batch(x, x[:, 0].long()).shared().x, count=NOISY) for _ in range(2)]
    found = []
    for forward in passes:
        found.append(forward([]).logits)
        assert torch.equal(found[-1], forward([]).logits)  # a repeated pass has the same mask
    return torch.stack(found)


def run(rank: int, count: int, port: int, folder: Path) -> None:
    """Record every case as one of ``count`` processes, and save what was found."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("ignore")
    with processes.started(), pyro.validation_enabled(False):
        found: dict[str, Any] = {name: record(name) for name in names(count)}
        found["own statistics"] = with_own_statistics()
        found["masks"] = masks_of_dropout()
        found["judged"] = judged()
    torch.save(found, folder / f"{count}-{rank}.pt")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
