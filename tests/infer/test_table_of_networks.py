"""The documentation's table of the networks that every hypergradient strategy works with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vri_pyro.infer.hypergradient import (
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError

from .problems import Case, seeded
from .test_unusual_networks import WITHOUT_FORWARD_MODE, Applied, Body, Checkpointed, CubeOnce
from .toys import IMAGE, INPUTS, Convolutional, Dense, TokenTransformer, VisionTransformer

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "engine.md"
STRATEGIES: list[type[Hypergradient]] = [SplitJVP, SplitVJP, Unrolled, SplitFiniteDifference, SplitForwardDifference]


def _compiled() -> Classifier:
    # Inductor, the default backend, gives the same table; aot_eager needs no C++ compiler and little time.
    return torch.compile(Convolutional(), backend="aot_eager")  # type: ignore[return-value]


NETWORKS: dict[str, tuple[Callable[[], Classifier], tuple[int, ...]]] = {
    "linear layers, convolutions, BatchNorm, LayerNorm, GroupNorm, dropout": (
        lambda: Dense(nn.BatchNorm1d, 0.5),
        (INPUTS,),
    ),
    "attention: ViT, BERT": (lambda: VisionTransformer(0.1), IMAGE),
    "token embeddings": (TokenTransformer, (INPUTS,)),
    "activation checkpointing (`use_reentrant=False`)": (Checkpointed, (INPUTS,)),
    "`torch.compile`": (_compiled, IMAGE),
    "LSTM, GRU": (lambda: Body(WITHOUT_FORWARD_MODE["LSTM"]()), (INPUTS,)),
    "`cdist`": (lambda: Body(WITHOUT_FORWARD_MODE["cdist"]()), (INPUTS,)),
    "`parametrizations.spectral_norm`": (lambda: Body(WITHOUT_FORWARD_MODE["spectral_norm"]()), (INPUTS,)),
    "`parametrizations.weight_norm`": (lambda: Body(WITHOUT_FORWARD_MODE["weight_norm"]()), (INPUTS,)),
    "an `autograd.Function` without `jvp`": (lambda: Body(WITHOUT_FORWARD_MODE["custom Function"]()), (INPUTS,)),
    "an `autograd.Function` that is differentiable once": (lambda: Body(Applied(CubeOnce.apply)), (INPUTS,)),
}


def _works(build: Callable[[], Classifier], shape: tuple[int, ...], strategy: type[Hypergradient]) -> str:
    svi, noisy, clean = seeded(Case(build, shape=shape), strategy())
    try:
        svi.check(noisy, clean)
        svi.step(noisy, clean)
    except UserError:
        return "no"
    return "exact" if strategy.exact else "approximate"


@pytest.mark.slow
def test_documented_table_is_what_happens() -> None:
    lines = ["| network | " + " | ".join(f"`{one.__name__}`" for one in STRATEGIES) + " |"]
    lines.append("|---" * (len(STRATEGIES) + 1) + "|")
    torch.set_default_dtype(torch.float32)  # in double precision, PyTorch computes an LSTM by other operations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (build, shape) in NETWORKS.items():
            cells: list[Any] = [_works(partial(build), shape, strategy) for strategy in STRATEGIES]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    assert "\n".join(lines) in DOCUMENTATION.read_text()


def test_compiled_classifier_has_the_hypergradient_of_the_plain_one() -> None:
    found = []
    for build in (Convolutional, _compiled):
        svi, noisy, clean = seeded(Case(build, shape=IMAGE), SplitJVP())
        found.append(torch.cat([g.flatten() for g in svi.outer_gradients(noisy, clean) if g is not None]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=0)
