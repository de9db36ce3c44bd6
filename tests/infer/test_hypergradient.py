"""Every strategy against the unrolled one, and the unrolled one against a numerical derivative in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vri_pyro import infer
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.interfaces.classifier import ClassifierOutput

from .contracts import HypergradientContract, record_step
from .problems import ATTACHED, Case, seeded
from .toys import Dense

# PyTorch calls torch.jit.script on the first use of forward mode, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


class TestSplitJVP(HypergradientContract):
    strategy = SplitJVP


class TestSplitVJP(HypergradientContract):
    strategy = SplitVJP


class TestSplitFiniteDifference(HypergradientContract):
    strategy = SplitFiniteDifference
    tolerance = 1e-6
    single_tolerance = 3e-2


class TestSplitForwardDifference(HypergradientContract):
    strategy = SplitForwardDifference
    tolerance = 1e-3
    single_tolerance = 1e-1


def test_every_strategy_is_tested() -> None:
    tested = {contract.strategy for contract in HypergradientContract.__subclasses__()}
    exported = {item for item in vars(infer).values() if isinstance(item, type) and issubclass(item, Hypergradient)}
    assert exported - {Hypergradient} == tested | {Unrolled}  # the others are compared with Unrolled


NAIVE_CASES = {
    "detached": Case(particles=2, options={"outer_kl_weight": 0.3}),
    "attached": Case(particles=2, options=ATTACHED | {"inner_kl_weight": 0.2, "outer_kl_weight": 0.3}),
    "inner KL alone": Case(options=ATTACHED | {"inner_kl_weight": 0.2, "outer_kl_weight": 0.0}),
    "BatchNorm": Case(partial(Dense, nn.BatchNorm1d), options=ATTACHED | {"inner_kl_weight": 0.2}),
}


@pytest.mark.parametrize("case", NAIVE_CASES.values(), ids=NAIVE_CASES.keys())
def test_unrolled_equals_the_numerical_derivative_of_the_outer_objective_in_plain_pytorch(case: Case) -> None:
    record, names = record_step(Unrolled(), case)
    algorithm, noisy, clean = seeded(case, Unrolled())
    classifier, model, guide = algorithm.classifier, algorithm.model, algorithm.guide
    noise_shape = (case.particles,) * (case.particles > 1) + (noisy.y.shape[0], classifier.num_classes)
    noise = torch.normal(torch.zeros(noise_shape), torch.ones(noise_shape))  # as Normal.rsample draws it
    weights = {name: p.detach().clone().requires_grad_() for name, p in classifier.named_parameters()}
    buffers = {name: b.clone() for name, b in classifier.named_buffers()}
    rate = algorithm.inner_optimizer.param_groups[0]["lr"]

    def moments(network: Callable[[Tensor], Any], x: Tensor) -> tuple[Tensor, Tensor]:
        normal = network(x).base_dist
        return normal.loc, normal.scale

    def objective() -> Tensor:
        own = {name: buffer.clone() for name, buffer in buffers.items()}
        logits, features, *_ = functional_call(classifier, (weights, own), noisy.x)
        seen = features.detach() if algorithm.detach_features else features
        mean, std = moments(guide.distribution, guide.inputs(ClassifierOutput(logits, seen), noisy.y))
        prior_mean, prior_std = moments(model.prior.network, seen)
        kl = ((prior_std / std).log() + (std**2 + (mean - prior_mean) ** 2) / (2 * prior_std**2) - 0.5).sum(-1).mean()
        rectified = (mean + std * noise).sigmoid() * logits
        labels = noisy.y.expand(rectified.shape[:-1])
        inner = F.cross_entropy(rectified.flatten(0, -2), labels.flatten()) + algorithm.inner_kl_weight * kl
        gradients = torch.autograd.grad(inner, list(weights.values()))
        moved = {name: w - rate * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        clean_logits = functional_call(classifier, (moved, {n: b.clone() for n, b in buffers.items()}), clean.x).logits
        return (F.cross_entropy(clean_logits, clean.y) / rate + algorithm.outer_kl_weight * kl).detach()

    hyperparameters = dict(nn.ModuleDict({"model": model, "guide": guide}).named_parameters())
    step = 1e-5
    compared = 0
    for name, gradient in zip(names, record.gradients, strict=True):
        parameter = hyperparameters[name].detach()
        direction = torch.randn_like(parameter)
        parameter += step * direction
        above = objective()
        parameter -= 2 * step * direction
        below = objective()
        parameter += step * direction
        numerical = (above - below) / (2 * step)
        if gradient is None:
            assert numerical == 0, name
            continue
        compared += 1
        torch.testing.assert_close((gradient * direction).sum(), numerical, rtol=1e-5, atol=1e-9, msg=name)
    assert compared > 0


@pytest.mark.parametrize("strategy", [Unrolled, SplitJVP, SplitVJP])
def test_prior_receives_no_hypergradient_when_nothing_but_a_detached_inner_kl_depends_on_it(strategy: type) -> None:
    case = Case(options={"inner_kl_weight": 1.0, "outer_kl_weight": 0.0})
    record, names = record_step(strategy(), case)
    for name, gradient in zip(names, record.gradients, strict=True):
        assert (gradient is None) == name.startswith("model."), name
