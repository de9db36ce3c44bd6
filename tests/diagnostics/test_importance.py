"""Tests of Pareto k-hat and the bounds against known values."""

from __future__ import annotations

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from converted import converted
from pyro.infer.autoguide import AutoDelta, AutoNormal
from scipy import stats
from torch import Tensor

from vri_pyro.diagnostics import bounds, log_weights, pareto_k, rightness
from vri_pyro.utils.errors import UserError

Y = torch.tensor([-1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
PRECISION = 5.0  # posterior precision for a unit prior and noise of scale 0.5


def model(y: Tensor) -> None:
    with pyro.plate("data", len(y)):
        z = pyro.sample("z", dist.Normal(0, 1))
        pyro.sample("y", dist.Normal(z, 0.5), obs=y)


def tree_of(widths: Tensor, num_samples: int = 2000) -> object:
    def guide(y: Tensor) -> None:
        with pyro.plate("data", len(y)):
            pyro.sample("z", dist.Normal(4 * y / PRECISION, widths * PRECISION**-0.5))

    return converted(model, guide, Y, num_samples=num_samples, chunk_size=500, groups=["sample_stats"])


def test_narrow_guide_has_the_theoretical_tail_index() -> None:
    """For a normal guide and a normal target wider by a factor r, the weights' tail index is k = 1 - 1/r²."""
    tree = tree_of(torch.tensor([0.5, 0.8, 1.0, 1.5]), num_samples=20_000)
    found = pareto_k(tree)  # type: ignore[arg-type]
    assert found.dims == ("data",)
    assert found.values[0] == pytest.approx(1 - 0.5**2, abs=0.15)
    assert found.values[1] == pytest.approx(1 - 0.8**2, abs=0.15)
    assert found.values[2] == -np.inf  # the posterior itself
    assert found.values[3] < 0.2


def test_bounds_are_equal_at_the_posterior_and_their_gap_is_the_kl() -> None:
    widths = torch.tensor([0.8, 1.0, 1.0, 1.3])
    found = bounds(tree_of(widths, num_samples=20_000))  # type: ignore[arg-type]
    evidence = stats.norm.logpdf(Y.numpy(), 0, math.hypot(1, 0.5))
    np.testing.assert_allclose(found.importance_weighted, evidence, atol=0.02)
    np.testing.assert_allclose(found.elbo[1:3], evidence[1:3])
    divergence = (widths**2 - 1) / 2 - widths.log()
    np.testing.assert_allclose(found.gap, divergence, atol=0.03)
    assert (found.gap >= -1e-12).all()


def test_point_mass_guide_has_infinite_k_hat_and_gap() -> None:
    tree = converted(model, AutoDelta(model), Y, num_samples=30)
    assert (pareto_k(tree) == np.inf).all()
    assert (bounds(tree).elbo == -np.inf).all()
    assert (bounds(tree).gap == np.inf).all()
    assert rightness(pareto_k(tree), bounds(tree)).startswith("not the model's posterior: k-hat is above 0.7 for 100%")


def test_weights_too_spread_out_for_a_tail_have_high_k_hat() -> None:
    def far(y: Tensor) -> None:
        with pyro.plate("data", len(y)):
            pyro.sample("z", dist.Normal(300.0, torch.tensor([2.0, 0.5, 20.0, 1.0])))

    tree = converted(model, far, Y, num_samples=1000, groups=["sample_stats"])
    assert (pareto_k(tree) > 0.7).all()
    assert "for 100% of the examples" in rightness(pareto_k(tree), bounds(tree))


@pytest.mark.parametrize(("middle", "vanishing"), [(0.0, 0.5), (3.0, 0.07), (-3.0, 0.99)])
def test_draws_of_zero_density_do_not_count_as_equal_weights(middle: float, vanishing: float) -> None:
    def positive(y: Tensor) -> None:
        z = pyro.sample("z", dist.Normal(0, 1))
        pyro.factor("positive", torch.where(z > 0, 0.0, -torch.inf))
        pyro.sample("y", dist.Normal(z, 0.01), obs=y)

    tree = converted(positive, lambda _: pyro.sample("z", dist.Normal(middle, 2)), torch.tensor(0.1), num_samples=1000)
    found = log_weights(tree, joint=True).values
    assert abs(np.isinf(found).mean() - vanishing) < 0.1
    assert pareto_k(tree).item() > 0
    assert bounds(tree).gap.item() == np.inf
    assert rightness(pareto_k(tree), bounds(tree)).startswith("not the model's posterior")


def test_prior_as_guide_is_not_close_to_the_posterior() -> None:
    """A label's likelihood is below 1, so the importance weights of the prior are bounded."""
    labels = torch.randint(10, (50,))

    def classes(prior: Tensor) -> None:
        with pyro.plate("data", 50):
            v = pyro.sample("v", dist.Normal(prior, 1).to_event(1))
            pyro.sample("y", dist.Categorical(logits=3 * v), obs=labels)

    def prior_itself(prior: Tensor) -> None:
        with pyro.plate("data", 50):
            pyro.sample("v", dist.Normal(prior, 1).to_event(1))

    tree = converted(
        classes, prior_itself, torch.zeros(50, 10), num_samples=500, chunk_size=50, groups=["sample_stats"]
    )
    k_hat, two = pareto_k(tree), bounds(tree)
    assert (k_hat < 0.7).all()
    assert rightness(k_hat, two).startswith("not the model's posterior, but wide enough for importance weights")
    exact = tree_of(torch.ones(4))
    assert rightness(pareto_k(exact), bounds(exact)).startswith("close to the model's posterior")  # type: ignore[arg-type]


def test_global_latents_enter_only_the_joint_weights() -> None:
    def shifted(y: Tensor) -> None:
        shift = pyro.sample("shift", dist.Normal(0, 1))
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Normal(shift, 0.5), obs=y)

    tree = converted(shifted, AutoNormal(shifted, init_scale=0.3), Y, num_samples=500, groups=["sample_stats"])
    stats_group = tree.sample_stats
    by_hand = stats_group.log_p.sum("data") + stats_group.log_p_global - stats_group.log_q_global
    np.testing.assert_allclose(log_weights(tree, joint=True), by_hand)
    assert log_weights(tree).dims == ("chain", "draw", "data")
    assert pareto_k(tree, joint=True).dims == ()


def test_joint_weights_of_a_subsample_with_global_latents_raise() -> None:
    def shifted(size: int | None) -> None:
        shift = pyro.sample("shift", dist.Normal(0, 1))
        with pyro.plate("data", len(Y), subsample_size=size) as rows:
            pyro.sample("y", dist.Normal(shift, 0.5), obs=Y[rows])

    precision = 1 + len(Y) / 0.5**2

    def posterior(size: int | None) -> None:
        pyro.sample("shift", dist.Normal(Y.sum() / 0.5**2 / precision, precision**-0.5))

    whole = converted(shifted, posterior, None, num_samples=200)
    assert pareto_k(whole, joint=True).item() == -np.inf
    part = converted(shifted, posterior, 2, num_samples=200)
    assert part.sample_stats.attrs["subsample"] == "2 of 4"
    assert part.sample_stats.attrs["global_latents"] == "shift"
    message = "used a subsample of 2 of 4 positions, but global latents depend on all data"
    for measure in (pareto_k, bounds, log_weights):
        with pytest.raises(UserError, match=message):
            measure(part, joint=True)
    assert log_weights(part).dims == ("chain", "draw", "data")


def test_missing_densities_and_too_few_draws_raise() -> None:
    tree = converted(model, AutoNormal(model), Y, num_samples=10, groups=["posterior"])
    with pytest.raises(UserError, match="no sample_stats with log_p and log_q; add that group in from_pyro_svi"):
        pareto_k(tree)
    with pytest.raises(UserError, match="the number of draws is 10, too few for Pareto k-hat; use at least 25"):
        pareto_k(converted(model, AutoNormal(model), Y, num_samples=10))
