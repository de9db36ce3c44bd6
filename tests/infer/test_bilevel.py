"""The bi-level step: what it updates, by how much, and what it leaves unchanged."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pyro
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, RMSprop

from vri_pyro.data.batch import Batch
from vri_pyro.guides import NoLatents
from vri_pyro.infer.algorithm import hyperparameters_of
from vri_pyro.infer.bilevel import BilevelSVI, StructuralZeroWarning
from vri_pyro.infer.elbo import ELBOTerms, RectificationELBO
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.methods.bilevel import Bilevel
from vri_pyro.methods.single_level import SingleLevel
from vri_pyro.models import CrossEntropy
from vri_pyro.utils.errors import UserError

from .contracts import Recorder, record_step
from .problems import ATTACHED, Case, plain_sgd, seeded
from .toys import CLASSES, AssignedBuffer, Dense, diagonal_normal, rectification

# PyTorch calls torch.jit.script on the first use of forward mode, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

STRATEGIES = [Unrolled, SplitJVP, SplitVJP, SplitFiniteDifference, SplitForwardDifference]
BATCH_NORM = Case(partial(Dense, nn.BatchNorm1d))
DROPOUT = Case(partial(Dense, nn.BatchNorm1d, 0.5))
shared_or_not = pytest.mark.parametrize("share_forward", [True, False])


def _with(case: Case, **options: Any) -> Case:
    return replace(case, options={**case.options, **options})


def _state(algorithm: BilevelSVI | SingleLevelSVI) -> dict[str, Any]:
    return copy.deepcopy(algorithm.state_dict())


def _assert_same_state(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


def _parameters(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def _moved(before: dict[str, Tensor], module: nn.Module) -> dict[str, bool]:
    return {name: not torch.equal(p, before[name]) for name, p in module.named_parameters()}


# -------------------------------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_step_reports_detached_scalars_under_the_documented_names(strategy: type) -> None:
    algorithm, noisy, clean = seeded(Case(), strategy())
    metrics = algorithm.step(noisy, clean)
    adjoint = {"adjoint_error"} if strategy is not Unrolled else set()
    assert set(metrics) == adjoint | {
        "loss", "inner_loss", "meta_loss", "kl", "hypergradient_norm", "gradient_norm",
        "hypergradient_norm/model", "hypergradient_norm/guide",
        "kl/v", "posterior_std/v", "posterior_variance_norm/v", "prior_std/v",
    }  # fmt: skip
    for name, value in metrics.items():
        assert value.shape == (), name
        assert not value.requires_grad, name
        assert value.isfinite(), name


def test_reported_losses_and_norms_are_those_of_their_definitions() -> None:
    algorithm, noisy, clean = seeded(_with(Case(), inner_kl_weight=0.5), SplitJVP())
    before = copy.deepcopy(algorithm)
    metrics = algorithm.step(noisy, clean)
    torch.manual_seed(1)
    output = ClassifierOutput(*before.classifier(noisy.x))
    terms = RectificationELBO().terms(before.model, before.guide, output, noisy.y)
    torch.testing.assert_close(metrics["inner_loss"], terms.loss(0.5).detach())
    torch.testing.assert_close(metrics["kl"], terms.kl["v"].mean().detach())
    torch.testing.assert_close(metrics["kl/v"], metrics["kl"])
    torch.testing.assert_close(metrics["posterior_std/v"], terms.posterior["v"].variance.sqrt().mean().detach())
    variance = terms.posterior["v"].variance.detach()
    torch.testing.assert_close(metrics["posterior_variance_norm/v"], variance.square().sum(-1).sqrt().mean())
    torch.testing.assert_close(metrics["prior_std/v"], terms.prior["v"].variance.sqrt().mean().detach())
    pairs = zip(algorithm.classifier.parameters(), before.classifier.parameters(), strict=True)
    moved = torch.cat([(a - b).detach().flatten() for a, b in pairs])
    torch.testing.assert_close(metrics["gradient_norm"], moved.norm() / 0.1)


def test_hypergradient_norm_is_reported_for_model_and_guide() -> None:
    algorithm, noisy, clean = seeded(Case(), SplitJVP())
    algorithm.hypergradient = recorder = Recorder(SplitJVP())
    metrics = algorithm.step(noisy, clean)
    names = list(hyperparameters_of(algorithm.model, algorithm.guide))
    for group in ("model", "guide", ""):
        chosen = [g.flatten() for name, g in zip(names, recorder.gradients, strict=True) if name.startswith(group)]
        reported = metrics[f"hypergradient_norm/{group}".rstrip("/")]
        torch.testing.assert_close(reported, torch.cat(chosen).norm())


def test_hypergradient_norm_is_zero_for_parameters_without_hypergradient() -> None:
    algorithm, noisy, clean = seeded(Case(options={"inner_kl_weight": 0.5, "outer_kl_weight": 0.0}), SplitJVP())
    with pytest.warns(StructuralZeroWarning):
        metrics = algorithm.step(noisy, clean)
    assert metrics["hypergradient_norm/model"] == 0
    assert metrics["hypergradient_norm/guide"] == metrics["hypergradient_norm"] > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", [BATCH_NORM, DROPOUT], ids=["BatchNorm", "dropout"])
def test_outer_gradients_are_those_of_the_next_step_and_move_nothing(case: Case, strategy: type) -> None:
    algorithm, noisy, clean = seeded(case, strategy())
    before = _state(algorithm)
    gradients = algorithm.outer_gradients(noisy, clean)
    _assert_same_state(_state(algorithm), before)
    algorithm.hypergradient = recorder = Recorder(strategy())
    torch.manual_seed(1)
    algorithm.step(noisy, clean)
    for ours, steps in zip(gradients, recorder.gradients, strict=True):
        assert torch.equal(ours, steps)


# -------------------------------------------------------------------------------------------------------------- updates


@shared_or_not
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batch_norm_statistics_move_once_to_those_of_one_plain_forward(strategy: type, share_forward: bool) -> None:
    algorithm, noisy, clean = seeded(_with(BATCH_NORM, share_forward=share_forward, clean_weight=0.5), strategy())
    plain = copy.deepcopy(algorithm.classifier)
    for steps in (1, 2):
        plain.load_state_dict(algorithm.classifier.state_dict())
        plain(noisy.x)
        algorithm.step(noisy, clean)
        buffers = dict(algorithm.classifier.named_buffers())
        assert buffers["trunk.1.num_batches_tracked"] == steps + 1  # one forward pass ran before the first step
        for name, expected in plain.named_buffers():
            torch.testing.assert_close(buffers[name], expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("options", [{}, ATTACHED | {"inner_kl_weight": 0.1}], ids=["detached", "attached"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", [BATCH_NORM, DROPOUT], ids=["BatchNorm", "dropout"])
def test_sharing_the_forward_changes_nothing(case: Case, strategy: type, options: dict[str, Any]) -> None:
    states = []
    for share_forward in (True, False):
        algorithm, noisy, clean = seeded(_with(case, share_forward=share_forward, **options), strategy())
        for _ in range(3):
            algorithm.step(noisy, clean)
        states.append(algorithm.state_dict())
    torch.testing.assert_close(*states, rtol=1e-12, atol=1e-12)


@shared_or_not
@pytest.mark.parametrize("detach_features", [True, False])
def test_real_step_descends_the_rectified_loss_under_the_new_guide_without_its_kl(
    detach_features: bool, share_forward: bool
) -> None:
    options = {"share_forward": share_forward, "detach_features": detach_features, "inner_kl_weight": 0.7}
    algorithm, noisy, clean = seeded(_with(Case(), clean_weight=0.0, **options), SplitJVP())
    algorithm.outer_optimizer.param_groups[0]["lr"] = 0.1  # old and new guide are clearly different
    old = _parameters(algorithm.classifier)
    plain = copy.deepcopy(algorithm.classifier)
    algorithm.step(noisy, clean)

    shape = (noisy.y.shape[0], CLASSES)
    torch.manual_seed(1)
    torch.normal(torch.zeros(shape), torch.ones(shape))  # the virtual step's noise
    noise = torch.normal(torch.zeros(shape), torch.ones(shape))
    output = plain(noisy.x)
    features = output.features.detach() if detach_features else output.features
    guide = algorithm.guide
    q = guide.posterior(output._replace(features=features), noisy.y)
    F.cross_entropy((q.mean + q.stddev * noise).sigmoid() * output.logits, noisy.y).backward()
    for name, p in plain.named_parameters():
        expected = old[name] - 0.1 * p.grad
        torch.testing.assert_close(dict(algorithm.classifier.named_parameters())[name].detach(), expected)


def test_clean_weight_adds_exactly_the_clean_gradient_to_the_real_step() -> None:
    weights, steps = [], (0.0, 0.6)
    for clean_weight in steps:
        algorithm, noisy, clean = seeded(_with(BATCH_NORM, clean_weight=clean_weight), SplitJVP())
        before = copy.deepcopy(algorithm.classifier)
        algorithm.step(noisy, clean)
        weights.append(_parameters(algorithm.classifier))
    F.cross_entropy(before(clean.x).logits, clean.y).backward()
    for name, p in before.named_parameters():
        torch.testing.assert_close(weights[1][name] - weights[0][name], -0.1 * 0.6 * p.grad)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frozen_parameters_stay_and_every_other_one_moves(strategy: type) -> None:
    algorithm, noisy, clean = seeded(Case(), strategy())
    algorithm.classifier.trunk.requires_grad_(False)
    frozen = BilevelSVI(
        algorithm.classifier,
        algorithm.model,
        algorithm.guide,
        algorithm.inner_optimizer,
        algorithm.outer_optimizer,
        hypergradient=strategy(),
    )
    before = {part: _parameters(getattr(frozen, part)) for part in ("classifier", "model", "guide")}
    frozen.step(noisy, clean)
    for name, moved in _moved(before["classifier"], frozen.classifier).items():
        assert moved == name.startswith("top."), name
    for part in ("model", "guide"):
        assert all(_moved(before[part], getattr(frozen, part)).values()), part


def test_guide_steps_along_the_hypergradient_with_its_own_optimiser() -> None:
    algorithm, noisy, clean = seeded(Case(), SplitJVP())
    algorithm.outer_optimizer = SGD(algorithm.outer_optimizer.param_groups[0]["params"], lr=0.25)
    algorithm.hypergradient = recorder = Recorder(SplitJVP())
    before = {**_parameters(algorithm.model), **_parameters(algorithm.guide)}
    algorithm.step(noisy, clean)
    after = {**_parameters(algorithm.model), **_parameters(algorithm.guide)}
    for (name, p), gradient in zip(before.items(), recorder.gradients, strict=True):
        torch.testing.assert_close(after[name], p - 0.25 * gradient)


# ----------------------------------------------------------------------------------------------------- structural zeros


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_as_released_the_prior_is_reported_as_untrainable_and_stays(strategy: type) -> None:
    algorithm, noisy, clean = seeded(Case(options={"inner_kl_weight": 0.5, "outer_kl_weight": 0.0}), strategy())
    before, guide = _parameters(algorithm.model), _parameters(algorithm.guide)
    with pytest.warns(StructuralZeroWarning, match=r"reach model.* \(detach_features=True, inner_kl_weight=0\.5"):
        algorithm.step(noisy, clean)
    algorithm.step(noisy, clean)  # warns only once: pytest turns a second warning into an error
    assert algorithm.structural_zeros == ("model",)
    assert not any(_moved(before, algorithm.model).values())
    assert all(_moved(guide, algorithm.guide).values())


TRAINS_THE_PRIOR = {
    "attached inner KL": ATTACHED | {"inner_kl_weight": 0.5, "outer_kl_weight": 0.0},
    "outer KL": {"outer_kl_weight": 0.5},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("options", TRAINS_THE_PRIOR.values(), ids=TRAINS_THE_PRIOR.keys())
def test_kl_that_reaches_the_prior_trains_it(options: dict[str, Any], strategy: type) -> None:
    algorithm, noisy, clean = seeded(Case(options=options), strategy())
    before = _parameters(algorithm.model)
    algorithm.step(noisy, clean)
    assert algorithm.structural_zeros == ()
    assert all(_moved(before, algorithm.model).values())


def test_structural_zero_names_the_largest_module_that_is_zero_throughout() -> None:
    class TwoPriors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = rectification(6)
            self.idle = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})

        def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
            return self.used(output, y)

    case = Case(model=lambda feature_dim: TwoPriors())  # type: ignore[return-value]
    algorithm, noisy, clean = seeded(case, SplitJVP())
    with pytest.warns(StructuralZeroWarning, match=r"reach model\.idle in"):
        algorithm.step(noisy, clean)
    assert algorithm.structural_zeros == ("model.idle",)


# ---------------------------------------------------------------------------------------------------- weights of the KL


def _clean_and_kl_parts(strategy: Hypergradient, rate: float) -> tuple[Tensor, Tensor]:
    """The two summands of the outer gradient, separated by doubling the weight of the KL."""

    def gradient(outer_kl_weight: float) -> Tensor:
        case = Case(inner_optimizer=partial(SGD, lr=rate), options={"outer_kl_weight": outer_kl_weight})
        return torch.cat([g.flatten() for g in record_step(strategy, case)[0].gradients if g is not None])

    once, twice = gradient(0.1), gradient(0.2)
    return 2 * once - twice, twice - once


@pytest.mark.parametrize("strategy", [Unrolled, SplitJVP, SplitVJP])
def test_balance_of_clean_loss_and_kl_does_not_depend_on_the_learning_rate(strategy: type) -> None:
    at_large, at_small = (_clean_and_kl_parts(strategy(), rate) for rate in (1e-3, 1e-5))
    for large, small in zip(at_large, at_small, strict=True):
        assert small.norm() > 0
        assert F.cosine_similarity(large, small, dim=0) > 0.999
        assert abs(large.norm() / small.norm() - 1) < 0.01


def test_outer_kl_weight_adds_that_many_gradients_of_the_mean_kl() -> None:
    options = ATTACHED | {"inner_kl_weight": 0.1}
    algorithm, noisy, _ = seeded(Case(options=options), SplitJVP())
    output = algorithm.classifier(noisy.x)
    kl = algorithm.elbo.terms(algorithm.model, algorithm.guide, output, noisy.y).kl["v"].mean()
    hyperparameters = [*algorithm.model.parameters(), *algorithm.guide.parameters()]
    without, _ = record_step(SplitJVP(), Case(options=options | {"outer_kl_weight": 0.0}))
    weighted, _ = record_step(SplitJVP(), Case(options=options | {"outer_kl_weight": 0.2}))
    direct = torch.autograd.grad(kl, hyperparameters)
    for a, b, expected in zip(weighted.gradients, without.gradients, direct, strict=True):
        torch.testing.assert_close(a - b, 0.2 * expected)


# ---------------------------------------------------------------------------------------------------- non-finite values


def _poisoned(batch: Batch, value: float) -> Batch:
    x = batch.x.clone()
    x[1, 0] = value
    return batch._replace(x=x)


@pytest.mark.filterwarnings("ignore:Encountered NaN")
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["noisy", "clean"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batch_that_is_not_finite_changes_nothing(strategy: type, which: str, poison: float) -> None:
    algorithm, noisy, clean = seeded(replace(BATCH_NORM, inner_optimizer=partial(Adam, lr=0.01)), strategy())
    algorithm.step(noisy, clean)  # so that both optimisers have state
    before = _state(algorithm)
    batches = {"noisy": noisy, "clean": clean}
    batches[which] = _poisoned(batches[which], poison)
    with pyro.validation_enabled(False):  # with validation on, Pyro itself raises on NaN logits
        metrics = algorithm.step(**batches)
    after = _state(algorithm)
    assert after.pop("guard") == {"skipped": 1, "in_a_row": 1}
    before.pop("guard")
    _assert_same_state(after, before)
    assert not metrics["meta_loss"].isfinite()
    algorithm.step(noisy, clean)
    assert _moved(dict(before["classifier"]), algorithm.classifier)["top.weight"]


def test_too_many_consecutive_non_finite_steps_raise_and_name_the_quantity() -> None:
    algorithm, noisy, clean = seeded(_with(BATCH_NORM, max_skipped=3), SplitJVP())
    broken = _poisoned(clean, float("nan"))
    for _ in range(2):
        algorithm.step(noisy, broken)
    assert algorithm.guard.skipped == 2
    before = _parameters(algorithm.classifier)
    with pytest.raises(NonFiniteError, match=r"^meta_loss, hypergradient_norm: non-finite for 3 consecutive steps"):
        algorithm.step(noisy, broken)
    assert not any(_moved(before, algorithm.classifier).values())


def test_finite_step_resets_the_count() -> None:
    algorithm, noisy, clean = seeded(_with(BATCH_NORM, max_skipped=2), SplitJVP())
    broken = _poisoned(clean, float("nan"))
    for _ in range(3):
        algorithm.step(noisy, broken)
        algorithm.step(noisy, clean)
    assert algorithm.guard.skipped == 3


class _BrokenOnceInTwo(RectificationELBO):
    """An estimator that returns NaN in every second evaluation, which is that of the real step."""

    evaluations = 0

    def terms(self, *args: Any, **kwargs: Any) -> ELBOTerms:
        self.evaluations += 1
        terms = super().terms(*args, **kwargs)
        factor = float("nan") if self.evaluations % 2 == 0 else 1.0
        return replace(terms, log_likelihood=factor * terms.log_likelihood)


def test_real_step_that_is_not_finite_leaves_the_classifier_alone() -> None:
    algorithm, noisy, clean = seeded(BATCH_NORM, SplitJVP())
    algorithm.elbo = _BrokenOnceInTwo()
    before = copy.deepcopy(algorithm.classifier.state_dict())
    metrics = algorithm.step(noisy, clean)
    assert metrics["loss"].isnan()
    assert algorithm.guard.skipped == 1
    _assert_same_state(dict(algorithm.classifier.state_dict()), dict(before))


def test_too_many_consecutive_non_finite_real_steps_raise() -> None:
    algorithm, noisy, clean = seeded(_with(BATCH_NORM, max_skipped=3), SplitJVP())
    algorithm.elbo = _BrokenOnceInTwo()
    for _ in range(2):
        algorithm.step(noisy, clean)
    with pytest.raises(NonFiniteError, match=r"^loss, gradient_norm: non-finite for 3 consecutive steps"):
        algorithm.step(noisy, clean)


# ---------------------------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("inner_optimizer", [partial(SGD, lr=0.1, momentum=0.9), partial(Adam, lr=0.01)])
def test_restored_state_takes_the_same_next_steps(inner_optimizer: Callable) -> None:
    case = replace(DROPOUT, inner_optimizer=inner_optimizer)
    algorithm, noisy, clean = seeded(case, SplitJVP())
    for _ in range(3):
        algorithm.step(noisy, clean)
    file = io.BytesIO()
    torch.save(algorithm.state_dict(), file)
    random_state = torch.get_rng_state()
    expected = [algorithm.step(noisy, clean) for _ in range(3)]

    restored, _, _ = seeded(case, SplitJVP(), seed=99)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    torch.set_rng_state(random_state)
    _assert_same_state([restored.step(noisy, clean) for _ in range(3)], expected)
    _assert_same_state(_state(restored), _state(algorithm))


def test_state_keeps_the_guards_count() -> None:
    algorithm, noisy, clean = seeded(_with(BATCH_NORM, max_skipped=2), SplitJVP())
    broken = _poisoned(clean, float("nan"))
    algorithm.step(noisy, broken)
    restored, _, _ = seeded(_with(BATCH_NORM, max_skipped=2), SplitJVP())
    restored.load_state_dict(_state(algorithm))
    with pytest.raises(NonFiniteError):
        restored.step(noisy, broken)


def test_state_keeps_the_structural_zeros() -> None:
    algorithm, noisy, clean = seeded(_with(Case(), inner_kl_weight=1.0, outer_kl_weight=0.0), SplitJVP())
    with pytest.warns(StructuralZeroWarning):
        algorithm.step(noisy, clean)
    restored, _, _ = seeded(Case(), SplitJVP())
    restored.load_state_dict(_state(algorithm))
    assert restored.structural_zeros == algorithm.structural_zeros != ()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_buffer_that_forward_assigns_moves_once_a_step(strategy: type) -> None:
    algorithm, noisy, clean = seeded(Case(AssignedBuffer), strategy())
    before = algorithm.classifier.calls.item()
    algorithm.step(noisy, clean)
    assert algorithm.classifier.calls.item() == before + 1


def test_buffers_that_are_not_finite_are_not_committed() -> None:
    algorithm, noisy, clean = seeded(BATCH_NORM, SplitJVP())
    before = copy.deepcopy(algorithm.classifier.state_dict())
    algorithm.step(noisy._replace(x=noisy.x * 1e200), clean)  # the loss stays finite, the running variance does not
    assert algorithm.guard.skipped == 1
    _assert_same_state(algorithm.classifier.state_dict(), before)


# --------------------------------------------------------------------------------------------------------------- errors


class Stored(Guide):
    """A guide that uses ``pyro.param``; with ``picky`` it raises if all logits are zero."""

    def __init__(self, *_: int, picky: bool = False) -> None:
        super().__init__()
        self.picky = picky

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        location = pyro.param("location", torch.zeros(CLASSES))
        if self.picky and not output.logits.any():
            raise ValueError("all logits are zero")
        with pyro.plate("data", len(y)):
            pyro.sample("v", pyro.distributions.Normal(location, 1.0).to_event(1))


@pytest.mark.parametrize("picky", [False, True])
def test_pyro_param_is_refused_because_nothing_would_train_it(picky: bool) -> None:
    refusal = pytest.raises(UserError, match=r"pyro\.param for 'location'")
    algorithm, noisy, clean = seeded(Case(guide=lambda _: Stored(picky=picky)), SplitJVP())
    with refusal:
        algorithm.step(noisy, clean)
    guide = partial(Stored, picky=picky)

    def rectified(width: int, _: int) -> Model:
        return rectification(width)

    for method in (Bilevel(rectified, guide, partial(Adam, lr=0.01)), SingleLevel(rectified, guide)):
        with refusal:
            method.build(algorithm.classifier, plain_sgd).step(noisy, clean)
    assert "location" not in pyro.get_param_store()


def test_pyro_module_with_parameters_needs_module_local_params() -> None:
    class Location(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.zeros(CLASSES))

        def forward(self) -> Tensor:
            return self.value

    class Own(Guide):
        def __init__(self) -> None:
            super().__init__()
            self.location = Location()

        def forward(self, output: ClassifierOutput, y: Tensor) -> None:
            with pyro.plate("data", len(y)):
                pyro.sample("v", pyro.distributions.Normal(self.location(), 1.0).to_event(1))

    with pytest.raises(UserError, match="Location is a PyroModule"):
        seeded(Case(guide=lambda _: Own()), SplitJVP())
    with pyro.settings.context(module_local_params=True):
        algorithm, noisy, clean = seeded(Case(guide=lambda _: Own()), SplitJVP())
        algorithm.step(noisy, clean)
        assert not pyro.get_param_store()
        assert algorithm.guide.location.value.abs().min() > 0


def test_module_shared_by_classifier_and_guide_is_refused() -> None:
    def with_the_classifiers_trunk(parts: dict[str, Any]) -> Guide:
        guide = diagonal_normal(6)
        guide.stolen = parts["classifier"].trunk
        return guide

    with pytest.raises(UserError, match="the classifier shares 4 parameters"):
        _build(guide=with_the_classifiers_trunk)


@pytest.mark.parametrize("weight", ["inner_kl_weight", "outer_kl_weight", "clean_weight"])
def test_negative_weight_is_refused_by_name(weight: str) -> None:
    with pytest.raises(UserError, match=f"{weight} is -1; expected a value >= 0"):
        _build(**{weight: lambda _: -1})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda output: output.logits, "forward returned a Tensor; return ClassifierOutput"),
        (
            lambda output: output._replace(logits=output.logits[:, None]),
            r"logits of shape \[7, 1, 3\] .*; expected \[batch, classes\]",
        ),
    ],
)
def test_classifier_that_returns_another_type_or_rank_is_refused(returned: Callable[..., Any], message: str) -> None:
    class Odd(Dense):
        def forward(self, x: Tensor) -> Any:
            return returned(super().forward(x))

    algorithm, noisy, clean = seeded(Case(), SplitJVP())
    algorithm.classifier.__class__ = Odd
    with pytest.raises(UserError, match=message):
        algorithm.step(noisy, clean)


def _build(**changes: Any) -> BilevelSVI:
    classifier, model, guide = Dense(), rectification(6), diagonal_normal(6)
    parts: dict[str, Any] = {
        "classifier": classifier,
        "model": model,
        "guide": guide,
        "inner_optimizer": SGD(classifier.parameters(), lr=0.1),
        "outer_optimizer": Adam([*model.parameters(), *guide.parameters()]),
    }
    return BilevelSVI(**(parts | {name: make(parts) for name, make in changes.items()}))


def test_outer_optimiser_that_misses_a_parameter_is_refused_by_its_name() -> None:
    with pytest.raises(UserError, match=r"does not contain 'model\.prior\.network\.body\.0\.weight' \(6 parameters"):
        _build(outer_optimizer=lambda parts: Adam(parts["guide"].parameters()))


def test_inner_optimiser_that_misses_a_parameter_is_refused() -> None:
    with pytest.raises(UserError, match="inner optimiser does not contain every trainable parameter"):
        _build(inner_optimizer=lambda parts: SGD(parts["classifier"].top.parameters(), lr=0.1))


def test_inner_optimiser_without_a_virtual_step_is_refused() -> None:
    with pytest.raises(UserError, match="RMSprop"):
        _build(inner_optimizer=lambda parts: RMSprop(parts["classifier"].parameters()))


def test_pair_without_parameters_is_referred_to_single_level_training() -> None:
    with pytest.raises(UserError, match=r"no trainable parameters.*SingleLevelSVI"):
        _build(model=lambda parts: CrossEntropy(6, CLASSES), guide=lambda parts: NoLatents(6, CLASSES))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_guide_for_another_number_of_classes_is_refused_with_both_shapes(strategy: type) -> None:
    algorithm, noisy, clean = seeded(Case(guide=partial(diagonal_normal, classes=CLASSES + 1)), strategy())
    with pytest.raises(UserError, match=r"'v' has shape \[7, 4\] in the guide but \[7, 3\] in the model"):
        algorithm.step(noisy, clean)


# ----------------------------------------------------------------------------------------------------------- end to end


def _blobs(size: int, flipped: float) -> Batch:
    """Three Gaussian clusters; a share ``flipped`` of the labels is changed to the next class."""
    y = torch.arange(size) % CLASSES
    angle = 2 * torch.pi * y / CLASSES
    x = 2.0 * torch.stack([angle.cos(), angle.sin()], dim=-1) + 0.7 * torch.randn(size, 2)
    wrong = torch.rand(size) < flipped
    return Batch(x, torch.where(wrong, (y + 1) % CLASSES, y))


def _accuracy(classifier: nn.Module, test: Batch) -> float:
    return float((classifier(test.x).logits.argmax(-1) == test.y).double().mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rescues_a_classifier_whose_labels_are_mostly_flipped(seed: int) -> None:
    torch.manual_seed(seed)
    noisy, clean, test = _blobs(300, flipped=0.6), _blobs(30, flipped=0.0), _blobs(500, flipped=0.0)
    plain = Dense(inputs=2, width=16)
    rescued = copy.deepcopy(plain)
    pair = CrossEntropy(16, CLASSES), NoLatents(16, CLASSES)
    ordinary = SingleLevelSVI(plain, *pair, plain_sgd(plain.parameters()), clean_weight=0.0)
    model, guide = rectification(16, hidden=(16,)), diagonal_normal(16, hidden=(16,))
    outer_optimizer = Adam([*model.parameters(), *guide.parameters()], lr=1e-2)
    bilevel = BilevelSVI(rescued, model, guide, plain_sgd(rescued.parameters()), outer_optimizer, clean_weight=0.0)
    with pyro.validation_enabled(False):
        for _ in range(200):
            chosen = torch.randint(300, (50,))
            drawn = Batch(noisy.x[chosen], noisy.y[chosen])
            ordinary.step(drawn, clean)
            bilevel.step(drawn, clean)
    assert _accuracy(plain, test) < 0.5
    assert _accuracy(rescued, test) > 0.9
