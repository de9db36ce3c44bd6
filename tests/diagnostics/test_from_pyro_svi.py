"""Tests of the converter to ArviZ on many kinds of models, against densities and moments computed by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from converted import converted
from pyro import poutine
from pyro.infer.autoguide import (
    AutoDelta,
    AutoGuideList,
    AutoHierarchicalNormalMessenger,
    AutoMultivariateNormal,
    AutoNormal,
    AutoNormalMessenger,
    AutoStructured,
)
from pyro.infer.reparam import LocScaleReparam
from scipy import stats
from torch import Tensor

from vri_pyro.guides import DiagonalNormal
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import Rectification
from vri_pyro.utils.errors import UserError

GROUPS, MEMBERS = 4, 5
NOISE = 0.5


def regression(x: Tensor, y: Tensor | None) -> None:
    """Regression with one slope per group, and global latents with three kinds of event shapes."""
    centre = pyro.sample("centre", dist.Normal(0, 2))
    spread = pyro.sample("spread", dist.LogNormal(0, 1))
    pyro.sample("shares", dist.Dirichlet(torch.ones(2, 3)).to_event(1))
    with pyro.plate("group", GROUPS, dim=-2):
        slope = pyro.sample("slope", dist.Normal(centre, spread))
        with pyro.plate("member", MEMBERS, dim=-1):
            mean = pyro.deterministic("mean", slope * x)
            pyro.sample("y", dist.Normal(mean, NOISE), obs=y)


def conjugate(y: Tensor) -> None:
    with pyro.plate("data", len(y)):
        z = pyro.sample("z", dist.Normal(0, 1))
        pyro.sample("y", dist.Normal(z, NOISE), obs=y)


def exact_guide(y: Tensor) -> None:
    precision = 1 + 1 / NOISE**2
    with pyro.plate("data", len(y)):
        pyro.sample("z", dist.Normal(y / NOISE**2 / precision, precision**-0.5))


@pytest.fixture
def xy() -> tuple[Tensor, Tensor]:
    return torch.randn(GROUPS, MEMBERS), torch.randn(GROUPS, MEMBERS)


@pytest.fixture
def y() -> Tensor:
    return torch.tensor([-1.0, 0.0, 2.5])


def test_axes_are_named_after_plates_and_events(xy: tuple[Tensor, Tensor]) -> None:
    tree = converted(
        regression,
        AutoNormal(regression),
        *xy,
        num_samples=3,
        dims={"shares": ["row", "column"], "x": ["group", "member"]},
        coords={"group": list("abcd")},
        constant_data={"x": xy[0]},
    )
    expected = {"centre": (), "spread": (), "shares": ("row", "column"), "slope": ("group",)}
    expected["mean"] = ("group", "member")
    for group in ("posterior", "prior"):
        assert {name: v.dims for name, v in tree[group].items()} == {
            name: ("chain", "draw", *dims) for name, dims in expected.items()
        }
    for group in ("posterior_predictive", "prior_predictive", "log_likelihood"):
        assert tree[group].y.dims == ("chain", "draw", "group", "member")
    assert tree.posterior.sizes["chain"] == 1
    assert tree.posterior.group.values.tolist() == list("abcd")
    assert tree.posterior.member.values.tolist() == list(range(MEMBERS))
    np.testing.assert_array_equal(tree.observed_data.y, xy[1])
    assert tree.constant_data.x.dims == ("group", "member")


def _vectors(y: Tensor) -> None:
    mean = pyro.sample("mean", dist.Normal(torch.zeros(3), 1).to_event(1))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.MultivariateNormal(mean, torch.eye(3)), obs=y)


def _counts(y: Tensor) -> None:
    shares = pyro.sample("shares", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.Multinomial(10, shares), obs=y)


def _pixels(y: Tensor) -> None:
    with pyro.plate("data", len(y)):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
        pyro.sample("y", dist.Bernoulli(logits=z.sum(-1, keepdim=True).expand(-1, 3)).to_event(1), obs=y)


def _one_vector(y: Tensor) -> None:
    scale = pyro.sample("scale", dist.LogNormal(0, 1))
    pyro.sample("y", dist.MultivariateNormal(torch.zeros(3), scale * torch.eye(3)), obs=y)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (_vectors, torch.randn(7, 3)),
        (_vectors, torch.randn(3, 3)),
        (_counts, dist.Multinomial(10, torch.ones(3) / 3).sample(torch.Size([7]))),
        (_pixels, torch.bernoulli(torch.full((7, 3), 0.5))),
        (_one_vector, torch.randn(3)),
    ],
    ids=["vectors", "as many as their length", "counts", "pixels", "one vector"],
)
def test_vector_data_have_one_likelihood_per_datum(model: Callable[[Tensor], None], y: Tensor) -> None:
    guide = AutoNormal(model)
    tree = converted(model, guide, y, num_samples=len(y), dims={"y": ["feature"]})
    data = ("data",) * (y.dim() - 1)
    assert tree.log_likelihood.y.dims == ("chain", "draw", *data)
    assert tree.posterior_predictive.y.dims == ("chain", "draw", *data, "feature")
    assert tree.observed_data.y.dims == (*data, "feature")
    drawn = {name: torch.as_tensor(values.values[0, 0]) for name, values in tree.posterior.items()}
    trace = poutine.trace(poutine.condition(model, drawn)).get_trace(y)
    by_hand = trace.nodes["y"]["fn"].log_prob(y)
    np.testing.assert_allclose(tree.log_likelihood.y.values[0, 0], by_hand.numpy(), rtol=1e-5)


def test_reparameterised_latent_is_not_data(y: Tensor) -> None:
    def schools(y: Tensor) -> None:
        centre = pyro.sample("centre", dist.Normal(0, 1))
        with pyro.plate("school", len(y)):
            effect = pyro.sample("effect", dist.Normal(centre, 2))
            pyro.sample("y", dist.Normal(effect, 1), obs=y)

    model = poutine.reparam(schools, {"effect": LocScaleReparam(0.0)})
    tree = converted(model, AutoNormal(model), y, num_samples=5)
    for group in ("posterior", "prior"):
        assert set(tree[group].data_vars) == {"centre", "effect", "effect_decentered"}
    for group in ("observed_data", "log_likelihood", "posterior_predictive", "prior_predictive"):
        assert set(tree[group].data_vars) == {"y"}
    latents = tree.posterior
    np.testing.assert_allclose(latents.effect, latents.centre + 2 * latents.effect_decentered, rtol=1e-5)


def test_package_does_not_change_pyros_settings() -> None:
    program = "import pyro; before = pyro.settings.get(); import vri_pyro.diagnostics, vri_pyro.cli.main; "
    program += "assert pyro.settings.get() == before"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("guide", [AutoNormal, AutoMultivariateNormal, AutoStructured])
def test_guide_that_pyro_trained_is_converted(xy: tuple[Tensor, Tensor], guide: Callable[[Any], Any]) -> None:
    guide = guide(regression)
    svi = pyro.infer.SVI(regression, guide, pyro.optim.Adam({"lr": 0.02}), pyro.infer.Trace_ELBO())
    for _ in range(5):
        svi.step(*xy)
    tree = converted(regression, guide, *xy, num_samples=200)
    expected = guide.median(*xy)["centre"]
    assert abs(tree.posterior.centre.median().item() - expected.item()) < 0.3


@pytest.mark.parametrize("guide", [AutoNormalMessenger, AutoHierarchicalNormalMessenger])
def test_messenger_guide_has_no_observed_sites(xy: tuple[Tensor, Tensor], guide: Callable[[Any], Any]) -> None:
    def model(x: Tensor, y: Tensor) -> None:
        centre = pyro.sample("centre", dist.Normal(0, 2))
        with pyro.plate("group", GROUPS, dim=-2):
            slope = pyro.sample("slope", dist.Normal(centre, 1))
            with pyro.plate("member", MEMBERS, dim=-1):
                pyro.sample("y", dist.Normal(pyro.deterministic("mean", slope * x), NOISE), obs=y)

    guide = guide(model)
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), pyro.infer.Trace_ELBO())
    for _ in range(3):
        svi.step(*xy)
    tree = converted(model, guide, *xy, num_samples=400)
    assert {"posterior_predictive", "prior", "log_likelihood"} < set(tree.children)
    ratios = sum(tree.sample_stats[f"log_p{part}"].values.reshape(400, -1).sum(1) for part in ("", "_global"))
    ratios = ratios - sum(tree.sample_stats[f"log_q{part}"].values.reshape(400, -1).sum(1) for part in ("", "_global"))
    losses = [svi.evaluate_loss(*xy) for _ in range(400)]
    error = math.hypot(ratios.std(), np.std(losses)) / 20
    assert abs(ratios.mean() + np.mean(losses)) < 4 * error


def test_densities_with_global_latents_equal_those_computed_by_hand(xy: tuple[Tensor, Tensor]) -> None:
    guide = AutoNormal(regression, init_scale=0.3)
    tree = converted(
        regression, guide, *xy, num_samples=4, groups=("posterior", "log_likelihood", "log_prior", "sample_stats")
    )
    centre, spread, shares, slope = (tree.posterior[n].values[0] for n in ("centre", "spread", "shares", "slope"))
    likelihood = stats.norm.logpdf(xy[1].numpy(), slope[..., None] * xy[0].numpy(), NOISE)
    np.testing.assert_allclose(tree.log_likelihood.y[0], likelihood)

    of_a_group = likelihood.sum(-1) + stats.norm.logpdf(slope, centre[:, None], spread[:, None])
    np.testing.assert_allclose(tree.sample_stats.log_p[0], of_a_group)
    of_globals = stats.norm.logpdf(centre, 0, 2) + stats.lognorm.logpdf(spread, 1) + 2 * math.log(2)
    np.testing.assert_allclose(tree.sample_stats.log_p_global[0], of_globals)
    assert {name: v.dims[2:] for name, v in tree.log_prior.items()} == dict.fromkeys(
        ("centre", "spread", "shares"), ()
    ) | {"slope": ("group",)}
    np.testing.assert_allclose(tree.log_prior.slope[0], stats.norm.logpdf(slope, centre[:, None], spread[:, None]))
    np.testing.assert_allclose(tree.log_prior.shares[0], 2 * math.log(2))

    means, scales = guide.locs.slope.detach().numpy(), guide.scales.slope.detach().numpy()
    q = stats.norm.logpdf(slope[..., None], means, scales)[..., 0]
    np.testing.assert_allclose(tree.sample_stats.log_q[0], q)
    np.testing.assert_allclose(shares.sum(-1), 1)


def test_power_scaling_by_arviz_detects_a_prior_in_conflict_with_the_data() -> None:
    def model(mean: float) -> None:
        z = pyro.sample("z", dist.Normal(0, 1))
        with pyro.plate("data", 2):
            pyro.sample("y", dist.Normal(z, 1), obs=torch.full((2,), mean))

    def guide(mean: float) -> None:
        pyro.sample("z", dist.Normal(2 * mean / 3, 3**-0.5))

    found = {}
    for mean in (0.0, 8.0):
        summary = az.psense_summary(converted(model, guide, mean, num_samples=1000))
        found[mean] = summary.loc["z", "prior"]
    assert found[0.0] < 0.3 < found[8.0]


def test_density_ratio_of_the_exact_posterior_is_the_evidence(y: Tensor) -> None:
    tree = converted(conjugate, exact_guide, y, num_samples=5)
    ratio = (tree.sample_stats.log_p - tree.sample_stats.log_q).values[0]
    evidence = stats.norm.logpdf(y.numpy(), 0, math.hypot(1, NOISE))
    np.testing.assert_allclose(ratio, np.tile(evidence, (5, 1)))
    assert "log_p_global" not in tree.sample_stats
    assert tree.sample_stats.attrs["point_masses"] == ""


def test_leave_one_out_by_arviz_equals_refitting() -> None:
    x, noise = torch.randn(20, 2), 0.5
    y = x.sum(-1) + noise * torch.randn(20)

    def posterior(rows: Tensor) -> tuple[Tensor, Tensor]:
        precision = torch.eye(2) + x[rows].T @ x[rows] / noise**2
        return torch.linalg.solve(precision, x[rows].T @ y[rows] / noise**2), precision

    def model() -> None:
        slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 1).to_event(1))
        with pyro.plate("row", len(y)):
            pyro.sample("y", dist.Normal(x @ slope, noise), obs=y)

    mean, precision = posterior(torch.arange(20))
    tree = converted(
        model, lambda: pyro.sample("slope", dist.MultivariateNormal(mean, precision_matrix=precision)), num_samples=4000
    )
    stats = tree.sample_stats
    joint = [stats[name].sum("row") + stats[f"{name}_global"] for name in ("log_p", "log_q")]
    loo = az.loo_approximate_posterior(tree, *joint, pointwise=True, var_name="y")
    for row in range(20):
        mean, precision = posterior(torch.arange(20) != row)
        spread = (noise**2 + x[row] @ torch.linalg.solve(precision, x[row])).sqrt()
        refitted = dist.Normal(x[row] @ mean, spread).log_prob(y[row]).item()
        assert abs(loo.elpd_i.values[row] - refitted) < 0.1


@pytest.mark.parametrize("chunk_size", [1, 7, 100])
def test_densities_do_not_depend_on_the_chunk_size(xy: tuple[Tensor, Tensor], chunk_size: int) -> None:
    tree = converted(regression, AutoNormal(regression), *xy, num_samples=20, chunk_size=chunk_size)
    assert tree.posterior["shares"].shape == tree.prior["shares"].shape == (1, 20, 2, 3)
    centre, spread, slope = (tree.posterior[name].values[0] for name in ("centre", "spread", "slope"))
    assert len(np.unique(centre)) == len(np.unique(tree.prior.centre)) == 20
    np.testing.assert_allclose(tree.posterior["mean"].values[0], slope[..., None] * xy[0].numpy())
    likelihood = stats.norm.logpdf(xy[1].numpy(), slope[..., None] * xy[0].numpy(), NOISE)
    np.testing.assert_allclose(tree.log_likelihood.y[0], likelihood)
    of_a_group = likelihood.sum(-1) + stats.norm.logpdf(slope, centre[:, None], spread[:, None])
    np.testing.assert_allclose(tree.sample_stats.log_p[0], of_a_group)
    of_globals = stats.norm.logpdf(centre, 0, 2) + stats.lognorm.logpdf(spread, 1) + 2 * math.log(2)
    np.testing.assert_allclose(tree.sample_stats.log_p_global[0], of_globals)
    assert tree.prior_predictive.y.values.std(axis=1).min() > 0


def test_predictions_have_the_moments_of_posterior_and_prior(y: Tensor) -> None:
    tree = converted(conjugate, exact_guide, y, num_samples=4000, chunk_size=1000)
    precision = 1 + 1 / NOISE**2
    for group, mean, variance in (
        ("posterior_predictive", y.numpy() / NOISE**2 / precision, 1 / precision + NOISE**2),
        ("prior_predictive", np.zeros(3), 1 + NOISE**2),
    ):
        drawn = tree[group].y.values[0]
        np.testing.assert_allclose(drawn.mean(0), mean, atol=5 * math.sqrt(variance / 4000))
        np.testing.assert_allclose(drawn.var(0), variance, rtol=0.12)
    np.testing.assert_allclose(tree.prior.z.values.std(), 1, rtol=0.05)
    np.testing.assert_allclose(tree.posterior.z.values[0].mean(0), y.numpy() / NOISE**2 / precision, atol=0.05)


def test_predictions_ignore_the_given_observations() -> None:
    def model(x: Tensor, y: Tensor) -> None:
        slope = pyro.sample("slope", dist.Normal(0, 1))
        with pyro.plate("row", len(x)):
            pyro.sample("y", dist.Normal(slope * x, NOISE), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        pyro.sample("slope", dist.Normal(2.0, 0.1))

    new = torch.tensor([-3.0, 0.0, 5.0])
    for anything in (torch.zeros(3), torch.full((3,), 99.0)):
        tree = converted(
            model, guide, new, anything, num_samples=2000, chunk_size=1000, groups=["posterior_predictive"]
        )
        drawn = tree.posterior_predictive.y.values[0]
        np.testing.assert_allclose(drawn.mean(0), 2 * new, atol=0.1)
        np.testing.assert_allclose(drawn.std(0), (NOISE**2 + (0.1 * new) ** 2).sqrt(), rtol=0.1)


def test_subsample_is_the_same_in_every_draw_and_does_not_scale_densities() -> None:
    data = torch.linspace(-3, 3, 20)

    def model() -> None:
        shift = pyro.sample("shift", dist.Normal(0, 1))
        with pyro.plate("data", 20, subsample_size=6) as chosen:
            z = pyro.sample("z", dist.Normal(shift, 1))
            pyro.sample("y", dist.Normal(z, NOISE), obs=data[chosen])

    tree = converted(model, AutoNormal(model), num_samples=7)
    indices = tree.observed_data.data.values.copy()
    assert len(set(indices.tolist())) == 6
    np.testing.assert_allclose(tree.observed_data.y, data[indices])
    z, shift = tree.posterior.z.values[0], tree.posterior["shift"].values[0]
    likelihood = stats.norm.logpdf(data[indices].numpy(), z, NOISE)
    np.testing.assert_allclose(tree.log_likelihood.y[0], likelihood)
    np.testing.assert_allclose(tree.sample_stats.log_p[0], likelihood + stats.norm.logpdf(z, shift[:, None], 1))
    np.testing.assert_allclose(tree.sample_stats.log_p_global[0], stats.norm.logpdf(shift))


def test_batch_as_subsample_keeps_global_latents() -> None:
    """As in this package's models with a transition matrix: ``subsample=range(batch)`` and a global latent."""

    def model(y: Tensor) -> None:
        transition = pyro.sample("transition", dist.Dirichlet(torch.ones(3, 3)).to_event(1))
        with pyro.plate("data", 1000, subsample=range(len(y))):
            pyro.sample("y", dist.Categorical(transition[0]), obs=y)

    def guide(y: Tensor) -> None:
        pyro.sample("transition", dist.Dirichlet(torch.full((3, 3), 2.0)).to_event(1))
        with pyro.plate("data", 1000, subsample=range(len(y))):
            pass

    tree = converted(model, guide, torch.tensor([0, 2]), num_samples=3)
    first = tree.posterior.transition.values[0, :, 0]
    np.testing.assert_allclose(tree.sample_stats.log_p[0], np.log(first[:, [0, 2]]))
    np.testing.assert_allclose(tree.sample_stats.log_p_global[0], 3 * math.log(2))
    assert tree.sample_stats.log_q.values.tolist() == [[[0, 0]] * 3]
    assert tree.observed_data.data.values.tolist() == [0, 1]


def test_guide_with_one_joint_latent_has_one_density(xy: tuple[Tensor, Tensor]) -> None:
    guide = AutoMultivariateNormal(regression)
    tree = converted(regression, guide, *xy, num_samples=4, groups=["sample_stats", "posterior"])
    assert tree.sample_stats.log_q.dims == ("chain", "draw")
    pyro.set_rng_seed(0)
    trace = poutine.trace(guide).get_trace(*xy)
    pyro.set_rng_seed(0)
    again = converted(regression, guide, *xy, num_samples=1, groups=["sample_stats"])
    assert again.sample_stats.sizes == {"chain": 1, "draw": 1}
    values = {name: tree.posterior[name].values[0, 1] for name in ("centre", "spread", "slope")}
    by_hand = stats.norm.logpdf(values["slope"], values["centre"], values["spread"]).sum()
    by_hand += stats.norm.logpdf(values["centre"], 0, 2) + stats.lognorm.logpdf(values["spread"], 1) + 2 * math.log(2)
    mean = values["slope"][:, None] * xy[0].numpy()
    by_hand += stats.norm.logpdf(xy[1].numpy(), mean, NOISE).sum()
    np.testing.assert_allclose(tree.sample_stats.log_p.values[0, 1], by_hand)
    assert trace.log_prob_sum().isfinite()


def test_scales_masks_and_factors_enter_the_right_densities(y: Tensor) -> None:
    def model() -> None:
        with pyro.plate("data", 3):
            z = pyro.sample("z", dist.Normal(0, 1))
            with poutine.scale(scale=7.0):
                pyro.sample("y", dist.Normal(z, 1), obs=y)
            with poutine.mask(mask=torch.tensor([True, False, True])):
                pyro.sample("seen", dist.Normal(z, 1), obs=y)
            pyro.factor("bonus", 0.25 * z)

    def guide() -> None:
        with pyro.plate("data", 3), poutine.scale(scale=3.0):
            pyro.sample("z", dist.Normal(1, 2))

    tree = converted(model, guide, num_samples=4)
    z = tree.posterior.z.values[0]
    likelihood = stats.norm.logpdf(y.numpy(), z, 1)
    np.testing.assert_allclose(tree.log_likelihood.y[0], likelihood)
    np.testing.assert_allclose(tree.log_likelihood.seen[0], likelihood * [1, 0, 1])
    by_hand = stats.norm.logpdf(z) + likelihood * [8, 7, 8] + 0.25 * z
    np.testing.assert_allclose(tree.sample_stats.log_p[0], by_hand)  # with scales, as in the ELBO
    np.testing.assert_allclose(tree.sample_stats.log_q[0], 3 * stats.norm.logpdf(z, 1, 2))
    assert set(tree.observed_data) == set(tree.posterior_predictive) == {"y", "seen"}


def test_data_that_depend_on_other_data_are_predicted_together() -> None:
    def model() -> None:
        first = pyro.sample("first", dist.Normal(0, 1), obs=torch.tensor(50.0))
        pyro.sample("second", dist.Normal(first, 1), obs=torch.tensor(50.0))

    tree = converted(model, lambda: None, num_samples=50)
    assert tree.posterior_predictive.second.max() < 10  # depends on the predicted "first", not on the observed 50
    np.testing.assert_allclose(tree.log_likelihood.second, stats.norm.logpdf(0))
    assert "posterior" not in tree.children


def test_discrete_latents_are_sampled_by_the_guide_or_raise() -> None:
    def model() -> None:
        with pyro.plate("data", 2):
            kind = pyro.sample("kind", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            pyro.sample("y", dist.Normal(kind, 1), obs=torch.ones(2))

    def guide() -> None:
        with pyro.plate("data", 2):
            pyro.sample("kind", dist.Bernoulli(0.9))

    tree = converted(model, guide, num_samples=30)
    kind = tree.posterior.kind.values[0]
    assert set(np.unique(kind)) == {0, 1}
    np.testing.assert_allclose(tree.sample_stats.log_q[0], np.where(kind == 1, math.log(0.9), math.log(0.1)))
    with pytest.raises(UserError, match="'kind' is not in the guide; sample it in the guide \\(a latent"):
        converted(model, lambda: None, num_samples=2)


def test_auxiliary_density_outside_the_plate_gives_one_joint_density(y: Tensor) -> None:
    def model(y: Tensor) -> None:
        with pyro.plate("data", len(y)):
            a, b = (pyro.sample(name, dist.Normal(0, 1)) for name in "ab")
            pyro.sample("y", dist.Normal(a + b, NOISE), obs=y)

    guide = AutoGuideList(model)
    guide.append(AutoMultivariateNormal(poutine.block(model, expose=["a"])))
    guide.append(AutoNormal(poutine.block(model, expose=["b"])))
    assert converted(model, guide, y, num_samples=2).sample_stats.log_q.dims == ("chain", "draw")
    apart = converted(model, AutoNormal(model), y, num_samples=2)
    assert apart.sample_stats.log_q.dims == ("chain", "draw", "data")


def test_global_point_mass_is_reported_among_other_latents(y: Tensor) -> None:
    def model(y: Tensor) -> None:
        scale = pyro.sample("scale", dist.LogNormal(0, 1))
        with pyro.plate("data", len(y)):
            z = pyro.sample("z", dist.Normal(0, scale))
            pyro.sample("y", dist.Normal(z, NOISE), obs=y)

    guide = AutoGuideList(model)
    guide.append(AutoDelta(poutine.block(model, expose=["scale"])))
    guide.append(AutoNormal(poutine.block(model, expose=["z"])))
    assert converted(model, guide, y, num_samples=2).sample_stats.attrs["point_masses"] == "scale"


def test_point_masses_are_reported(y: Tensor) -> None:
    tree = converted(conjugate, AutoDelta(conjugate), y, num_samples=2)
    assert tree.sample_stats.attrs["point_masses"] == "z"
    assert np.ptp(tree.posterior.z.values[0], axis=0).tolist() == [0, 0, 0]
    assert converted(conjugate, AutoNormal(conjugate), y, num_samples=2).sample_stats.attrs["point_masses"] == ""


def test_plate_named_as_an_arviz_dimension_and_axis_outside_plates_are_named() -> None:
    def model() -> None:
        with pyro.plate("draw", 2, dim=-2):
            z = pyro.sample("z", dist.Normal(0, 1))
            wide = pyro.deterministic("wide", z.expand(2, 3), event_dim=0)
            pyro.sample("y", dist.Normal(wide, 1), obs=torch.zeros(2, 3))

    with pyro.validation_enabled(False):  # three columns in no plate, for which Pyro's validation raises
        tree = converted(model, AutoNormal(model), num_samples=2)
    assert tree.posterior.z.dims == ("chain", "draw", "draw_plate")
    assert tree.log_likelihood.y.dims == ("chain", "draw", "draw_plate", "y_dim_1")


def test_only_requested_groups_are_computed(y: Tensor) -> None:
    tree = converted(conjugate, exact_guide, y, num_samples=2, groups=["prior"])
    assert set(tree.children) == {"prior", "observed_data"}


def test_pair_of_this_package_has_class_as_event_dimension() -> None:
    output = ClassifierOutput(torch.randn(6, 3), torch.randn(6, 4))
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    model, guide = Rectification(4, 3), DiagonalNormal(4, 3, hidden=(5,))
    classes = {"v": ["class"], "rectifier": ["class"]}
    tree = converted(model, guide, output, labels, num_samples=8, dims=classes, coords={"class": ["a", "b", "c"]})
    assert tree.posterior.v.dims == tree.posterior.rectifier.dims == ("chain", "draw", "data", "class")
    np.testing.assert_allclose(tree.posterior.rectifier, 1 / (1 + np.exp(-tree.posterior.v)))
    logits = torch.from_numpy(tree.posterior.rectifier.values[0]) * output.logits
    expected = logits.log_softmax(-1).gather(-1, labels.expand(8, 6).unsqueeze(-1)).squeeze(-1)
    np.testing.assert_allclose(tree.log_likelihood.y[0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples is 0; expected an integer >= 1"),
        ({"groups": ["posterior", "warmup"]}, "groups contains 'warmup', which is not a group; choose from posterior,"),
        ({"data_plate": "examples"}, "no plate 'examples' \\(its plates: data\\); set data_plate to one of them"),
        (
            {"dims": {"z": ["event"]}},
            "extra_event_dims names 1 dimensions of 'z' \\(event\\), but the site has 0 event dimensions",
        ),
    ],
)
def test_invalid_options_raise(y: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        converted(conjugate, exact_guide, y, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coords": {"group": [1, 2]}}, "coords has 2 values for 'group', which has size 4"),
        ({"coords": {"grup": [1, 2]}}, "coords has 'grup', which is not a dimension; choose from group, member"),
        ({"dims": {"slopes": ["a"]}}, "extra_event_dims contains 'slopes', which is not a site of the model"),
        (
            {"dims": {"shares": ["a", "a"]}},
            "extra_event_dims names the dimensions of 'shares' a, a; the names must differ",
        ),
        ({"dims": {"shares": ["draw", "a"]}}, "from one another and from chain and draw"),
        ({"constant_data": {"chain": [1]}}, "'chain' is the name of one of ArviZ's dimensions"),
        (
            {"constant_data": {"x": [1, 2]}, "dims": {"x": ["member"]}},
            "'x' has size 2 along 'member', but another variable has 5",
        ),
        ({"constant_data": {"x": [1, 2]}, "dims": {"x": ["a", "b"]}}, "dims names 2 dimensions of array 'x'"),
    ],
)
def test_wrong_names_raise(xy: tuple[Tensor, Tensor], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        converted(regression, AutoNormal(regression), *xy, num_samples=2, **options)


def test_coordinates_of_the_full_plate_are_subsampled() -> None:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(0, 1))
        with pyro.plate("data", 6, subsample=torch.tensor([4, 1])) as picked:
            pyro.sample("y", dist.Normal(mean, 1), obs=y[picked])

    tree = converted(model, AutoNormal(model), torch.randn(6), num_samples=2, coords={"data": list("abcdef")})
    assert tree.observed_data["data"].values.tolist() == ["e", "b"]


def test_improper_prior_raises_unless_prior_groups_are_left_out(y: Tensor) -> None:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.ImproperUniform(dist.constraints.real, (), ()))
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(mean, NOISE), obs=y)

    def guide(y: Tensor) -> None:
        pyro.sample("mean", dist.Normal(y.mean(), 1.0))

    with pytest.raises(UserError, match=r"ImproperUniform .* leave prior and prior_predictive out of groups"):
        converted(model, guide, y, num_samples=2)
    tree = converted(model, guide, y, num_samples=2, groups=["posterior", "posterior_predictive", "sample_stats"])
    assert np.isfinite(tree.posterior_predictive["y"].values).all()
    assert (tree.sample_stats["log_p_global"].values == 0).all()  # an improper uniform's density


def test_wrong_number_of_event_names_raises(xy: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(
        UserError, match="dims names 1 dimensions of 'shares' \\(row\\), but the site has 2 event dimensions"
    ):
        converted(regression, AutoNormal(regression), *xy, num_samples=1, dims={"shares": ["row"]})


def changing_shape() -> None:
    pyro.sample("z", dist.Normal(0, 1))
    pyro.deterministic("row", torch.zeros(int(torch.randint(1, 1000, ()))))


def coming_and_going() -> None:
    pyro.sample("z", dist.Normal(0, 1))
    if torch.rand(()) < 0.5:
        pyro.deterministic("sometimes", torch.tensor(1.0))


@pytest.mark.parametrize("model", [changing_shape, coming_and_going])
def test_sites_that_differ_between_draws_raise(model: Callable[[], None]) -> None:
    with pytest.raises(UserError, match="is missing or has another shape in some draws"):
        converted(model, lambda: pyro.sample("z", dist.Normal(0, 1)), num_samples=40, groups=["prior", "posterior"])


def test_guide_with_other_latents_raises(y: Tensor) -> None:
    def guide(y: Tensor) -> None:
        exact_guide(y)
        pyro.sample("noise", dist.Normal(0, 1))

    with pytest.raises(UserError, match="the guide samples 'noise', which is not a latent of the model"):
        converted(conjugate, guide, y, num_samples=1)
    with pytest.raises(UserError, match="'z' is not in the guide; sample it in the guide, or observe it in the model"):
        converted(conjugate, lambda y: None, y, num_samples=1)
