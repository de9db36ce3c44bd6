"""The converter to ArviZ, on Pyro models of many kinds, against densities written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, TraceEnum_ELBO, config_enumerate
from pyro.infer.autoguide import AutoDelta, AutoMultivariateNormal, AutoNormal
from pyro.optim import Adam
from scipy import stats
from torch import Tensor
from xarray import DataTree

from vri_pyro.diagnostics.pyro_svi import from_pyro_svi
from vri_pyro.errors import UserError

GROUPS, MEMBERS = 3, 4
both_ways = pytest.mark.parametrize("parallel", [False, True], ids=["one by one", "at once"])


def regression(x: Tensor, y: Tensor) -> None:
    """Slopes by group around a common one: globals, a latent in one plate, data in two."""
    common = pyro.sample("common", dist.Normal(0.0, 2.0))
    spread = pyro.sample("spread", dist.HalfNormal(1.0))
    shares = pyro.sample("shares", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("group", GROUPS, dim=-2):
        slope = pyro.sample("slope", dist.Normal(common, spread))
        with pyro.plate("member", MEMBERS, dim=-1):
            mean = pyro.deterministic("mean", slope * x + shares[..., 0])
            pyro.sample("y", dist.Normal(mean, 0.5), obs=y)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(GROUPS, MEMBERS)


@pytest.fixture
def y(x: Tensor) -> Tensor:
    return 2 * x + 0.5 * torch.randn(GROUPS, MEMBERS)


def normal(value: Any, mean: Any, sd: Any) -> np.ndarray:
    return stats.norm.logpdf(value, mean, sd)


@both_ways
def test_hierarchical_regression_has_the_dimensions_of_its_plates_and_events(
    x: Tensor, y: Tensor, parallel: bool
) -> None:
    tree = from_pyro_svi(
        regression,
        AutoNormal(regression),
        x,
        y,
        num_draws=7,
        num_prior_draws=5,
        parallel=parallel,
        chunk_size=3,
        dims={"shares": ["part"], "x": ["group", "member"]},
        coords={"part": ["a", "b", "c"], "group": ["one", "two", "three"]},
        constant_data={"x": x},
    )
    assert {name: tree.posterior[name].dims for name in tree.posterior.data_vars} == {
        "common": ("chain", "draw"),
        "spread": ("chain", "draw"),
        "shares": ("chain", "draw", "part"),
        "slope": ("chain", "draw", "group"),
        "mean": ("chain", "draw", "group", "member"),
    }
    assert dict(tree.posterior.sizes) == {"chain": 1, "draw": 7, "part": 3, "group": 3, "member": 4}
    assert dict(tree.prior.sizes) == dict(tree.posterior.sizes) | {"draw": 5}
    assert tree.prior.data_vars.keys() == tree.posterior.data_vars.keys()
    assert list(tree.posterior.part.values) == ["a", "b", "c"]
    assert list(tree.log_likelihood.group.values) == ["one", "two", "three"]
    for group in ("log_likelihood", "posterior_predictive"):
        assert tree[group].y.dims == ("chain", "draw", "group", "member")
    assert tree.prior_predictive.y.shape == (1, 5, 3, 4)
    np.testing.assert_array_equal(tree.observed_data.y, y)
    np.testing.assert_array_equal(tree.constant_data.x.sel(group="two"), x[1])
    assert tree.posterior.attrs["inference_library"] == "pyro"


@both_ways
def test_hierarchical_regressions_densities_are_those_by_hand(x: Tensor, y: Tensor, parallel: bool) -> None:
    guide = AutoNormal(regression, init_scale=0.3)
    tree = from_pyro_svi(regression, guide, x, y, num_draws=20, num_prior_draws=0, parallel=parallel, chunk_size=6)
    drawn = {name: tree.posterior[name].values[0] for name in tree.posterior.data_vars}
    mean = drawn["slope"][..., None] * x.numpy() + drawn["shares"][:, None, None, 0]
    np.testing.assert_allclose(drawn["mean"], mean)
    likelihood = normal(y.numpy(), mean, 0.5)
    np.testing.assert_allclose(tree.log_likelihood.y[0], likelihood)

    prior = normal(drawn["common"], 0, 2) + stats.halfnorm.logpdf(drawn["spread"])
    prior += normal(drawn["slope"], drawn["common"][:, None], drawn["spread"][:, None]).sum(1) + np.log(2)  # Γ(3)
    np.testing.assert_allclose(tree.sample_stats.log_p_joint[0], likelihood.sum((1, 2)) + prior)

    def q(name: str, value: np.ndarray) -> np.ndarray:
        loc, scale = (getattr(part, name).detach().numpy() for part in (guide.locs, guide.scales))
        return normal(value, loc, scale)

    to_simplex = torch.distributions.biject_to(dist.constraints.simplex)
    shares = torch.as_tensor(drawn["shares"])
    free = to_simplex.inv(shares)
    density = q("common", drawn["common"])
    density += q("spread", np.log(drawn["spread"])) - np.log(drawn["spread"])
    density += q("slope", drawn["slope"][..., None]).sum((1, 2))
    density += q("shares", free.numpy()).sum(1) - to_simplex.log_abs_det_jacobian(free, shares).numpy()
    np.testing.assert_allclose(tree.sample_stats.log_q_joint[0], density)
    assert "log_p" not in tree.sample_stats  # two plates hold the data


@both_ways
def test_plate_that_holds_the_data_can_be_named(x: Tensor, y: Tensor, parallel: bool) -> None:
    guide = AutoNormal(regression, init_scale=0.3)
    tree = from_pyro_svi(regression, guide, x, y, num_draws=8, parallel=parallel, chunk_size=8, data_plate="group")
    drawn = {name: tree.posterior[name].values[0] for name in tree.posterior.data_vars}
    per_group = normal(y.numpy(), drawn["mean"], 0.5).sum(2)
    per_group += normal(drawn["slope"], drawn["common"][:, None], drawn["spread"][:, None])
    assert tree.sample_stats.log_p.dims == ("chain", "draw", "group")
    np.testing.assert_allclose(tree.sample_stats.log_p[0], per_group)
    loc, scale = (part.slope.detach().numpy()[:, 0] for part in (guide.locs, guide.scales))
    np.testing.assert_allclose(tree.sample_stats.log_q[0], normal(drawn["slope"], loc, scale))


def conjugate(y: Tensor) -> None:
    """v ~ N(0, 1), y ~ N(v, 1): the posterior is N(y/2, 1/2), the evidence N(0, 2)."""
    with pyro.plate("data", len(y)):
        v = pyro.sample("v", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(v, 1.0), obs=y)


def exact(y: Tensor) -> None:
    with pyro.plate("data", len(y)):
        pyro.sample("v", dist.Normal(y / 2, 0.5**0.5))


@both_ways
def test_exact_guide_weighs_every_draw_by_the_evidence(parallel: bool) -> None:
    y = 2 * torch.randn(6)
    tree = from_pyro_svi(conjugate, exact, y, num_draws=30, parallel=parallel, chunk_size=7)
    weights = tree.sample_stats.log_p - tree.sample_stats.log_q
    evidence = normal(y.numpy(), 0, 2**0.5)
    np.testing.assert_allclose(weights.values[0], np.tile(evidence, (30, 1)))
    joint = tree.sample_stats.log_p_joint - tree.sample_stats.log_q_joint
    np.testing.assert_allclose(joint.values[0], evidence.sum())


@both_ways
def test_draws_follow_their_distributions(parallel: bool) -> None:
    y = torch.tensor([-2.0, 0.0, 3.0])
    tree = from_pyro_svi(conjugate, exact, y, num_draws=3000, parallel=parallel, chunk_size=1000)
    posterior, prior = tree.posterior.v[0], tree.prior.v[0]
    for i, observed in enumerate(y.tolist()):
        for draws, mean, sd in (
            (posterior[:, i], observed / 2, 0.5**0.5),
            (tree.posterior_predictive.y[0, :, i], observed / 2, 1.5**0.5),
            (prior[:, i], 0, 1),
            (tree.prior_predictive.y[0, :, i], 0, 2**0.5),
        ):
            assert stats.kstest(draws, stats.norm(mean, sd).cdf).pvalue > 1e-3
    # Predictions are those of the draw beside them.
    assert stats.kstest((tree.posterior_predictive.y - tree.posterior.v).values.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest((tree.prior_predictive.y - tree.prior.v).values.ravel(), "norm").pvalue > 1e-3


DATA = torch.arange(100.0)


def subsampled(how: Callable[[], Any]) -> Callable[..., None]:
    def model() -> None:
        centre = pyro.sample("centre", dist.Normal(0.0, 1.0))
        with how() as index:
            v = pyro.sample("v", dist.Normal(centre, 1.0))
            pyro.sample("y", dist.Normal(v, 1.0), obs=DATA[index])

    return model


@both_ways
@pytest.mark.parametrize(
    "how",
    [
        lambda: pyro.plate("data", 100, subsample_size=5),
        lambda: pyro.plate("data", 100, subsample=torch.tensor([7, 3, 50, 99, 0])),
    ],
    ids=["random", "given"],
)
def test_subsampled_plate_keeps_its_subsample_and_counts_each_datum_once(
    how: Callable[[], Any], parallel: bool
) -> None:
    model = subsampled(how)
    guide = AutoNormal(model, init_scale=0.5, create_plates=how)
    tree = from_pyro_svi(
        model, guide, num_draws=12, parallel=parallel, chunk_size=5, coords={"data": [f"no. {i}" for i in range(100)]}
    )
    chosen = tree.observed_data.y.values.astype(int)
    assert len(set(chosen.tolist())) == 5
    assert list(tree.posterior.data.values) == [f"no. {i}" for i in chosen]
    v, centre = tree.posterior.v.values[0], tree.posterior.centre.values[0]
    by_datum = normal(v, centre[:, None], 1) + normal(chosen, v, 1)
    np.testing.assert_allclose(tree.sample_stats.log_p[0], by_datum)
    loc, scale = guide.locs.v.detach().numpy()[chosen], guide.scales.v.detach().numpy()[chosen]
    np.testing.assert_allclose(tree.sample_stats.log_q[0], normal(v, loc, scale))
    np.testing.assert_allclose(tree.log_likelihood.y[0], normal(chosen, v, 1))
    assert "log_p_joint" not in tree.sample_stats  # of five data, but the guide's centre is that of a hundred


def test_labels_of_a_subsample_are_its_indices_by_default() -> None:
    model = subsampled(lambda: pyro.plate("data", 100, subsample_size=5))
    tree = from_pyro_svi(model, AutoNormal(model), num_draws=3)
    np.testing.assert_array_equal(tree.posterior.data, tree.observed_data.y)


@both_ways
def test_correlated_guide_has_a_joint_density_and_none_by_datum(parallel: bool) -> None:
    y = torch.randn(4)
    guide = AutoMultivariateNormal(conjugate, init_scale=0.7)
    tree = from_pyro_svi(conjugate, guide, y, num_draws=9, parallel=parallel, chunk_size=4)
    assert set(tree.sample_stats.data_vars) == {"log_p_joint", "log_q_joint"}
    assert set(tree.posterior.data_vars) == {"v"}
    together = guide.get_posterior(y)
    expected = together.log_prob(torch.as_tensor(tree.posterior.v.values[0]))
    np.testing.assert_allclose(tree.sample_stats.log_q_joint[0], expected.detach())


def test_points_are_drawn_again_and_again() -> None:
    y = torch.randn(4)
    tree = from_pyro_svi(conjugate, AutoDelta(conjugate), y, num_draws=3)
    assert np.ptp(tree.posterior.v.values[0], axis=0).max() == 0
    assert set(tree.sample_stats.data_vars) == {"log_p", "log_q", "log_p_joint", "log_q_joint"}


@config_enumerate
def mixture(y: Tensor) -> None:
    location = pyro.sample("location", dist.Normal(0.0, 3.0))
    with pyro.plate("data", len(y)):
        high = pyro.sample("high", dist.Bernoulli(0.3))
        pyro.sample("y", dist.Normal(location + 4 * high, 1.0), obs=y)


def test_discrete_latent_that_was_summed_out_is_refused_and_one_that_the_guide_samples_is_not() -> None:
    y = torch.randn(5)
    guide = AutoNormal(poutine.block(mixture, hide=["high"]))
    SVI(mixture, guide, Adam({"lr": 0.01}), TraceEnum_ELBO(max_plate_nesting=1)).step(y)
    with pytest.raises(UserError, match="does not sample the discrete latent 'high', which was summed out"):
        from_pyro_svi(mixture, guide, y, num_draws=2)

    def sampling(y: Tensor) -> None:
        guide(y)
        with pyro.plate("data", len(y)):
            pyro.sample("high", dist.Bernoulli(torch.linspace(0.1, 0.9, len(y))))

    tree = from_pyro_svi(mixture, sampling, y, num_draws=6)
    high = tree.posterior.high.values[0]
    chance = np.linspace(0.1, 0.9, 5)
    np.testing.assert_allclose(tree.sample_stats.log_q[0], np.log(np.where(high == 1, chance, 1 - chance)))
    mean = tree.posterior.location.values[0][:, None] + 4 * high
    expected = np.log(np.where(high == 1, 0.3, 0.7)) + normal(y.numpy(), mean, 1)
    np.testing.assert_allclose(tree.sample_stats.log_p[0], expected)


def test_latent_that_the_guide_lacks_or_has_too_many_of_is_named() -> None:
    y = torch.randn(3)
    with pytest.raises(UserError, match="does not sample the model's latent 'v'; give the guide a site"):
        from_pyro_svi(conjugate, lambda y: None, y)

    def more(y: Tensor) -> None:
        exact(y)
        pyro.sample("w", dist.Normal(0.0, 1.0))

    with pytest.raises(UserError, match="the guide samples 'w', which is no latent of the model"):
        from_pyro_svi(conjugate, more, y)


@both_ways
def test_masks_are_honoured_and_the_models_own_scale_stays_in_log_p(parallel: bool) -> None:
    y, seen = torch.randn(4), torch.tensor([True, False, True, True])

    def model(y: Tensor) -> None:
        with pyro.plate("data", 4):
            v = pyro.sample("v", dist.Normal(0.0, 1.0))
            with poutine.mask(mask=seen), poutine.scale(scale=0.25):
                pyro.sample("y", dist.Normal(v, 1.0), obs=y)

    tree = from_pyro_svi(model, exact, y, num_draws=5, parallel=parallel, chunk_size=2)
    v = tree.posterior.v.values[0]
    likelihood = np.where(seen, normal(y.numpy(), v, 1), 0)
    np.testing.assert_allclose(tree.log_likelihood.y[0], likelihood)
    np.testing.assert_allclose(tree.sample_stats.log_p[0], normal(v, 0, 1) + 0.25 * likelihood)


@both_ways
def test_missing_observations_are_latents(parallel: bool) -> None:
    y, seen = torch.randn(4), torch.tensor([True, False, True, True])

    def model() -> None:
        centre = pyro.sample("centre", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 4):
            pyro.sample("y", dist.Normal(centre, 1.0), obs=y, obs_mask=seen)

    tree = from_pyro_svi(model, AutoNormal(model), num_draws=5, parallel=parallel)
    filled = tree.posterior.y.values[0]
    np.testing.assert_array_equal(filled[:, seen], np.tile(y[seen], (5, 1)))
    assert np.ptp(filled[:, 1]) > 0


@both_ways
def test_factors_count_but_are_no_data(parallel: bool) -> None:
    def model(y: Tensor) -> None:
        with pyro.plate("data", len(y)):
            v = pyro.sample("v", dist.Normal(0.0, 1.0))
            pyro.factor("penalty", -3 * v.square())
            pyro.sample("y", dist.Normal(v, 1.0), obs=y)

    y = torch.randn(4)
    tree = from_pyro_svi(model, exact, y, num_draws=5, parallel=parallel, chunk_size=5)
    v = tree.posterior.v.values[0]
    np.testing.assert_allclose(tree.sample_stats.log_p[0], normal(v, 0, 1) - 3 * v**2 + normal(y.numpy(), v, 1))
    for group in ("observed_data", "log_likelihood", "posterior_predictive", "prior_predictive"):
        assert set(tree[group].data_vars) == {"y"}


@both_ways
def test_events_and_integer_data_keep_their_kind(parallel: bool) -> None:
    counts = torch.tensor([[3, 1, 0], [0, 2, 2]])

    def model(counts: Tensor) -> None:
        with pyro.plate("data", 2):
            rates = pyro.sample("rates", dist.Gamma(torch.ones(3), 1.0).to_event(1))
            pyro.sample("counts", dist.Poisson(rates).to_event(1), obs=counts)

    tree = from_pyro_svi(model, AutoNormal(model), counts, num_draws=4, parallel=parallel, dims={"counts": ["kind"]})
    assert tree.observed_data.counts.dims == ("data", "kind")
    assert tree.observed_data.counts.dtype == np.int64
    assert tree.log_likelihood.counts.dims == ("chain", "draw", "data")
    rates = tree.posterior.rates.values[0]
    np.testing.assert_allclose(tree.log_likelihood.counts[0], stats.poisson.logpmf(counts, rates).sum(-1))


def test_sites_without_plates_and_sequential_plates_have_dimensions_of_their_own() -> None:
    y = torch.randn(3)

    def model() -> None:
        for i in pyro.plate("one by one", 3):
            pyro.sample(f"y{i}", dist.Normal(pyro.sample(f"v{i}", dist.Normal(0.0, 1.0)), 1.0), obs=y[i])
        pyro.sample("loose", dist.Normal(torch.zeros(2), 1.0))

    def guide() -> None:
        for i in pyro.plate("one by one", 3):
            pyro.sample(f"v{i}", dist.Normal(0.0, 1.0))
        pyro.sample("loose", dist.Normal(torch.zeros(2), 1.0))

    tree = from_pyro_svi(model, guide, num_draws=4)
    assert tree.posterior.v2.dims == ("chain", "draw")
    assert tree.posterior.loose.dims == ("chain", "draw", "loose_dim_0")
    assert set(tree.sample_stats.data_vars) == {"log_p_joint", "log_q_joint"}


def test_model_whose_dimensions_have_no_plate_cannot_be_drawn_at_once() -> None:
    def model() -> None:
        centre = pyro.sample("centre", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(centre + torch.zeros(3), 1.0).to_event(1), obs=torch.randn(3))

    with pytest.raises(UserError, match="cannot make 5 draws at once; leave parallel=False"):
        from_pyro_svi(model, AutoNormal(model), num_draws=5, parallel=True)
    assert from_pyro_svi(model, AutoNormal(model), num_draws=5).posterior.sizes["draw"] == 5


def test_sites_that_come_and_go_are_refused() -> None:
    calls: list[int] = []

    def model(y: Tensor) -> None:
        conjugate(y)
        calls.append(1)
        if len(calls) > 2:
            pyro.factor("late", torch.zeros(()))

    with pytest.raises(UserError, match="site 'late' is in some draws and not in others"):
        from_pyro_svi(model, exact, torch.randn(3), num_draws=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_draws": 0}, "num_draws is 0 and chunk_size 50; give at least 1"),
        ({"data_plate": "datum"}, "there is no plate 'datum'; the model's are: data"),
        ({"coords": {"data": ["a", "b"]}}, "coords has 2 labels for the plate 'data' of 3"),
        ({"dims": {"v": ["a", "b", "c"]}}, "dims has 3 names for 'v', which has 0 event dimensions and 1 in all"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_pyro_svi(conjugate, exact, torch.randn(3), **{"num_draws": 2, **options})


def test_plate_called_as_arviz_calls_the_draws_is_refused() -> None:
    def model() -> None:
        with pyro.plate("draw", 3):
            pyro.sample("v", dist.Normal(0.0, 1.0))

    with pytest.raises(UserError, match="a plate is called 'draw'"):
        from_pyro_svi(model, AutoNormal(model))


def test_prior_that_cannot_be_sampled_is_left_out_on_demand() -> None:
    def model() -> None:
        centre = pyro.sample("centre", dist.ImproperUniform(dist.constraints.real, (), ()))
        pyro.sample("y", dist.Normal(centre, 1.0), obs=torch.tensor(1.0))

    def guide() -> None:
        pyro.sample("centre", dist.Normal(1.0, 1.0))

    with pytest.raises(UserError, match="prior cannot be sampled from; set num_prior_draws to 0"):
        from_pyro_svi(model, guide, num_draws=2)
    tree = from_pyro_svi(model, guide, num_draws=2, num_prior_draws=0)
    assert "prior" not in tree.children
    np.testing.assert_allclose(tree.sample_stats.log_p_joint, tree.log_likelihood.y)


def test_arguments_by_name_reach_model_and_guide() -> None:
    y = torch.randn(3)
    tree = from_pyro_svi(conjugate, exact, num_draws=2, model_kwargs={"y": y})
    np.testing.assert_array_equal(tree.observed_data.y, y)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_arviz_takes_the_tree(x: Tensor, y: Tensor) -> None:
    guide = AutoNormal(regression, init_scale=0.05)
    svi = SVI(regression, guide, Adam({"lr": 0.05}), pyro.infer.Trace_ELBO(10, vectorize_particles=True))
    for _ in range(150):
        svi.step(x, y)
    tree: DataTree = from_pyro_svi(regression, guide, x, y, num_draws=500, parallel=True, chunk_size=250)
    summary = az.summary(tree, var_names=["common", "slope"], kind="stats", round_to="none")
    assert list(summary.index) == ["common", *(f"slope[{i}]" for i in range(3))]
    np.testing.assert_allclose(summary["mean"]["common"], tree.posterior.common.mean())
    joint = {f"log_{d}": tree.sample_stats[f"log_{d}_joint"] for d in "pq"}
    loo = az.loo_approximate_posterior(tree, **joint, pointwise=True)
    assert loo.n_data_points == 12
    assert loo.pareto_k.dims == ("group", "member")
