"""Networks that need care: the gradients are right, or the network is refused before it is trained."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from campaign.networks import WIDTH, Cube, CubeOnce, Function
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.optim import SGD, Adam
from torch.utils.checkpoint import checkpoint

from vri_pyro.backbones import CIFARResNet
from vri_pyro.data.batch import Batch
from vri_pyro.infer import adjoint
from vri_pyro.infer.adjoint import EVERY, FIRST, AdjointError
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    Problem,
    Result,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
    adjoint_error,
)
from vri_pyro.infer.probe import StrategyWarning
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods.cross_entropy import CrossEntropyDescent
from vri_pyro.methods.l2rw import L2RWDescent
from vri_pyro.utils.errors import UserError

from .problems import Case, seeded
from .toys import CLASSES, INPUTS, Dense, batch, diagonal_normal, rectification

# PyTorch calls torch.jit.script on the first use of forward mode, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

STRATEGIES = [Unrolled, SplitJVP, SplitVJP, SplitFiniteDifference, SplitForwardDifference]
EXACT = [Unrolled, SplitJVP, SplitVJP]


class Body(Classifier):
    """A classifier of any body, which is called by ``run``."""

    def __init__(self, body: nn.Module, run: Callable[[nn.Module, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.feature_dim, self.num_classes, self.run = WIDTH, CLASSES, run
        self.body, self.top = body, nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Any:
        features = self.body(x) if self.run is None else self.run(self.body, x)
        return ClassifierOutput(self.top(features), features)


Applied = partial(Function, inputs=INPUTS)


def _svi(classifier: Classifier, strategy: Hypergradient | None = None, **options: Any) -> BilevelSVI:
    model, guide = rectification(classifier.feature_dim), diagonal_normal(classifier.feature_dim)
    inner, outer = SGD(classifier.parameters(), lr=0.1), Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
    return BilevelSVI(classifier, model, guide, inner, outer, hypergradient=strategy, **options)


def _state(classifier: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in classifier.state_dict().items()}


def _assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


# --------------------------------------------------------------------------------------------- activation checkpointing


class Checkpointed(Dense):
    """Computes its trunk again in the backward pass."""

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = checkpoint(self.trunk, x, use_reentrant=False)
        return ClassifierOutput(self.top(features), features)


NORMALISATIONS: list[Any] = [nn.Identity, nn.BatchNorm1d, nn.LayerNorm]


@pytest.mark.parametrize("share_forward", [True, False])
@pytest.mark.parametrize("detach_features", [True, False])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_checkpointing_changes_nothing(
    strategy: type[Hypergradient], normalisation: Any, detach_features: bool, share_forward: bool
) -> None:
    options = {"share_forward": share_forward, "detach_features": detach_features, "clean_weight": 0.5}
    found: list[tuple[list[Tensor], dict[str, Tensor]]] = []
    for kind in (Checkpointed, Dense):
        case = Case(partial(kind, normalisation, 0.3), options=options | {"inner_kl_weight": 0.1})
        algorithm, noisy, clean = seeded(case, strategy())
        before = _state(algorithm.classifier)
        gradients = algorithm.outer_gradients(noisy, clean)
        _assert_same(_state(algorithm.classifier), before)
        for _ in range(2):
            algorithm.step(noisy, clean)
        found.append(([g for g in gradients if g is not None], _state(algorithm.classifier)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("build", ["single level", "descent", "L2RW"])
def test_checkpointing_changes_nothing_in_other_algorithms(build: str) -> None:
    states = []
    for kind in (Checkpointed, Dense):
        torch.manual_seed(0)
        classifier = kind(nn.BatchNorm1d, 0.3)
        model, guide = rectification(WIDTH), diagonal_normal(WIDTH)
        everything = [*classifier.parameters(), *model.parameters(), *guide.parameters()]
        algorithm = {
            "single level": lambda: SingleLevelSVI(classifier, model, guide, SGD(everything, lr=0.1)),  # noqa: B023
            "descent": lambda: CrossEntropyDescent(classifier, SGD(classifier.parameters(), lr=0.1)),  # noqa: B023
            "L2RW": lambda: L2RWDescent(classifier, SGD(classifier.parameters(), lr=0.1)),  # noqa: B023
        }[build]()
        noisy, clean = batch(7), batch(5)
        torch.manual_seed(1)
        for _ in range(3):
            algorithm.step(noisy, clean)
        states.append(_state(classifier))
    torch.testing.assert_close(states[0], states[1], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_skipped_step_moves_no_statistics_of_a_checkpointed_network(strategy: type[Hypergradient]) -> None:
    algorithm, noisy, clean = seeded(Case(partial(Checkpointed, nn.BatchNorm1d)), strategy())
    algorithm.step(noisy, clean)
    before = _state(algorithm.classifier)
    algorithm.step(noisy, clean._replace(x=clean.x * torch.nan))
    assert algorithm.skipped == 1
    _assert_same(_state(algorithm.classifier), before)


# ----------------------------------------------------------------------------------------------------- constant buffers


class Masks(Dense):
    """Has constant buffers that are not finite, and buffers that are not floating point."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__(nn.BatchNorm1d)
        self.register_buffer("mask", torch.full((INPUTS, INPUTS), -torch.inf).triu(1))
        self.register_buffer("unknown", torch.tensor([torch.nan, 1.0]))
        self.register_buffer("kept", torch.tensor([True, False]))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> ClassifierOutput:
        self.count += 3
        return super().forward(x)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_constant_buffers_that_are_not_finite_do_not_stop_training(strategy: type[Hypergradient]) -> None:
    svi = _svi(Masks(), strategy())
    before = _state(svi.classifier)
    for _ in range(3):
        assert "loss" in svi.step(batch(7), batch(5))
    assert svi.skipped == 0
    after = _state(svi.classifier)
    assert not torch.equal(after["top.weight"], before["top.weight"])
    assert after["count"] == 9
    for name in ("mask", "unknown", "kept"):
        torch.testing.assert_close(after[name], before[name], equal_nan=True, rtol=0, atol=0)


def test_buffer_that_becomes_non_finite_next_to_entries_that_were_is_still_found() -> None:
    class Overflowing(Masks):
        def forward(self, x: Tensor) -> ClassifierOutput:
            output = super().forward(x)
            self.unknown.mul_(torch.inf if bool((x > 50).any()) else 1.0)
            return output

    svi = _svi(Overflowing())
    noisy, clean = batch(7), batch(5)
    svi.step(noisy, clean)
    metrics = svi.step(noisy._replace(x=torch.full_like(noisy.x, 60.0)), clean)
    assert metrics["loss"].isfinite()
    assert svi.skipped == 1
    assert svi.classifier.unknown[1] == 1


# ----------------------------------------------------------------------------------------------------- adjoint identity


def _under_no_grad(h: Tensor) -> Tensor:
    with torch.no_grad():
        norm = h.norm(dim=-1, keepdim=True)
    return h / norm


def _hooked(h: Tensor) -> Tensor:
    if h.requires_grad:
        h.register_hook(lambda gradient: 0.9 * gradient)
    return h


def _numpy_noise(h: Tensor) -> Tensor:
    return h * torch.from_numpy(np.random.rand(*h.shape)).to(h)  # noqa: NPY002 - as networks do


OTHER_FUNCTIONS = {"no_grad": _under_no_grad, "hook": _hooked, "random numbers of NumPy": _numpy_noise}
every_other = pytest.mark.parametrize("function", OTHER_FUNCTIONS.values(), ids=OTHER_FUNCTIONS.keys())


def _precision(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)  # the fixture of the folder restores it


@every_other
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("strategy", [SplitJVP, SplitFiniteDifference, SplitForwardDifference])
def test_tangent_of_another_function_than_the_gradient_is_refused_before_the_first_step(
    strategy: type[Hypergradient], dtype: torch.dtype, function: Callable[[Tensor], Tensor]
) -> None:
    _precision(dtype)
    svi = _svi(Body(Applied(function)), strategy())
    before = _state(svi.classifier)
    with pytest.raises(UserError, match=r"Body does not work with .* \(relative error .*; use hypergradient SplitVJP$"):
        svi.step(batch(40), batch(40))
    _assert_same(_state(svi.classifier), before)


@every_other
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_default_strategy_is_replaced_with_a_warning(dtype: torch.dtype, function: Callable[[Tensor], Tensor]) -> None:
    _precision(dtype)
    svi = _svi(Body(Applied(function)))
    with pytest.warns(StrategyWarning, match=r"does not work with SplitJVP: .*; SplitVJP is used, which is slower"):
        svi.step(batch(40), batch(40))
    assert isinstance(svi.hypergradient, SplitVJP)
    assert svi.step(batch(40), batch(40))["adjoint_error"] < 1e-6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_low_precision_inside_the_network_is_not_taken_for_a_violation(dtype: torch.dtype) -> None:
    class Autocast(Dense):
        def forward(self, x: Tensor) -> ClassifierOutput:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = super().forward(x)
            return ClassifierOutput(output.logits.to(dtype), output.features.to(dtype))

    _precision(dtype)
    svi = _svi(Autocast(nn.LayerNorm), SplitJVP())
    for _ in range(FIRST + 1):
        assert "loss" in svi.step(batch(40), batch(40))


def test_frozen_trunk_under_no_grad_is_not_a_violation() -> None:
    def run(body: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            return body(x)

    classifier = Body(nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.Tanh()), run)
    classifier.body.requires_grad_(False)
    for strategy in STRATEGIES:
        assert "loss" in _svi(classifier, strategy()).step(batch(7), batch(5))


def test_error_is_that_of_its_definition() -> None:
    u, t, g, s = (torch.randn(5) for _ in range(4))
    found = adjoint_error([u[:2], u[2:]], [t[:2], t[2:]], [g], [s])
    torch.testing.assert_close(found, (u @ t - g @ s).abs() / torch.maximum(u.norm() * t.norm(), (g @ s).abs()))
    zero = torch.zeros(5)
    assert adjoint_error([u], [zero], [g], [s]) == 1
    assert adjoint_error([u], [zero], [g], [zero]) == 0


def test_error_is_reported_in_the_first_steps_and_then_now_and_then() -> None:
    svi = _svi(Dense())
    noisy, clean = batch(7), batch(5)
    reported = [step for step in range(2 * EVERY + 1) if "adjoint_error" in svi.step(noisy, clean)]
    assert reported == [*range(FIRST), EVERY, 2 * EVERY]


def test_restored_algorithm_checks_the_same_steps() -> None:
    noisy, clean = batch(7), batch(5)
    one, other = _svi(Dense()), _svi(Dense())
    for _ in range(FIRST):
        one.step(noisy, clean)
    other.load_state_dict(one.state_dict())
    assert "adjoint_error" not in other.step(noisy, clean)


class Forgetful(SplitJVP):
    """Computes the right result once, before training, and then a tangent of zero, as a broken compiler does."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, problem: Problem) -> Result:
        self.calls += 1
        result = super().__call__(problem)
        return replace(result, adjoint_error=torch.ones(())) if self.calls > 2 else result


def test_violation_in_the_first_steps_raises_and_names_likely_causes() -> None:
    svi = _svi(Dense(), Forgetful())
    svi.check(batch(7), batch(5))
    svi.hypergradient.calls = 10  # type: ignore[attr-defined]
    before = _state(svi.classifier)
    with pytest.raises(AdjointError, match=r"Dense does not work with Forgetful: .* torch\.no_grad .* SplitVJP$"):
        svi.step(batch(7), batch(5))
    _assert_same(_state(svi.classifier), before)


def test_violation_later_is_only_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjoint, "EVERY", 1)
    svi = _svi(Dense(), Forgetful())
    svi.check(batch(7), batch(5))
    svi.adjoint.steps, svi.hypergradient.calls = FIRST, 10  # type: ignore[attr-defined]
    assert svi.step(batch(7), batch(5))["adjoint_error"] == 1


# -------------------------------------------------------------------------------------------------- before the training


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(1, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x[..., None])[0][:, -1]


class Distances(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(WIDTH, INPUTS))

    def forward(self, x: Tensor) -> Tensor:
        return (-torch.cdist(x, self.centres)).exp()


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(1, WIDTH)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.embedding(x[..., None])).mean(1)


WITHOUT_FORWARD_MODE: dict[str, Callable[[], nn.Module]] = {
    "LSTM": Recurrent,
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(INPUTS, WIDTH)),
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(INPUTS, WIDTH)),
    "cdist": Distances,
    "custom Function": lambda: Applied(Cube.apply),
}
every_one_without = pytest.mark.parametrize("build", WITHOUT_FORWARD_MODE.values(), ids=WITHOUT_FORWARD_MODE.keys())


@every_one_without
def test_network_without_forward_mode_is_told_the_strategy_that_works(build: Callable[[], nn.Module]) -> None:
    _precision(torch.float32)
    with pytest.raises(UserError, match=r"^Body does not work with SplitJVP: .*; use hypergradient SplitVJP$"):
        _svi(Body(build()), SplitJVP()).check(batch(7), batch(5))


@every_one_without
def test_network_without_forward_mode_is_trained_with_another_strategy_by_default(
    build: Callable[[], nn.Module],
) -> None:
    _precision(torch.float32)
    svi = _svi(Body(build()))
    with pytest.warns(StrategyWarning, match=r"^Body does not work with SplitJVP: "):
        svi.check(batch(7), batch(5))
    assert isinstance(svi.hypergradient, SplitVJP)
    assert "loss" in svi.step(batch(7), batch(5))  # warns no more: pytest turns a second warning into an error


@pytest.mark.parametrize("strategy", [None, *EXACT])
def test_network_without_forward_mode_and_double_backward_is_told_the_difference(strategy: Any) -> None:
    svi = _svi(Body(Applied(CubeOnce.apply)), strategy and strategy())
    with pytest.raises(UserError, match=r"; use hypergradient SplitFiniteDifference$"):
        svi.check(batch(7), batch(5))
    other = _svi(Body(Applied(CubeOnce.apply)), SplitFiniteDifference())
    assert "loss" in other.step(batch(7), batch(5))


def test_difference_is_not_refused_for_its_own_error_in_a_deep_network() -> None:
    """At this initialisation, a forward difference in double precision has a relative error of 2e-6."""
    _precision(torch.float32)
    torch.manual_seed(0)
    classifier = CIFARResNet((3, 16, 16), CLASSES, depth=32)
    batches = [Batch(torch.randn(16, 3, 16, 16), torch.randint(CLASSES, (16,))) for _ in range(2)]
    _svi(classifier, SplitFiniteDifference()).check(*batches)


def test_attention_works_with_the_default_strategy() -> None:
    for dtype in (torch.float64, torch.float32):
        _precision(dtype)
        svi = _svi(Body(Attention()))
        metrics = svi.step(batch(7), batch(5))
        assert isinstance(svi.hypergradient, SplitJVP)
        assert metrics["adjoint_error"] < (1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("name", ["spectral_norm", "custom Function", "BatchNorm and dropout"])
def test_check_changes_no_parameter_buffer_or_random_state(name: str) -> None:
    build = WITHOUT_FORWARD_MODE.get(name)
    classifier = Dense(nn.BatchNorm1d, 0.5) if build is None else Body(build())
    svi, noisy, clean = _svi(classifier), batch(7), batch(5)
    before, own = _state(classifier), [*classifier.parameters(), *classifier.buffers()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StrategyWarning)
        svi.check(noisy, clean)
    _assert_same(_state(classifier), before)
    assert all(a is b for a, b in zip([*classifier.parameters(), *classifier.buffers()], own, strict=True))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


def _in_place(body: nn.Module, x: Tensor) -> Tensor:
    return body(x.mul_(2.0))


def _reentrant(body: Any, x: Tensor) -> Tensor:
    return checkpoint(body[1:], body[0](x), use_reentrant=True)


class Returning(Dense):
    def __init__(self, change: Callable[[ClassifierOutput], Any]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(super().forward(x))


def _logits(change: Callable[[Tensor], Tensor]) -> Callable[[], Classifier]:
    return lambda: Returning(lambda output: output._replace(logits=change(output.logits)))


def _features(change: Callable[[Tensor], Tensor]) -> Callable[[], Classifier]:
    return lambda: Returning(lambda output: output._replace(features=change(output.features)))


def _misstated(**attributes: int) -> Classifier:
    classifier = Dense()
    for name, value in attributes.items():
        setattr(classifier, name, value)
    return classifier


def _body() -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))


REFUSED: dict[str, tuple[Callable[[], Classifier], str]] = {
    "tuple": (lambda: Returning(tuple), r"returned a tuple; return ClassifierOutput\(logits, features\)"),
    "tensor": (lambda: Returning(lambda output: output.logits), r"returned a Tensor; return ClassifierOutput"),
    "integers": (_logits(lambda t: t.long()), r"returned logits of type torch.int64; return them as float32"),
    "half logits": (_logits(lambda t: t.half()), r"returned logits of type torch.float16; .* such as logits.float"),
    "half features": (_features(lambda t: t.bfloat16()), r"returned features of type torch.bfloat16; "),
    "three dimensions": (_logits(lambda t: t[None]), r"returned logits of shape \[1, 7, 3\]"),
    "missing rows": (_features(lambda t: t[:4]), r"returned 4 rows of features for a batch of 7 examples"),
    "NaN": (_logits(lambda t: t * torch.nan), r"returned NaN in its logits for the first batch, .* are finite"),
    "detached logits": (_logits(lambda t: t.detach()), r"no trainable parameter of Returning influences its logits"),
    "feature_dim": (lambda: _misstated(feature_dim=7), r"features of width 6, but its feature_dim is 7"),
    "num_classes": (lambda: _misstated(num_classes=4), r"logits of width 3, but its num_classes is 4"),
    "too few classes": (
        lambda: Dense(classes=2),
        r"returned logits of 2 classes, but there is a label 2; build it with the number of classes",
    ),
    "input changed in place": (lambda: Body(_body(), _in_place), r"Body.forward changes its input in place"),
    "reentrant checkpointing": (lambda: Body(_body(), _reentrant), r"Body cannot be differentiated: .*use_reentrant"),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_network_is_refused_with_a_sentence(build: Callable[[], Classifier], message: str) -> None:
    classifier = build()
    descent = CrossEntropyDescent(classifier, SGD(classifier.parameters(), lr=0.1))
    for algorithm in (descent, _svi(classifier)):
        with pytest.raises(UserError, match=message) as raised:
            algorithm.check(batch(7), batch(5))
        assert "\n" not in str(raised.value)


def test_batch_with_non_finite_inputs_is_not_blamed_on_the_network() -> None:
    svi, noisy = _svi(Dense()), batch(7)
    noisy.x[0, 0] = torch.nan
    svi.check(noisy, batch(5))


# --------------------------------------------------------------------------------------------------- layers of any kind


def test_lazy_layers_without_a_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"^'body.weight' of Body is lazy and has no shape yet; run the classifier"):
        _svi(Body(nn.LazyLinear(WIDTH)))


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Conv3d": lambda: nn.Sequential(
        nn.Linear(INPUTS, 8), nn.Unflatten(1, (1, 2, 2, 2)), nn.Conv3d(1, WIDTH, 2), nn.BatchNorm3d(WIDTH), nn.Flatten()
    ),
    "LazyLinear": lambda: nn.Sequential(nn.LazyLinear(WIDTH), nn.LazyBatchNorm1d()),
    "LazyConv1d": lambda: nn.Sequential(nn.Unflatten(1, (1, INPUTS)), nn.LazyConv1d(WIDTH, INPUTS), nn.Flatten()),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("strategy", EXACT)
def test_layers_of_other_dimensions_and_lazy_layers_have_the_same_hypergradient(
    strategy: type[Hypergradient], build: Callable[[], nn.Module]
) -> None:
    def classifier() -> Classifier:
        network = Body(build())
        network(torch.zeros(4, INPUTS))
        return network

    gradients = []
    for own in (strategy, Unrolled):
        algorithm, noisy, clean = seeded(Case(classifier), own())
        gradients.append(algorithm.outer_gradients(noisy, clean))
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)
