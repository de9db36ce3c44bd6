"""Contracts of strategies, models, guides and priors, as abstract test classes.

To test a class, name it in a subclass of its contract:

    class TestMyGuide(GuideContract):
        make_guide = MyGuide
        make_model = MyModel
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vri_pyro.infer.bilevel import StructuralZeroWarning
from vri_pyro.infer.elbo import ELBOTerms, RectificationELBO
from vri_pyro.infer.hypergradient import Hypergradient, Problem, Result, Unrolled
from vri_pyro.interfaces.base import Model
from vri_pyro.interfaces.classifier import ClassifierOutput

from .problems import CASES, Case, seeded

Snapshot = list[Tensor]


class Recorder(Hypergradient):
    """A strategy that runs another one, and records its result and its effect on the state of the step."""

    def __init__(self, strategy: Hypergradient) -> None:
        self.strategy = strategy
        self.exact = strategy.exact  # type: ignore[misc]

    def __call__(self, problem: Problem) -> Result:
        before = _tensors_of(problem)
        self.result = self.strategy(problem)
        self.gradients = [None if g is None else g.clone() for g in self.result.gradients]
        self.moved = [not torch.equal(a, b) for a, b in zip(before, _tensors_of(problem), strict=True)]
        self.random_state = torch.get_rng_state()
        self.buffers = {name: b.clone() for name, b in problem.forward.buffers.items()}  # type: ignore[attr-defined]
        return self.result


def _tensors_of(problem: Problem) -> Snapshot:
    classifier = problem.forward.classifier  # type: ignore[attr-defined]
    tensors = [*problem.parameters, *problem.hyperparameters, *classifier.buffers()]
    return [t.detach().clone() for t in tensors]


@contextmanager
def _precision(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def record_step(strategy: Hypergradient, case: Case, dtype: torch.dtype = torch.float64) -> tuple[Recorder, list[str]]:
    """Take one bi-level step of ``case`` with ``strategy``; return its record and the names of the hyperparameters."""
    recorder = Recorder(strategy)
    with _precision(dtype), warnings.catch_warnings():
        algorithm, noisy, clean = seeded(case, recorder)
        warnings.simplefilter("ignore", StructuralZeroWarning)
        algorithm.step(noisy, clean)
    both = nn.ModuleDict({"model": algorithm.model, "guide": algorithm.guide})
    return recorder, [name for name, _ in both.named_parameters()]


def assert_same_hypergradients(actual: Recorder, expected: Recorder, names: list[str], tolerance: float) -> None:
    """Assert equal structural zeros, and ‖actual - expected‖ ≤ tolerance · ‖expected‖ for every other gradient."""
    for name, a, b in zip(names, actual.gradients, expected.gradients, strict=True):
        assert (a is None) == (b is None), f"{name}: {a} against {b}"
        if a is not None and b is not None:
            assert b.norm() > 0, f"{name}: the reference is zero, so the comparison is void"
            assert (a - b).norm() <= tolerance * b.norm(), f"{name}: {(a - b).norm() / b.norm():.1e}"


class HypergradientContract:
    """A strategy returns the result of :class:`Unrolled` and changes no state.

    Attributes:
        strategy: constructor of the strategy under test.
        tolerance: relative error per hyperparameter in double precision.
        single_tolerance: relative error per hyperparameter in single precision.
    """

    strategy: ClassVar[Callable[[], Hypergradient]]
    tolerance: ClassVar[float] = 1e-10
    single_tolerance: ClassVar[float] = 1e-4

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
    def test_hypergradient_equals_unrolled(self, case: Case) -> None:
        actual, names = record_step(type(self).strategy(), case)
        expected, _ = record_step(Unrolled(), case)
        assert any(g is not None for g in expected.gradients) or case.options.get("outer_kl_weight") == 0
        assert_same_hypergradients(actual, expected, names, self.tolerance)
        torch.testing.assert_close(actual.result.inner.loss, expected.result.inner.loss, rtol=1e-12, atol=0)
        torch.testing.assert_close(actual.result.meta_loss, expected.result.meta_loss, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("name", ["BatchNorm, attached", "dropout, attached", "convolutions, BatchNorm, detached"])
    def test_hypergradient_equals_unrolled_in_single_precision(self, name: str) -> None:
        actual, names = record_step(type(self).strategy(), CASES[name], torch.float32)
        expected, _ = record_step(Unrolled(), CASES[name], torch.float32)
        assert_same_hypergradients(actual, expected, names, self.single_tolerance)

    @pytest.mark.parametrize("name", ["BatchNorm, attached", "dropout, attached", "convolutions, BatchNorm, detached"])
    def test_leaves_parameters_and_buffers_alone_and_draws_as_one_forward_pass_does(self, name: str) -> None:
        actual, _ = record_step(type(self).strategy(), CASES[name])
        expected, _ = record_step(Unrolled(), CASES[name])
        assert not any(actual.moved)
        assert torch.equal(actual.random_state, expected.random_state)
        for buffer, b in actual.buffers.items():
            assert torch.equal(b, expected.buffers[buffer]), buffer


class PriorContract:
    """A prior maps features to one reparameterised distribution over vectors per example.

    Attributes:
        make_prior: constructor of the prior, called with (feature_dim, num_classes).
    """

    make_prior: ClassVar[Callable[..., nn.Module]]
    feature_dim: ClassVar[int] = 6
    num_classes: ClassVar[int] = 4
    batch: ClassVar[int] = 5

    def prior(self) -> nn.Module:
        return type(self).make_prior(self.feature_dim, self.num_classes).double()

    def features(self, *leading: int) -> Tensor:
        return torch.randn(*leading, self.batch, self.feature_dim, dtype=torch.float64)

    def test_distribution_has_one_event_of_all_classes_per_example(self) -> None:
        p = self.prior()(self.features())
        assert p.batch_shape == (self.batch,)
        assert p.event_shape == (self.num_classes,)
        assert p.log_prob(p.sample()).shape == (self.batch,)

    def test_particles_of_features_give_particles_of_distributions(self) -> None:
        prior, features = self.prior(), self.features(3)
        p = prior(features)
        assert p.batch_shape == (3, self.batch)
        value = torch.randn(3, self.batch, self.num_classes, dtype=torch.float64)
        torch.testing.assert_close(p.log_prob(value)[1], prior(features[1]).log_prob(value[1]))

    def test_examples_do_not_influence_each_other(self) -> None:
        prior, features = self.prior().eval(), self.features()
        value = torch.randn(self.batch, self.num_classes, dtype=torch.float64)
        alone = prior(features[2:3]).log_prob(value[2:3])
        torch.testing.assert_close(prior(features).log_prob(value)[2:3], alone)

    def test_is_reparameterised(self) -> None:
        p = self.prior()(self.features())
        assert p.has_rsample
        assert p.rsample().requires_grad == any(True for _ in self.prior().parameters())

    def test_gradient_reaches_every_parameter(self) -> None:
        prior = self.prior()
        if not list(prior.parameters()):
            pytest.skip("this prior has no parameters of its own")
        p = prior(self.features())
        p.log_prob(torch.randn(self.batch, self.num_classes, dtype=torch.float64)).sum().backward()
        _assert_every_parameter_has_a_gradient(prior)

    def test_closed_form_kl_agrees_with_monte_carlo(self) -> None:
        q, p = self.prior()(self.features()), self.prior()(self.features())
        try:
            expected = kl_divergence(q, p)
        except NotImplementedError:
            pytest.skip("this prior's KL has no closed form")
        v = q.sample((20_000,))
        draws = (q.log_prob(v) - p.log_prob(v)).detach()
        assert expected.shape == (self.batch,)
        assert_mean_within_four_standard_errors(draws, expected)

    def test_state_dict_round_trip_restores_the_distribution(self) -> None:
        prior, features = self.prior().eval(), self.features()
        value = torch.randn(self.batch, self.num_classes, dtype=torch.float64)
        other = self.prior().eval()
        other.load_state_dict(copy.deepcopy(prior.state_dict()))
        assert torch.equal(other(features).log_prob(value), prior(features).log_prob(value))


class PairContract:
    """A model and a guide have the same sites and shapes, for any number of particles.

    Attributes:
        make_model, make_guide: constructors of the two, called with (feature_dim, num_classes).
    """

    make_model: ClassVar[Callable[..., nn.Module]]
    make_guide: ClassVar[Callable[..., nn.Module]]
    feature_dim: ClassVar[int] = 6
    num_classes: ClassVar[int] = 4
    batch: ClassVar[int] = 8

    def pair(self) -> tuple[nn.Module, nn.Module]:
        model = type(self).make_model(self.feature_dim, self.num_classes)
        guide = type(self).make_guide(self.feature_dim, self.num_classes).double()
        if isinstance(model, Model):
            model.bind(guide)  # type: ignore[arg-type]
        return model.double(), guide

    def data(self) -> tuple[ClassifierOutput, Tensor]:
        logits = torch.randn(self.batch, self.num_classes, dtype=torch.float64)
        features = torch.randn(self.batch, self.feature_dim, dtype=torch.float64)
        return ClassifierOutput(logits, features), torch.arange(self.batch) % self.num_classes

    def terms(self, model: nn.Module, guide: nn.Module, particles: int = 1) -> ELBOTerms:
        return RectificationELBO(num_particles=particles).terms(model, guide, *self.data())

    @pytest.mark.parametrize("particles", [1, 2, 5])
    def test_terms_are_per_datum_for_any_number_of_particles(self, particles: int) -> None:
        model, guide = self.pair()
        terms = self.terms(model, guide, particles)
        assert terms.log_likelihood.shape == (self.batch,)
        assert terms.plate_size == self.batch
        for name, kl in terms.kl.items():
            assert kl.shape in {(self.batch,), ()}, name
        assert terms.loss().isfinite()

    @pytest.mark.parametrize("particles", [1, 3])
    def test_latents_of_guide_and_model_have_the_same_shape(self, particles: int) -> None:
        model, guide = self.pair()
        terms = self.terms(model, guide, particles)
        for name, q in terms.posterior.items():
            assert q.shape() == terms.prior[name].shape(), name
            assert q.has_rsample, name

    def test_gradient_of_the_bound_reaches_every_parameter(self) -> None:
        model, guide = self.pair()
        self.terms(model, guide).loss().requires_grad_().backward()
        _assert_every_parameter_has_a_gradient(model)
        _assert_every_parameter_has_a_gradient(guide)

    def test_gradient_of_the_bound_reaches_the_logits(self) -> None:
        model, guide = self.pair()
        output, y = self.data()
        output.logits.requires_grad_()
        RectificationELBO().terms(model, guide, output, y).loss().backward()
        assert output.logits.grad is not None
        assert (output.logits.grad.abs().sum(-1) > 0).all()

    @pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)])
    @pytest.mark.parametrize("particles", [1, 2])
    def test_runs_on_another_device(self, device: str, particles: int) -> None:
        """The device "meta" has shapes but no values, so using a CPU tensor or reading a value raises."""
        model, guide = (part.to(device) for part in self.pair())
        output, y = self.data()
        output = ClassifierOutput(*(part.to(device) for part in output[:2]))
        with pyro.validation_enabled(False):
            loss = RectificationELBO(particles).terms(model, guide, output, y.to(device)).loss()
        parameters = [p for part in (model, guide) for p in part.parameters()]
        assert {tensor.device.type for tensor in (loss, *parameters)} == {device}
        if parameters:
            gradients = torch.autograd.grad(loss, parameters)
            assert device == "meta" or all(gradient.isfinite().all() for gradient in gradients)

    def test_closed_form_kl_agrees_with_monte_carlo(self) -> None:
        model, guide = self.pair()
        terms = self.terms(model, guide)
        for name, q in terms.posterior.items():
            if terms.estimator[name] == "analytic":
                v = q.sample((20_000,))
                draws = (q.log_prob(v) - terms.prior[name].log_prob(v)).detach()
                assert_mean_within_four_standard_errors(draws, terms.kl[name].detach())

    def test_state_dict_round_trip_restores_the_bound(self) -> None:
        model, guide = self.pair()
        other_model, other_guide = self.pair()
        other_model.load_state_dict(copy.deepcopy(model.state_dict()))
        other_guide.load_state_dict(copy.deepcopy(guide.state_dict()))
        losses = []
        for m, g in ((model, guide), (other_model, other_guide)):
            torch.manual_seed(3)
            losses.append(self.terms(m.eval(), g.eval(), particles=2).loss())
        assert torch.equal(*losses)

    def test_parameters_live_in_the_modules(self) -> None:
        model, guide = self.pair()
        self.terms(model, guide).loss()
        assert len(pyro.get_param_store()) == 0


class ModelContract(PairContract):
    """A model, paired with ``make_guide``; its prior predictive distribution draws labels."""

    def test_prior_predictive_draws_labels(self) -> None:
        model, _ = self.pair()
        output, _ = self.data()
        labels = model(output)
        assert labels.shape == (self.batch,)
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < self.num_classes

    def test_observes_the_labels_in_the_data_plate(self) -> None:
        model, _ = self.pair()
        output, y = self.data()
        trace = poutine.trace(model).get_trace(output, y)
        observed = [
            site
            for site in trace.nodes.values()
            if site["type"] == "sample" and site["is_observed"] and not site["infer"].get("_deterministic")
        ]
        assert any(site["value"] is y and site["cond_indep_stack"][0].name == "data" for site in observed)


class GuideContract(PairContract):
    """A guide, paired with ``make_model``."""

    def test_latents_follow_the_labels_of_their_own_example_only(self) -> None:
        _, guide = self.pair()
        output, y = self.data()
        other = y.clone()
        other[0] = (y[0] + 1) % self.num_classes
        for name, moments in self._moments(guide, output, y).items():
            changed = self._moments(guide, output, other)[name]
            assert torch.equal(moments[1:], changed[1:]), name

    def _moments(self, guide: nn.Module, output: ClassifierOutput, y: Tensor) -> dict[str, Tensor]:
        torch.manual_seed(4)
        trace = poutine.trace(guide.eval()).get_trace(output, y)
        return {
            name: site["value"].detach()
            for name, site in trace.nodes.items()
            if site["type"] == "sample" and any(f.name == "data" for f in site["cond_indep_stack"])
        }


def assert_mean_within_four_standard_errors(draws: Tensor, expected: Tensor | float) -> None:
    """Assert that the mean of ``draws`` over the first dimension is within four standard errors of ``expected``."""
    standard_error = draws.std(0) / math.sqrt(draws.shape[0])
    distance = (draws.mean(0) - expected).abs()
    rounding = 1e-9 * draws.abs().mean(0)  # for draws with almost no variance
    assert (distance <= 4 * standard_error + rounding).all(), f"{(distance / standard_error).max():.1f} standard errors"


def _assert_every_parameter_has_a_gradient(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def untested(exported: list[str], *lists: Any) -> set[str]:
    """The exported names that are in none of the lists of classes under test."""
    return set(exported) - {c.__name__ for tested in lists for c in tested}
