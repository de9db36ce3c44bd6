"""The checks of Pyro's own estimators, and the warning about latents whose order differs between model and guide."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import TraceMeanField_ELBO
from torch import nn

from vri_pyro.infer.elbo import MeanFieldWarning, RectificationELBO

Part = Callable[[], None]
LABELS = torch.tensor([0.3, -1.2, 0.7])


def _observe(mean: torch.Tensor | float = 0.0) -> None:
    with pyro.plate("data", len(LABELS)):
        pyro.sample("y", dist.Normal(torch.as_tensor(mean), 1.0), obs=LABELS)


def _normal(name: str, mean: torch.Tensor | float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return pyro.sample(name, dist.Normal(torch.as_tensor(mean), scale))


def _simple() -> None:
    _observe(_normal("x"))


# ----------------------------------------------------------------------------------------------------- order of latents


def _b_follows_a() -> None:
    a = _normal("a")
    _observe(_normal("b", 3.0 * a))


def _a_follows_b() -> None:
    b = _normal("b")
    _normal("a", 0.5 * b, 0.3)


@pytest.mark.parametrize("validation", [True, False])
def test_latents_that_depend_on_each_other_in_opposite_orders_warn(validation: bool) -> None:
    elbo = RectificationELBO()
    with pyro.validation_enabled(validation):
        with pytest.warns(MeanFieldWarning, match=r"^latent 'b' depends on 'a' in the model, but 'a' depends on 'b'"):
            elbo.loss(_b_follows_a, _a_follows_b)
        if not validation:
            elbo.loss(_b_follows_a, _a_follows_b)  # warns once only: a second warning would be an error


def test_analytic_bound_is_wrong_where_the_warning_says_so() -> None:
    torch.manual_seed(0)
    many = RectificationELBO(num_particles=100_000)
    with pytest.warns(MeanFieldWarning):
        analytic = many.loss(_b_follows_a, _a_follows_b)
    b = torch.randn(400_000)
    a = 0.5 * b + 0.3 * torch.randn(400_000)
    p_a, p_b = dist.Normal(0.0, 1.0).log_prob(a), dist.Normal(3 * a, 1.0).log_prob(b)
    q = dist.Normal(0.0, 1.0).log_prob(b) + dist.Normal(0.5 * b, 0.3).log_prob(a)
    y = dist.Normal(b[:, None], 1.0).log_prob(LABELS).sum(-1)
    right = -(p_a + p_b + y - q).mean()
    assert (analytic - right).abs() > 1.0


def test_dependence_through_a_third_latent_warns() -> None:
    def model() -> None:
        a = _normal("a")
        _normal("c")
        _observe(_normal("b", 3.0 * a))

    def guide() -> None:
        c = _normal("c", _normal("b"))
        _normal("a", c)

    with pytest.warns(MeanFieldWarning, match=r"^latent 'b' depends on 'a'"):
        RectificationELBO().loss(model, guide)


GUIDES: dict[str, Part] = {
    "same order": lambda: (_normal("a"), _normal("b"))[0],  # type: ignore[dict-item]
    "same order, dependent": lambda: _normal("b", _normal("a")),  # type: ignore[dict-item]
    "another order, independent": lambda: (_normal("b"), _normal("a"))[0],  # type: ignore[dict-item]
}


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES.keys())
def test_guide_that_meets_the_condition_does_not_warn(guide: Part) -> None:
    RectificationELBO().loss(_b_follows_a, guide)


def test_check_changes_neither_random_state_nor_buffers() -> None:
    class Guide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(1)

        def forward(self) -> None:
            _normal("b", self.norm(torch.tensor([[0.1], [0.4]])).mean())
            _normal("a")

    states = []
    for checked in (True, False):
        torch.manual_seed(0)
        guide, elbo = Guide(), RectificationELBO(max_plate_nesting=1)
        elbo._mean_field_checked = not checked
        with pyro.validation_enabled(False):
            elbo.loss(_b_follows_a, guide)
        states.append((torch.get_rng_state(), *guide.buffers()))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


# ---------------------------------------------------------------------------------------------------- Pyro's own checks


def _with_sequential_plate() -> None:
    for _ in pyro.plate("sequential", 10, 5):
        pass
    _normal("x")


def _with_factor() -> None:
    _normal("x")
    pyro.factor("weight", torch.tensor(1.0))


def _enumerated() -> None:
    pyro.sample("x", dist.Normal(0.0, 1.0), infer={"enumerate": "parallel"})


def _wide() -> None:
    with pyro.plate("outer", 3, dim=-1):
        pyro.sample("w", dist.Normal(torch.zeros(2, 3), 1.0))  # the left dimension belongs to no plate


def _nested() -> None:
    with pyro.plate("outer", 3, dim=-1), pyro.plate("inner", 2, dim=-2):
        _normal("w")


def _then_observed(part: Part) -> Part:
    def model() -> None:
        part()
        _observe()

    return model


RAISED: dict[str, tuple[Part, Part, float, str]] = {
    "factor in the guide without has_rsample": (_simple, _with_factor, 1, "missing specification of has_rsample"),
    "dimension without a plate": (_then_observed(_wide), _wide, 2, "invalid log_prob shape"),
    "more plates than declared": (_then_observed(_nested), _nested, 1, "plate stack overflow"),
}
WARNED: dict[str, tuple[Part, Part, str]] = {
    "sequential plate in the guide alone": (_simple, _with_sequential_plate, "plate statements in guide but not model"),
    "latent marked for enumeration": (_simple, _enumerated, "need to use TraceEnum_ELBO"),
}


@pytest.mark.parametrize(("model", "guide", "nesting", "message"), RAISED.values(), ids=RAISED.keys())
@pytest.mark.parametrize("estimator", [RectificationELBO, TraceMeanField_ELBO])
def test_validation_raises(model: Part, guide: Part, nesting: float, message: str, estimator: type) -> None:
    with pytest.raises(ValueError, match=message):
        estimator(max_plate_nesting=nesting).loss(model, guide)


@pytest.mark.parametrize(("model", "guide", "message"), WARNED.values(), ids=WARNED.keys())
@pytest.mark.parametrize("estimator", [RectificationELBO, TraceMeanField_ELBO])
def test_validation_warns(model: Part, guide: Part, message: str, estimator: type) -> None:
    with pytest.warns(UserWarning, match=message):
        estimator(max_plate_nesting=1).loss(model, guide)


@pytest.mark.parametrize("case", [(case[0], case[1]) for case in WARNED.values()], ids=WARNED.keys())
def test_without_validation_nothing_is_checked(case: tuple[Part, Part]) -> None:
    with pyro.validation_enabled(False), warnings.catch_warnings():
        warnings.simplefilter("error")
        RectificationELBO(max_plate_nesting=1).loss(*case)


@pytest.mark.parametrize("particles", [1, 3])
def test_checks_pass_for_any_number_of_particles(particles: int) -> None:
    RectificationELBO(num_particles=particles).loss(_then_observed(_nested), _nested)
