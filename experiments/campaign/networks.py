"""Unusual networks.

Every network is tried with every hypergradient strategy. Either the outer gradient equals a reference in double
precision, and parameters, buffers and random state stay as they are; or the network is refused with a sentence before
the first step. The reference is a numerical derivative of the objective in plain PyTorch. Where PyTorch's gradients are
not those of the function by design (``detach``, ``no_grad``), it is double backward through the objective. It uses a
twin of the network without activation checkpointing.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from campaign.trial import Trial
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer import (
    BilevelSVI,
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.infer.algorithm import hyperparameters_of
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.models import Rectification
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.utils.errors import UserError

INPUTS, WIDTH, CLASSES, RATE, KL_WEIGHT = 8, 6, 3, 0.1, 0.1
STRATEGIES: dict[str, Callable[[], Hypergradient | None]] = {
    "default": lambda: None,
    "SplitJVP": SplitJVP,
    "SplitVJP": SplitVJP,
    "Unrolled": Unrolled,
    "SplitFiniteDifference": SplitFiniteDifference,
    "SplitForwardDifference": SplitForwardDifference,
}
EXACT = ("default", "SplitJVP", "SplitVJP", "Unrolled")
ALL = tuple(STRATEGIES)
FORWARD_MODE = ("SplitJVP",)
DIFFERENCES = ("SplitFiniteDifference", "SplitForwardDifference")
REVERSE_TWICE = ("SplitVJP", "Unrolled")


class Net(Classifier):
    """A body, whose output are the features, and a linear layer; ``run`` changes how the body is called."""

    def __init__(self, body: nn.Module, run: Callable[[nn.Module, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.feature_dim, self.num_classes, self.run = WIDTH, CLASSES, run
        self.body, self.top = body, nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, 8]."""
        features = self.body(x) if self.run is None else self.run(self.body, x)
        return ClassifierOutput(self.top(features), features)


class Function(nn.Module):
    """A function of its input, between two linear layers."""

    def __init__(self, function: Callable[[Tensor], Tensor], inputs: int = INPUTS) -> None:
        super().__init__()
        self.first, self.function, self.last = nn.Linear(inputs, WIDTH), function, nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        return self.last(self.function(self.first(x)).tanh())


class Masked(nn.Module):
    """A linear layer after an attention-like sum, with constant buffers that are not finite, not float or not used."""

    mask: Tensor

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.linear, self.causal = nn.Linear(INPUTS, WIDTH), causal
        self.register_buffer("mask", torch.full((INPUTS, INPUTS), -torch.inf).triu(1))
        self.register_buffer("unknown", torch.full((2,), torch.nan))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("kept", torch.arange(INPUTS) % 2 == 0)

    def forward(self, x: Tensor) -> Tensor:
        """Average the inputs under the mask."""
        self.seen += 1
        weights = (self.linear.weight.t() @ self.linear.weight + self.mask).softmax(-1) if self.causal else self.kept
        return self.linear(x @ weights.t() if self.causal else x * weights).tanh()


class Recurrent(nn.Module):
    """A recurrent network that reads the inputs in pairs."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells = kind(2, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last output."""
        return self.cells(x.unflatten(-1, (-1, 2)))[0][:, -1]


class Attention(nn.Module):
    """Self-attention over pairs of inputs, averaged."""

    def __init__(self, layer: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Linear(2, WIDTH), layer()

    def forward(self, x: Tensor) -> Tensor:
        """Attend, and average over the positions."""
        tokens = self.embedding(x.unflatten(-1, (-1, 2)))
        if isinstance(self.layer, nn.MultiheadAttention):
            return self.layer(tokens, tokens, tokens, need_weights=False)[0].mean(1)
        return self.layer(tokens).mean(1)


class Distances(nn.Module):
    """Radial basis functions of the distances to learned centres."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(WIDTH, INPUTS))

    def forward(self, x: Tensor) -> Tensor:
        """Return one value per centre."""
        return (-torch.cdist(x, self.centres)).exp()


class Cube(torch.autograd.Function):
    """x³ without forward mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return x³."""
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient, differentiable once more."""
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class CubeOnce(Cube):
    """x³ without forward mode, and with a backward pass that is not differentiable."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient."""
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


def _dense(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, WIDTH), *middle, nn.Tanh(), nn.Linear(WIDTH, WIDTH))


def _volumes() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2, 2)), nn.Conv3d(1, WIDTH, 2, padding=1), nn.BatchNorm3d(WIDTH), nn.Tanh(),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(),
    )  # fmt: skip


def _signals() -> nn.Module:
    convolution = nn.ConvTranspose1d(2, WIDTH, 3)
    return nn.Sequential(nn.Unflatten(1, (2, 4)), convolution, nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def _old_weight_norm() -> nn.Module:
    return nn.utils.weight_norm(nn.Linear(WIDTH, WIDTH))  # deprecated, and in many networks


def _lazy(body: nn.Module) -> nn.Module:
    body(torch.zeros(2, INPUTS))
    return body


def _without_gradient(h: Tensor) -> Tensor:
    with torch.no_grad():
        mean, std = h.mean(0), h.std(0) + 1e-3
    return (h - mean) / std


def _scaled_without_gradient(h: Tensor) -> Tensor:
    with torch.no_grad():
        norm = h.norm(dim=-1, keepdim=True)
    return h / norm


def _detached(h: Tensor) -> Tensor:
    return h / h.norm(dim=-1, keepdim=True).detach()


def _hooked(h: Tensor) -> Tensor:
    if h.requires_grad:
        h.register_hook(lambda gradient: 0.9 * gradient)
    return h


def _noisy(h: Tensor) -> Tensor:
    return h * torch.from_numpy(np.random.rand(*h.shape))  # noqa: NPY002 - as networks do


def _frozen_under_no_grad() -> Net:
    body = _dense().requires_grad_(False)

    def run(body: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            return body(x)

    return Net(body, run)


def _doubled_in_place(body: nn.Module, x: Tensor) -> Tensor:
    return body(x.mul_(2.0))


class Returning(Net):
    """A network that returns something else than it should."""

    def __init__(self, change: Callable[[ClassifierOutput], Any]) -> None:
        super().__init__(_dense())
        self.change = change

    def forward(self, x: Tensor) -> Any:
        """Return the changed output."""
        return self.change(super().forward(x))


def _wrong_feature_dim() -> Net:
    network = Net(_dense())
    network.feature_dim = WIDTH + 1
    return network


def _checkpointed(*middle: nn.Module) -> Net:
    return Net(_dense(*middle), lambda body, x: checkpoint(body, x, use_reentrant=False))


def _reentrant(body: Any, x: Tensor) -> Tensor:
    return checkpoint(body[1:], body[0](x), use_reentrant=True)


@dataclass(frozen=True)
class Case:
    """A network, and what is expected of it.

    Attributes:
        build: constructor of the network.
        refused: strategies with which it must be refused.
        plain: whether the reference calls the body directly.
        numerical: whether the reference is a numerical derivative, or double backward.
    """

    build: Callable[[], Classifier]
    refused: tuple[str, ...] = ()
    plain: bool = False
    numerical: bool = True


def _body(body: Callable[[], nn.Module], refused: tuple[str, ...] = (), numerical: bool = True) -> Case:
    return Case(lambda: Net(body()), refused, numerical=numerical)


def _function(function: Callable[[Tensor], Tensor], refused: tuple[str, ...] = (), numerical: bool = True) -> Case:
    return Case(lambda: Net(Function(function)), refused, numerical=numerical)


def _returning(change: Callable[[ClassifierOutput], Any]) -> Case:
    return Case(lambda: Returning(change), ALL)


RIGHT: dict[str, Case] = {
    "checkpointing": Case(lambda: _checkpointed(), plain=True),
    "checkpointing, BatchNorm": Case(lambda: _checkpointed(nn.BatchNorm1d(WIDTH)), plain=True),
    "checkpointing, dropout": Case(lambda: _checkpointed(nn.Dropout(0.3)), plain=True),
    "Conv3d, BatchNorm": _body(_volumes),
    "transposed Conv1d": _body(_signals),
    "LazyLinear": _body(lambda: _lazy(nn.Sequential(nn.LazyLinear(WIDTH), nn.LazyBatchNorm1d(), nn.Tanh()))),
    "LazyConv1d": _body(
        lambda: _lazy(nn.Sequential(nn.Unflatten(1, (2, 4)), nn.LazyConv1d(WIDTH, 4), nn.Tanh(), nn.Flatten()))
    ),
    "masks of -inf": _body(partial(Masked, causal=True)),
    "boolean and NaN buffers": _body(partial(Masked, causal=False)),
    "GroupNorm": _body(lambda: _dense(nn.GroupNorm(2, WIDTH))),
    "RMSNorm": _body(lambda: _dense(nn.RMSNorm(WIDTH))),
    "InstanceNorm": _function(lambda h: F.instance_norm(h.unflatten(-1, (2, -1))).flatten(-2)),
    "dropout": _body(lambda: _dense(nn.Dropout(0.3))),
    "AlphaDropout": _body(lambda: _dense(nn.AlphaDropout(0.3))),
    "RReLU": _body(lambda: _dense(nn.RReLU(0.1, 0.3))),
    "PReLU": _body(lambda: _dense(nn.PReLU())),
    "GELU": _body(lambda: _dense(nn.GELU())),
    "in-place activation inside": _body(lambda: _dense(nn.SiLU(inplace=True))),
    "gated linear unit": _body(lambda: nn.Sequential(nn.Linear(INPUTS, 2 * WIDTH), nn.GLU(), nn.Linear(WIDTH, WIDTH))),
    "LSTM": _body(partial(Recurrent, nn.LSTM)),
    "GRU": _body(partial(Recurrent, nn.GRU)),
    "frozen trunk under no_grad": Case(_frozen_under_no_grad),
    "detached scale": _function(_detached, DIFFERENCES, numerical=False),
}
WITHOUT_FORWARD_MODE: dict[str, Case] = {
    "weight_norm": _body(lambda: _dense(parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))), FORWARD_MODE),
    "spectral_norm": _body(lambda: _dense(parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH))), FORWARD_MODE),
    "old spectral_norm": _body(
        lambda: _dense(nn.utils.spectral_norm(nn.Linear(WIDTH, WIDTH))), FORWARD_MODE + DIFFERENCES, numerical=False
    ),
    "old weight_norm": _body(lambda: _dense(_old_weight_norm()), FORWARD_MODE),
    "cdist": _body(Distances, FORWARD_MODE),
    "multi-head attention": _body(
        partial(Attention, partial(nn.MultiheadAttention, WIDTH, 2, batch_first=True)), REVERSE_TWICE
    ),
    "transformer layer": _body(
        partial(Attention, partial(nn.TransformerEncoderLayer, WIDTH, 2, 8, batch_first=True, dropout=0.0)),
        REVERSE_TWICE,
    ),
    "custom Function": _function(Cube.apply, FORWARD_MODE),
    "custom Function, once differentiable": _function(CubeOnce.apply, EXACT),
}
OTHER_FUNCTIONS: dict[str, Case] = {
    "statistics under no_grad": _function(_without_gradient, FORWARD_MODE + DIFFERENCES, numerical=False),
    "scale under no_grad": _function(_scaled_without_gradient, FORWARD_MODE + DIFFERENCES, numerical=False),
    "gradient changed by a hook": _function(_hooked, FORWARD_MODE + DIFFERENCES, numerical=False),
    "random numbers of NumPy": _function(_noisy, FORWARD_MODE + DIFFERENCES),
}
REFUSED: dict[str, Case] = {
    "input changed in place": Case(lambda: Net(_dense(), _doubled_in_place), ALL),
    "reentrant checkpointing": Case(lambda: Net(_dense(), _reentrant), ALL),
    "integer logits": _returning(lambda output: output._replace(logits=output.logits.round().long())),
    "half logits": _returning(lambda output: output._replace(logits=output.logits.half())),
    "bfloat16 features": _returning(lambda output: output._replace(features=output.features.bfloat16())),
    "tuple": _returning(lambda output: (output.logits, output.features)),
    "tensor": _returning(lambda output: output.logits),
    "logits of three dimensions": _returning(lambda output: output._replace(logits=output.logits[None])),
    "too few classes": _returning(lambda output: output._replace(logits=output.logits[:, :2])),
    "half of the rows": _returning(lambda output: output._replace(features=output.features[:3])),
    "NaN logits": _returning(lambda output: output._replace(logits=output.logits * torch.nan)),
    "detached logits": _returning(lambda output: output._replace(logits=output.logits.detach())),
    "wrong feature_dim": Case(_wrong_feature_dim, ALL),
    "lazy layer without a shape": Case(lambda: Net(nn.LazyLinear(WIDTH)), ALL),
}
GROUPS = {
    "right with every strategy": RIGHT,
    "without forward mode": WITHOUT_FORWARD_MODE,
    "tangent of another function": OTHER_FUNCTIONS,
    "refused": REFUSED,
}


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Try every network with every strategy."""
    for group, cases in GROUPS.items():
        for name, case in list(cases.items())[: 1 if quick else None]:
            for strategy in ("default", "SplitJVP") if quick else STRATEGIES:
                with _settings():
                    survived, detail = _tried(case, strategy)
                yield Trial(group, f"{name}, {strategy}", survived, detail)


@contextmanager
def _settings() -> Iterator[None]:
    """Use double precision, fixed random states, and no warnings; restore everything afterwards."""
    dtype, numpy = torch.get_default_dtype(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            np.random.set_state(numpy)  # noqa: NPY002


def _tried(case: Case, strategy: str) -> tuple[bool, str]:
    expected = strategy in case.refused
    try:
        svi, noisy, clean = _problem(case, STRATEGIES[strategy]())
        before = _state(svi)
        torch.manual_seed(1)
        gradients = svi.outer_gradients(noisy, clean)
    except UserError as error:
        return expected and "\n" not in str(error), f"refused: {error}"
    except Exception as error:  # whatever else is raised is what the section looks for
        return False, f"{type(error).__name__}: {error}"
    if expected:
        return False, "not refused"
    if changed := [name for name, value in _state(svi).items() if not _same(value, before[name])]:
        return False, f"changed {', '.join(changed)}"
    error = _error(svi, case, noisy, clean, gradients)
    if not error < (1e-5 if strategy in EXACT else 1e-2):
        return False, f"relative error {error:.1e}"
    metrics = [svi.step(noisy, clean) for _ in range(2)]
    if svi.skipped or not all("loss" in found and bool(found["loss"].isfinite()) for found in metrics):
        return False, "a step was skipped"
    return True, f"relative error {error:.1e}, with {type(svi.hypergradient).__name__}"


def _problem(case: Case, strategy: Hypergradient | None) -> tuple[BilevelSVI, Batch, Batch]:
    classifier = case.build()
    prior = partial(PriorNetwork, hidden=(4,))
    model = Rectification(WIDTH, CLASSES, prior=prior)
    guide = DiagonalNormal(WIDTH, CLASSES, hidden=(4,))
    svi = BilevelSVI(
        classifier,
        model,
        guide,
        torch.optim.SGD(classifier.parameters(), lr=RATE),
        torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=1e-3),
        outer_kl_weight=KL_WEIGHT,
        hypergradient=strategy,
    )
    noisy, clean = (Batch(torch.randn(size, INPUTS), torch.arange(size) % CLASSES) for size in (9, 7))
    return svi, noisy, clean


def _state(svi: BilevelSVI) -> dict[str, Tensor]:
    named = (*svi.classifier.named_parameters(), *svi.classifier.named_buffers())
    return {name: value.detach().clone() for name, value in named}


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) if a.is_floating_point() else torch.equal(a, b)


def _error(svi: BilevelSVI, case: Case, noisy: Batch, clean: Batch, gradients: list[Tensor | None]) -> float:
    """Relative error of the gradients along a random direction."""
    classifier = copy.copy(svi.classifier)
    if case.plain:
        classifier.run = None
    hyperparameters = list(hyperparameters_of(svi.model, svi.guide).values())
    directions = [torch.randn_like(p) for p in hyperparameters]

    def along(gradients: Sequence[Tensor | None]) -> Tensor:
        return sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)

    if case.numerical:
        expected = _central_difference(hyperparameters, directions, lambda: _objective(svi, classifier, noisy, clean))
    else:
        objective = _objective(svi, classifier, noisy, clean)
        expected = along(torch.autograd.grad(objective, hyperparameters, allow_unused=True))
    return float((along(gradients) - expected).abs() / expected.abs())


def _central_difference(
    parameters: Sequence[Tensor], directions: Sequence[Tensor], objective: Callable[[], Tensor], step: float = 1e-5
) -> Tensor:
    values = []
    for offset in (step, -2 * step):
        with torch.no_grad():
            for p, direction in zip(parameters, directions, strict=True):
                p += offset * direction
        values.append(objective().detach())
    with torch.no_grad():
        for p, direction in zip(parameters, directions, strict=True):
            p += step * direction
    return (values[0] - values[1]) / (2 * step)


def _objective(svi: BilevelSVI, classifier: nn.Module, noisy: Batch, clean: Batch) -> Tensor:
    """The outer objective in plain PyTorch, with the random numbers of :meth:`BilevelSVI.outer_gradients`."""
    torch.manual_seed(1)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    weights = {name: p for name, p in classifier.named_parameters() if p.requires_grad}

    def run(parameters: Mapping[str, Tensor], x: Tensor) -> ClassifierOutput:
        buffers = {name: b.clone() for name, b in classifier.named_buffers()}
        return functional_call(classifier, {**parameters, **buffers}, (x,))

    output = run(weights, noisy.x)
    terms = svi.elbo.terms(svi.model, svi.guide, output._replace(features=output.features.detach()), noisy.y)
    inner = torch.autograd.grad(
        terms.loss(0.0), list(weights.values()), create_graph=True, allow_unused=True, materialize_grads=True
    )
    moved = {name: w - RATE * g for (name, w), g in zip(weights.items(), inner, strict=True)}
    loss = F.cross_entropy(run(moved, clean.x).logits, clean.y)
    return loss / RATE + KL_WEIGHT * terms.mean_kl()
