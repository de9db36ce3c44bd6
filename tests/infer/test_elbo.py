"""The ELBO against Pyro's own estimators, its terms per example, and its errors."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.elbo import ELBO
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.prediction_memory import PredictionMemory
from vri_pyro.models import CrossEntropy
from vri_pyro.utils.errors import UserError

from .toys import CLASSES, GatedGuide, GatedRectification, diagonal_normal, rectification

BATCH, VIEWS, GROUPS, FULL = 5, 2, 3, 20


@dataclass
class Pair:
    """A model and a guide without arguments, the leaf tensors that they use, and the depth of their plates."""

    model: Callable[[], Any]
    guide: Callable[[], Any]
    leaves: list[Tensor]
    nesting: int = 1


def _leaf(*shape: int) -> Tensor:
    return torch.randn(shape).requires_grad_()


def _normal(location: Tensor, log_scale: Tensor) -> dist.Distribution:
    return dist.Normal(location, log_scale.exp()).to_event(1)


def _likelihood(v: Tensor, logits: Tensor) -> dist.Distribution:
    return dist.Categorical(logits=v.sigmoid() * logits)


def one_plate(
    wrap: Callable[[dist.Distribution], dist.Distribution] = lambda d: d,
    scale_model: float | Tensor = 1.0,
    scale_guide: float | Tensor = 1.0,
    mask: Tensor | None = None,
    q: Callable[[Tensor, Tensor], dist.Distribution] = _normal,
    p: Callable[[Tensor, Tensor], dist.Distribution] = _normal,
) -> Pair:
    leaves = [_leaf(BATCH, CLASSES) for _ in range(5)]
    y = torch.arange(BATCH) % CLASSES

    def masking() -> Any:
        return nullcontext() if mask is None else poutine.mask(mask=mask)

    def model() -> None:
        with pyro.plate("data", BATCH), poutine.scale(scale=scale_model), masking():
            v = pyro.sample("v", wrap(p(leaves[0], leaves[1])))
            pyro.sample("y", _likelihood(v, leaves[2]), obs=y)

    def guide() -> None:
        with pyro.plate("data", BATCH), poutine.scale(scale=scale_guide), masking():
            pyro.sample("v", wrap(q(leaves[3], leaves[4])))

    return Pair(model, guide, leaves)


def mask_on_the_likelihood_only() -> Pair:
    leaves = [_leaf(BATCH, CLASSES) for _ in range(3)]
    y = torch.arange(BATCH) % CLASSES
    known = torch.tensor([True, False, True, True, False])

    def model() -> None:
        with pyro.plate("data", BATCH):
            v = pyro.sample("v", dist.Normal(0.0, 1.0).expand([CLASSES]).to_event(1))
            pyro.sample("y", _likelihood(v, leaves[0]).mask(known), obs=y)

    def guide() -> None:
        with pyro.plate("data", BATCH):
            pyro.sample("v", _normal(leaves[1], leaves[2]))

    return Pair(model, guide, leaves)


def nested_plates(data_dim: int) -> Pair:
    """Several labels per example (data outside) or per group (data inside), each with its own latent."""
    sizes = {-1: VIEWS, -2: VIEWS}
    sizes[data_dim] = BATCH
    shape = (sizes[-2], sizes[-1], CLASSES)
    leaves = [_leaf(*shape), _leaf(*shape), _leaf(BATCH, CLASSES)]
    y = torch.arange(math.prod(shape[:2])).reshape(shape[:2]) % CLASSES

    def plates() -> tuple[Any, Any]:
        other = -3 - data_dim
        data = pyro.plate("data", BATCH, dim=data_dim)
        return data, pyro.plate("views", VIEWS, dim=other)

    def logits() -> Tensor:
        return leaves[2] if data_dim == -1 else leaves[2].unsqueeze(-2)

    def model() -> None:
        data, views = plates()
        with data, views:
            v = pyro.sample("v", dist.Normal(torch.zeros(CLASSES), 2.0).to_event(1))
            pyro.sample("y", _likelihood(v, logits()), obs=y)

    def guide() -> None:
        data, views = plates()
        with data, views:
            pyro.sample("v", _normal(leaves[0], leaves[1]))

    return Pair(model, guide, leaves, nesting=2)


def subsampled(size: int = BATCH) -> Pair:
    leaves = [_leaf(FULL, CLASSES) for _ in range(3)]
    y = torch.arange(FULL) % CLASSES

    def model() -> None:
        with pyro.plate("data", FULL, subsample_size=size) as chosen:
            v = pyro.sample("v", dist.Normal(torch.zeros(CLASSES), 1.0).to_event(1))
            pyro.sample("y", _likelihood(v, leaves[2][chosen]), obs=y[chosen])

    def guide() -> None:
        with pyro.plate("data", FULL, subsample_size=size) as chosen:
            pyro.sample("v", _normal(leaves[0][chosen], leaves[1][chosen]))

    return Pair(model, guide, leaves)


def global_latent() -> Pair:
    pair = one_plate()
    location, log_scale = _leaf(), _leaf()

    def model() -> None:
        pyro.sample("temperature", dist.Normal(0.0, 1.0))
        pair.model()

    def guide() -> None:
        pyro.sample("temperature", dist.Normal(location, log_scale.exp()))
        pair.guide()

    return Pair(model, guide, [location, log_scale, *pair.leaves])


def observed_outside() -> Pair:
    pair, rate = one_plate(), _leaf()

    def model() -> None:
        pyro.sample("count", dist.Poisson(rate.exp()), obs=torch.tensor(3.0))
        pair.model()

    return Pair(model, pair.guide, [rate, *pair.leaves])


def auxiliary_in_the_guide() -> Pair:
    leaves = [_leaf(BATCH, CLASSES) for _ in range(3)]
    y = torch.arange(BATCH) % CLASSES

    def model() -> None:
        with pyro.plate("data", BATCH):
            v = pyro.sample("v", dist.Normal(torch.zeros(CLASSES), 1.0).to_event(1))
            pyro.sample("y", _likelihood(v, leaves[2]), obs=y)

    def guide() -> None:
        with pyro.plate("data", BATCH):
            u = pyro.sample("u", _normal(leaves[0], leaves[1]), infer={"is_auxiliary": True})
            pyro.sample("v", dist.Normal(u.tanh(), 0.5).to_event(1))

    return Pair(model, guide, leaves)


def _student(location: Tensor, log_scale: Tensor) -> dist.Distribution:
    return dist.StudentT(4.0, location, log_scale.exp()).to_event(1)


def _mixture(location: Tensor, log_scale: Tensor) -> dist.Distribution:
    components = dist.Normal(torch.stack([location, -location], -2), log_scale.exp().unsqueeze(-2)).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(logits=torch.zeros(BATCH, 2)), components)


def flow_guide() -> Pair:
    planar = dist.transforms.planar(CLASSES)

    def flow(location: Tensor, log_scale: Tensor) -> dist.Distribution:
        return dist.TransformedDistribution(_normal(location, log_scale), [planar])

    return one_plate(q=flow)


MASK = torch.tensor([True, False, True, True, False])
ANALYTIC: dict[str, Callable[[], Pair]] = {
    "one plate": one_plate,
    "mask on both": lambda: one_plate(mask=MASK),
    "masked distributions": lambda: one_plate(wrap=lambda d: d.mask(MASK)),
    "distributions masked out": lambda: one_plate(wrap=lambda d: d.mask(False)),
    "mask on the likelihood": mask_on_the_likelihood_only,
    "scale on both": lambda: one_plate(scale_model=2.5, scale_guide=2.5),
    "data plate inside": lambda: nested_plates(-1),
    "data plate outside": lambda: nested_plates(-2),
    "subsampling": subsampled,
    "global latent": global_latent,
    "observed outside the data plate": observed_outside,
}
NO_CLOSED_FORM: dict[str, Callable[[], Pair]] = {
    "heavy-tailed prior": lambda: one_plate(p=_student),
    "mixture prior": lambda: one_plate(p=_mixture),
    "flow guide": flow_guide,
}
DIFFERENT_SCALES: dict[str, Callable[[], Pair]] = {
    "scale on the model only": lambda: one_plate(scale_model=0.3),
    "scales per datum": lambda: one_plate(scale_model=torch.rand(BATCH), scale_guide=torch.rand(BATCH)),
}
MONTE_CARLO = NO_CLOSED_FORM | DIFFERENT_SCALES
AUXILIARY = {"auxiliary site in the guide": auxiliary_in_the_guide}
EVERY = ANALYTIC | MONTE_CARLO | AUXILIARY
# TraceMeanField_ELBO scales an analytic KL by the guide's scale alone, so it is no reference for different scales.
COMPARABLE = ANALYTIC | NO_CLOSED_FORM | AUXILIARY


def _loss_and_gradients(elbo: ELBO, pair: Pair) -> list[Tensor | None]:
    torch.manual_seed(5)
    loss = elbo.differentiable_loss(pair.model, pair.guide)
    return [loss, *torch.autograd.grad(loss, pair.leaves, allow_unused=True)]


def _assert_same(actual: list[Tensor | None], expected: list[Tensor | None]) -> None:
    for a, b in zip(actual, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("make", COMPARABLE.values(), ids=COMPARABLE.keys())
def test_loss_and_gradient_equal_those_of_trace_mean_field_elbo(make: Callable[[], Pair], particles: int) -> None:
    pair = make()
    options = {"num_particles": particles, "max_plate_nesting": pair.nesting}
    mean_field = TraceMeanField_ELBO(vectorize_particles=True, **options)
    _assert_same(_loss_and_gradients(RectificationELBO(**options), pair), _loss_and_gradients(mean_field, pair))


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("make", MONTE_CARLO.values(), ids=MONTE_CARLO.keys())
def test_monte_carlo_loss_equals_that_of_trace_elbo_draw_by_draw(make: Callable[[], Pair], particles: int) -> None:
    pair = make()
    options = {"num_particles": particles, "max_plate_nesting": pair.nesting}
    trace = Trace_ELBO(vectorize_particles=True, **options)
    assert RectificationELBO(**options).terms(pair.model, pair.guide).estimator["v"] == "monte carlo"
    _assert_same(_loss_and_gradients(RectificationELBO(**options), pair), _loss_and_gradients(trace, pair))


@pytest.mark.parametrize("make", ANALYTIC.values(), ids=ANALYTIC.keys())
def test_analytic_loss_agrees_with_trace_elbo_in_expectation(make: Callable[[], Pair]) -> None:
    pair = make()
    options = {"num_particles": 100, "max_plate_nesting": pair.nesting}
    ours, theirs = RectificationELBO(**options), Trace_ELBO(vectorize_particles=True, **options)
    assert set(ours.terms(pair.model, pair.guide).estimator.values()) == {"analytic"}
    with torch.no_grad():
        a = torch.stack([ours.loss(pair.model, pair.guide) for _ in range(50)])
        b = torch.tensor([theirs.loss(pair.model, pair.guide) for _ in range(50)])
    standard_error = ((a.var() + b.var()) / 50).sqrt()
    assert (a.mean() - b.mean()).abs() < 4 * standard_error


@pytest.mark.parametrize("particles", [1, 2, 5])
@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
def test_terms_have_one_value_per_example_for_any_particles_and_plates(
    make: Callable[[], Pair], particles: int
) -> None:
    pair = make()
    terms = RectificationELBO(num_particles=particles).terms(pair.model, pair.guide)
    assert terms.log_likelihood.shape == (BATCH,)
    assert terms.global_log_likelihood.shape == ()
    shapes = {name: kl.shape for name, kl in terms.kl.items()}
    assert shapes.pop("temperature", ()) == ()
    assert set(shapes.values()) == {(BATCH,)}


def test_particles_are_averaged_per_datum() -> None:
    pair = one_plate(p=_student)
    elbo = RectificationELBO(num_particles=4, max_plate_nesting=1)
    torch.manual_seed(2)
    terms = elbo.terms(pair.model, pair.guide)
    torch.manual_seed(2)
    prior, q = _student(*pair.leaves[:2]), _normal(*pair.leaves[3:])
    v = q.expand([4, BATCH]).rsample()
    expected = _likelihood(v, pair.leaves[2]).log_prob(torch.arange(BATCH) % CLASSES).mean(0)
    torch.testing.assert_close(terms.log_likelihood, expected)
    torch.testing.assert_close(terms.kl["v"], (q.log_prob(v) - prior.log_prob(v)).mean(0))


def test_terms_of_nested_plates_are_summed_datum_by_datum() -> None:
    pair = nested_plates(-2)
    terms = RectificationELBO().terms(pair.model, pair.guide)
    q, p = _normal(*pair.leaves[:2]), dist.Normal(torch.zeros(CLASSES), 2.0).to_event(1)
    expected = torch.distributions.kl_divergence(q, p.expand([BATCH, VIEWS])).sum(-1)
    torch.testing.assert_close(terms.kl["v"], expected)


def test_kl_of_diagonal_normals_is_the_textbook_formula() -> None:
    pair = one_plate()
    p_mean, p_log_std, _, q_mean, q_log_std = pair.leaves
    ratio = (2 * (q_log_std - p_log_std)).exp()
    shift = (q_mean - p_mean) ** 2 / (2 * p_log_std).exp()
    expected = 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1)
    torch.testing.assert_close(RectificationELBO().terms(pair.model, pair.guide).kl["v"], expected)


def test_log_likelihood_without_latents_is_the_negative_cross_entropy() -> None:
    output = ClassifierOutput(torch.randn(BATCH, CLASSES), torch.randn(BATCH, 2))
    y = torch.arange(BATCH) % CLASSES
    terms = RectificationELBO().terms(CrossEntropy(2, CLASSES), lambda output, y: None, output, y)
    torch.testing.assert_close(terms.log_likelihood, -F.cross_entropy(output.logits, y, reduction="none"))
    torch.testing.assert_close(terms.loss(), F.cross_entropy(output.logits, y))


def test_kl_weight_multiplies_every_kl_and_nothing_else() -> None:
    pair = global_latent()
    terms = RectificationELBO().terms(pair.model, pair.guide)
    likelihood = terms.log_likelihood.sum()
    kl = terms.kl["v"].sum() + terms.kl["temperature"]
    for weight in (0.0, 0.1, 1.0, 7.0):
        torch.testing.assert_close(terms.elbo(weight), likelihood - weight * kl)
        torch.testing.assert_close(terms.loss(weight), -(likelihood - weight * kl) / BATCH)
    torch.testing.assert_close(terms.mean_kl(), kl / BATCH)


def test_kl_weight_of_the_estimator_enters_its_loss() -> None:
    pair = one_plate()
    losses = {}
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(1)
        losses[weight] = RectificationELBO(kl_weight=weight).loss(pair.model, pair.guide)
    kl = RectificationELBO().terms(pair.model, pair.guide).total_kl()
    torch.testing.assert_close(losses[1.0] - losses[0.0], kl.detach())
    torch.testing.assert_close(losses[0.5] - losses[0.0], 0.5 * kl.detach())


def test_zero_kl_weight_leaves_no_graph_to_the_prior() -> None:
    pair = one_plate()
    loss = RectificationELBO().terms(pair.model, pair.guide).loss(kl_weight=0.0)
    gradients = torch.autograd.grad(loss, pair.leaves, allow_unused=True)
    assert [g is None for g in gradients] == [True, True, False, False, False]


def test_loss_of_a_subsample_is_an_unbiased_estimate_of_the_full_loss() -> None:
    means, errors = [], []
    for size in (BATCH, FULL):
        torch.manual_seed(7)
        pair, elbo = subsampled(size), RectificationELBO(num_particles=20)
        assert elbo.terms(pair.model, pair.guide).plate_size == FULL
        losses = torch.stack([elbo.terms(pair.model, pair.guide).loss().detach() for _ in range(200)])
        means.append(losses.mean())
        errors.append(losses.std() / math.sqrt(200))
    assert (means[0] - means[1]).abs() < 4 * (errors[0] ** 2 + errors[1] ** 2).sqrt()
    assert errors[0] < 0.1 * means[1]


def _conjugate(y: Tensor, noise: float) -> tuple[Callable[[], Any], Callable[[], Any], Tensor]:
    """The model v ~ Normal(0, 1), y ~ Normal(v, noise²), a guide with a free normal per example, the log evidence."""

    def model() -> None:
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(pyro.sample("v", dist.Normal(0.0, 1.0)), noise), obs=y)

    def guide() -> None:
        location = pyro.param("location", torch.zeros(len(y)))
        scale = pyro.param("scale", torch.ones(len(y)), constraint=dist.constraints.positive)
        with pyro.plate("data", len(y)):
            pyro.sample("v", dist.Normal(location, scale))

    return model, guide, dist.Normal(0.0, math.sqrt(1 + noise**2)).log_prob(y).sum()


def test_bound_at_the_true_posterior_is_the_log_evidence() -> None:
    y = torch.tensor([-1.0, 0.5, 2.0])
    model, guide, evidence = _conjugate(y, noise=0.7)
    pyro.get_param_store()["location"] = y / (1 + 0.7**2)
    pyro.get_param_store().setdefault("scale", torch.full((3,), 0.7 / math.sqrt(1 + 0.7**2)))
    elbo = RectificationELBO(num_particles=100)
    draws = torch.stack([elbo.terms(model, guide).elbo().detach() for _ in range(50)])
    assert (draws.mean() - evidence).abs() < 4 * draws.std() / math.sqrt(50)
    assert draws.std() < 0.5


def test_drives_pyros_svi_to_the_posterior_of_a_conjugate_model() -> None:
    y = torch.tensor([-1.0, 0.5, 2.0])
    model, guide, evidence = _conjugate(y, noise=0.7)
    optimizer = pyro.optim.ClippedAdam({"lr": 0.1, "lrd": 0.985})
    svi = SVI(model, guide, optimizer, loss=RectificationELBO(num_particles=20))
    for _ in range(300):
        svi.step()
    torch.testing.assert_close(pyro.param("location").detach(), y / (1 + 0.7**2), rtol=0, atol=0.03)
    torch.testing.assert_close(
        pyro.param("scale").detach(), torch.full((3,), 0.7 / math.sqrt(1 + 0.7**2)), rtol=0, atol=0.03
    )
    bound = -sum(svi.evaluate_loss() for _ in range(100)) / 100
    assert bound == pytest.approx(float(evidence), abs=0.15)


def test_elbo_called_on_a_pair_is_a_module_with_their_parameters() -> None:
    model, guide = rectification(4), diagonal_normal(4)
    module = RectificationELBO()(model, guide)
    output = ClassifierOutput(torch.randn(BATCH, CLASSES), torch.randn(BATCH, 4))
    module(output, torch.arange(BATCH) % CLASSES).backward()
    assert len(list(module.parameters())) == len([*model.parameters(), *guide.parameters()])
    assert all(p.grad is not None for p in module.parameters())


class Synchronised(Exception):
    """The value of a tensor was read, which synchronises host and device."""


@pytest.fixture
def no_synchronisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise Synchronised

    for method in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero"):
        monkeypatch.setattr(torch.Tensor, method, refuse)


@pytest.mark.usefixtures("no_synchronisation")
@pytest.mark.parametrize("particles", [1, 3])
def test_evaluation_does_not_synchronise_with_the_device(particles: int) -> None:
    output = ClassifierOutput(torch.randn(BATCH, CLASSES), torch.randn(BATCH, 4))
    y = torch.arange(BATCH) % CLASSES
    elbo = RectificationELBO(num_particles=particles)
    with pyro.validation_enabled(False):
        for pair in ((rectification(4), diagonal_normal(4)), (GatedRectification(4), GatedGuide(4))):
            terms = elbo.terms(*pair, output, y)
            terms.elbo(0.5).backward(retain_graph=True)
            terms.loss()
            elbo.loss(*pair, output, y)
            elbo.loss_and_grads(*pair, output, y)
        with pytest.raises(Synchronised):  # the fixture detects that Pyro's estimator synchronises
            TraceMeanField_ELBO().loss_and_grads(rectification(4), diagonal_normal(4), output, y)


@pytest.mark.usefixtures("no_synchronisation")
@pytest.mark.parametrize("reserved", [True, False])
def test_memory_of_reserved_size_does_not_synchronise_with_the_device(reserved: bool) -> None:
    memory, index = PredictionMemory(CLASSES, momentum=0.9), torch.arange(BATCH)
    logits = torch.randn(BATCH, CLASSES)
    if not reserved:
        with pytest.raises(Synchronised):  # it reads the largest position
            memory.moved(logits, index)
        return
    memory.reserve(BATCH)
    targets = memory.moved(logits, index)
    memory.keep(index, targets)
    assert memory.table.shape == (BATCH, CLASSES)


@pytest.mark.gpu
@pytest.mark.parametrize("particles", [1, 3])
def test_evaluation_does_not_synchronise_with_a_gpu(particles: int) -> None:
    output = ClassifierOutput(torch.randn(BATCH, CLASSES).cuda(), torch.randn(BATCH, 4).cuda())
    y = (torch.arange(BATCH) % CLASSES).cuda()
    model, guide = rectification(4).cuda(), diagonal_normal(4).cuda()
    elbo = RectificationELBO(num_particles=particles)
    with pyro.validation_enabled(False):
        elbo.terms(model, guide, output, y)
        torch.cuda.set_sync_debug_mode("error")
        try:
            loss = elbo.loss_and_grads(model, guide, output, y)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in guide.parameters())


@pytest.mark.parametrize("particles", [1, 2])
def test_guessing_the_plates_depth_draws_nothing_and_logs_nothing(
    particles: int, caplog: pytest.LogCaptureFixture
) -> None:
    pair = nested_plates(-1)
    given, guessing = RectificationELBO(particles, max_plate_nesting=2), RectificationELBO(particles)
    with caplog.at_level(logging.DEBUG):
        _assert_same(_loss_and_gradients(guessing, pair), _loss_and_gradients(given, pair))
    assert guessing.max_plate_nesting == given.max_plate_nesting
    assert not caplog.records


def test_posterior_and_prior_are_the_distributions_of_the_sites() -> None:
    pair = one_plate()
    terms = RectificationELBO().terms(pair.model, pair.guide)
    torch.testing.assert_close(terms.posterior["v"].mean, pair.leaves[3])
    torch.testing.assert_close(terms.prior["v"].mean, pair.leaves[0])


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("particles", [0, -1])
def test_no_particles_are_refused(particles: int) -> None:
    with pytest.raises(UserError, match=rf"num_particles is {particles}; expected a value >= 1"):
        RectificationELBO(num_particles=particles)


class _Undifferentiable(dist.Normal):
    has_rsample = False


def test_guide_without_reparameterisation_is_refused() -> None:
    pair = one_plate(q=lambda location, log_scale: _Undifferentiable(location, log_scale.exp()).to_event(1))
    with pytest.raises(UserError, match=r"'v' .* _Undifferentiable.* not reparameterised"):
        RectificationELBO().terms(pair.model, pair.guide)


def test_vector_not_declared_as_an_event_is_explained() -> None:
    pair = one_plate()

    def guide() -> None:
        with pyro.plate("data", BATCH):
            pyro.sample("v", dist.Normal(torch.zeros(BATCH, CLASSES), 1.0))

    with pytest.raises(UserError, match=r"in the guide: Shape mismatch .*\.to_event\(1\)"):
        RectificationELBO().terms(pair.model, guide)


def test_latent_in_other_plates_is_refused() -> None:
    pair = one_plate()

    def guide() -> None:
        with pyro.plate("batch", BATCH):
            pyro.sample("v", dist.Normal(torch.zeros(BATCH, CLASSES), 1.0).to_event(1))

    with pytest.raises(UserError, match=r"plates \['batch'\] in the guide but \['data'\] in the model"):
        RectificationELBO().terms(pair.model, guide)


def test_guessing_the_plate_nesting_leaves_buffers_alone() -> None:
    pair = one_plate()
    seen = torch.nn.BatchNorm1d(CLASSES)

    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = seen

        def forward(self) -> None:
            self.norm(torch.randn(BATCH, CLASSES))
            pair.guide()

    RectificationELBO(num_particles=2).terms(pair.model, Counting())
    assert seen.num_batches_tracked == 1


@pytest.mark.parametrize("nesting", [1, float("inf")])
def test_latent_without_a_site_in_the_guide_is_refused(nesting: float) -> None:
    pair = one_plate()
    with pytest.raises(UserError, match=r"latent sites \['v'\] differ from the guide's \[\]"):
        RectificationELBO(max_plate_nesting=nesting).terms(pair.model, lambda: None)


@pytest.mark.parametrize("nesting", [1, float("inf")])
def test_site_of_the_guide_that_the_model_lacks_is_refused(nesting: float) -> None:
    pair = one_plate()

    def guide() -> None:
        pair.guide()
        pyro.sample("u", dist.Normal(0.0, 1.0))

    with pytest.raises(UserError, match=r"latent sites \['v'\] differ from the guide's \['u', 'v'\]"):
        RectificationELBO(max_plate_nesting=nesting).terms(pair.model, guide)


@pytest.mark.parametrize("nesting", [1, float("inf")])
@pytest.mark.parametrize("crashes", [True, False])
def test_shapes_that_differ_are_named_whether_or_not_the_model_survives_them(crashes: bool, nesting: float) -> None:
    y = torch.arange(BATCH) % CLASSES

    def model() -> None:
        with pyro.plate("data", BATCH):
            v = pyro.sample("v", dist.Normal(torch.zeros(CLASSES), 1.0).to_event(1))
            logits = v * torch.zeros(CLASSES) if crashes else torch.zeros(BATCH, CLASSES)
            pyro.sample("y", dist.Categorical(logits=logits), obs=y)

    def guide() -> None:
        with pyro.plate("data", BATCH):
            pyro.sample("v", dist.Normal(torch.zeros(CLASSES + 1), 1.0).to_event(1))

    expected = rf"'v' has shape \[{BATCH}, {CLASSES + 1}\] in the guide but \[{BATCH}, {CLASSES}\] in the model"
    with pytest.raises(UserError, match=expected):
        RectificationELBO(max_plate_nesting=nesting).terms(model, guide)


@pytest.mark.parametrize("size", [BATCH, CLASSES])
def test_same_shape_split_differently_into_batch_and_event_is_refused(size: int) -> None:
    def model() -> None:
        with pyro.plate("data", size, dim=-2):
            with pyro.plate("classes", CLASSES, dim=-1):
                v = pyro.sample("v", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Categorical(logits=v.unsqueeze(-2)), obs=torch.zeros(size, 1))

    def guide() -> None:
        with pyro.plate("data", size):
            pyro.sample("v", dist.Normal(torch.zeros(size, CLASSES), 1.0).to_event(1))

    with pytest.raises(UserError, match=r"'v'"):
        RectificationELBO().terms(model, guide)


def test_unrelated_error_of_the_model_is_raised_unchanged() -> None:
    def model() -> None:
        raise RuntimeError("the model's own mistake")

    with pytest.raises(RuntimeError, match="own mistake"):
        RectificationELBO().terms(model, lambda: None)


def test_model_without_the_data_plate_is_refused_and_its_plates_are_named() -> None:
    def model() -> None:
        with pyro.plate("rows", BATCH):
            pyro.sample("y", dist.Normal(0.0, 1.0), obs=torch.zeros(BATCH))

    with pytest.raises(UserError, match=r"nothing inside a plate named 'data' \(its plates: rows\)"):
        RectificationELBO().terms(model, lambda: None)
    assert RectificationELBO(data_plate="rows").terms(model, lambda: None).plate_size == BATCH
