"""Tests of the names of sites and axes in ArviZ, and of argument checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from converted import converted
from pyro import poutine
from pyro.contrib.autoname import scope
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal
from torch import Tensor

from vri_pyro.utils.errors import UserError

Y = torch.tensor([0.5, -1.0, 2.0])


def mean_of(y: Tensor) -> None:
    mean = pyro.sample("mean", dist.Normal(0, 1))
    with pyro.plate("row", len(y)):
        pyro.sample("y", dist.Normal(mean, 1), obs=y)


def convert(model: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return converted(model, AutoNormal(model), *args, **({"num_samples": 2} | options))


@pytest.mark.parametrize("observation", [torch.tensor(1.0), torch.arange(5.0), torch.ones(4, 1)])
def test_observation_is_expanded_to_its_plates(observation: Tensor) -> None:
    def model() -> None:
        mean = pyro.sample("mean", dist.Normal(0, 1))
        with pyro.plate("outer", 4, dim=-2), pyro.plate("inner", 5, dim=-1):
            pyro.sample("y", dist.Normal(mean, 1), obs=observation)

    tree = convert(model)
    assert tree.observed_data.y.dims == ("outer", "inner")
    np.testing.assert_array_equal(tree.observed_data.y, observation.expand(4, 5))
    for group in ("posterior_predictive", "prior_predictive", "log_likelihood"):
        assert tree[group].y.shape == (1, 2, 4, 5)
    by_hand = dist.Normal(torch.as_tensor(tree.posterior["mean"].values)[..., None, None], 1).log_prob(observation)
    np.testing.assert_allclose(tree.log_likelihood.y, by_hand.expand(1, 2, 4, 5))


@pytest.mark.parametrize("rows", [3, 5])
@pytest.mark.parametrize("named", [True, False])
def test_event_dimensions_of_a_deterministic_site_are_not_mistaken_for_the_plate(rows: int, named: bool) -> None:
    x = torch.randn(rows, 2)

    def model(y: Tensor) -> None:
        weights = pyro.sample("weights", dist.Normal(torch.zeros(2, 3), 1).to_event(2))
        with pyro.plate("row", rows):
            shares = pyro.deterministic("shares", (x @ weights).softmax(-1))
            pyro.sample("y", dist.Categorical(probs=shares), obs=y)

    tree = convert(model, torch.zeros(rows, dtype=torch.long), dims={"shares": ["class"]} if named else {})
    assert tree.posterior.shares.dims == ("chain", "draw", "row", "class" if named else "shares_dim_0")
    np.testing.assert_allclose(tree.posterior.shares.sum("class" if named else "shares_dim_0"), 1)


def test_deterministic_sites_in_one_of_two_plates_have_its_dimension() -> None:
    def model() -> None:
        a = pyro.sample("a", dist.Normal(0, 1))
        with pyro.plate("outer", 4, dim=-2), pyro.plate("inner", 5, dim=-1):
            for name, shape in (("inner_only", (5,)), ("outer_only", (4, 1)), ("both", (4, 5)), ("events", (4, 5, 3))):
                pyro.deterministic(name, a.expand(shape))
            pyro.deterministic("neither", a.expand(3))
            pyro.deterministic("one", a)

    dims = {name: values.dims[2:] for name, values in convert(model).posterior.items()}
    assert dims == {
        "a": (),
        "inner_only": ("inner",),
        "outer_only": ("outer",),
        "both": ("outer", "inner"),
        "events": ("outer", "inner", "events_dim_0"),
        "neither": ("neither_dim_0",),
        "one": (),
    }


def test_slashes_of_scoped_names_become_dots() -> None:
    def model() -> None:
        with scope(prefix="net"):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
            with pyro.plate("row", 3):
                pyro.sample("y", dist.Normal(z.sum(), 1), obs=Y)

    plate = next(frame.name for frame in poutine.trace(model).get_trace().nodes["net/y"]["cond_indep_stack"])
    tree = convert(
        model, dims={"net/z": ["in/out"], "x/y": [plate]}, constant_data={"x/y": Y}, coords={plate: list("abc")}
    )
    assert tree.posterior["net.z"].dims == ("chain", "draw", "in.out")
    assert tree.constant_data["x.y"].dims == tree.observed_data["net.y"].dims == (plate.replace("/", "."),)
    assert tree.observed_data[plate.replace("/", ".")].values.tolist() == list("abc")
    assert tree.sample_stats.attrs["global_latents"] == "net.z"

    def twins() -> None:
        pyro.sample("a/b", dist.Normal(0, 1))
        pyro.sample("a.b", dist.Normal(0, 1))

    with pytest.raises(UserError, match=r"two sites or arrays are named 'a\.b' once '/' becomes '\.'"):
        convert(twins)


def _draw_of(name: str) -> Callable[[Tensor], None]:
    def model(y: Tensor) -> None:
        mean_of(y)
        pyro.sample("z", dist.Normal(torch.zeros(2), 1).to_event(1))
        pyro.sample(name, dist.Normal(0, 1))

    return model


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("other", {"dims": {"z": ["z"]}}),
        ("z_dim_0", {}),
        ("other", {"constant_data": {"row": [1, 2, 3]}, "dims": {"row": ["row"]}}),
    ],
)
def test_variable_named_as_a_dimension_raises(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="names both a dimension and a variable"):
        convert(_draw_of(name), Y, **options)


@pytest.mark.parametrize("batch", [torch.randn(3), torch.randn(3, 2)])
def test_batch_as_subsample_gives_no_coordinates(batch: Tensor) -> None:
    def model() -> None:
        mean = pyro.sample("mean", dist.Normal(0, 1))
        with pyro.plate("row", 1000, subsample=batch):
            pyro.sample("y", dist.Normal(mean, 1), obs=batch.reshape(3, -1)[:, 0])

    assert convert(model).observed_data["row"].values.tolist() == [0, 1, 2]


def test_wrong_names_raise_before_the_draws() -> None:
    runs = []

    def model(y: Tensor) -> None:
        runs.append(y)
        mean_of(y)

    with pytest.raises(UserError, match="coords has 'rows', which is not a dimension"):
        convert(model, Y, coords={"rows": [1, 2, 3]}, num_samples=1000)
    assert len(runs) < 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": "posterior"}, "groups is 'posterior'; expected a list of group names"),
        ({"num_samples": 10.0}, r"num_samples is 10\.0; expected an integer >= 1"),
        ({"chunk_size": 0}, "chunk_size is 0; expected an integer >= 1"),
        ({"coords": {"row": 3}}, "coords of 'row' have 0 dimensions; expected a list of values"),
        ({"constant_data": {"x": [[1], [2, 3]]}}, "constant_data contains 'x', which is not an array"),
    ],
)
def test_options_of_wrong_type_raise(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        convert(mean_of, Y, **options)


def test_model_and_guide_must_be_callables_of_pyro() -> None:
    with pytest.raises(UserError, match="the guide is of type NoneType; expected a Pyro guide"):
        converted(mean_of, None, Y)  # type: ignore[arg-type]
    guide = AutoNormal(mean_of)
    svi = pyro.infer.SVI(mean_of, guide, pyro.optim.Adam({}), pyro.infer.Trace_ELBO())
    message = "the model is of type SVI; expected a Pyro model, such as the one passed to SVI"
    with pytest.raises(UserError, match=message):
        converted(svi, guide, Y)


def test_latent_in_a_plate_of_the_model_alone_raises() -> None:
    def model(y: Tensor) -> None:
        with pyro.plate("row", len(y)):
            z = pyro.sample("z", dist.Normal(0, 1))
            pyro.sample("y", dist.Normal(z, 1), obs=y)

    message = r"'z' has shape \(\) in the guide and \(3,\) in the model; use the same plates"
    with pytest.raises(UserError, match=message):
        converted(model, lambda y: pyro.sample("z", dist.Normal(0, 1)), Y)


def test_observations_in_no_plate_have_a_likelihood_and_no_predictions() -> None:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(0, 1))
        pyro.sample("y", dist.Normal(mean, 1), obs=y)

    message = r"'y' has shape \(3,\) when observed and \(\) when sampled; put the site in a plate"
    with pytest.raises(UserError, match=message):
        convert(model, Y)
    tree = convert(model, Y, groups=["posterior", "log_likelihood"])
    by_hand = dist.Normal(torch.as_tensor(tree.posterior["mean"].values)[..., None], 1).log_prob(Y)
    np.testing.assert_allclose(tree.log_likelihood.y, by_hand, rtol=1e-5)


def test_data_plate_over_which_the_guide_does_not_factorise_raises() -> None:
    def model(y: Tensor) -> None:
        with pyro.plate("row", len(y)):
            z = pyro.sample("z", dist.Normal(0, 1))
            pyro.sample("y", dist.Normal(z, 1), obs=y)

    with pytest.raises(UserError, match="the guide does not factorise over 'row'"):
        converted(model, AutoMultivariateNormal(model), Y, data_plate="row")


def test_prior_with_invalid_parameters_raises() -> None:
    def model() -> None:
        share = pyro.sample("share", dist.Normal(0.5, 100))
        pyro.sample("y", dist.Bernoulli(share), obs=torch.tensor(1.0))

    def guide() -> None:
        pyro.sample("share", dist.Uniform(0.2, 0.8))

    message = r"cannot be sampled for prior .* leave prior and prior_predictive out of groups"
    with pytest.raises(UserError, match=message):
        converted(model, guide, num_samples=30)


def test_tensors_of_any_kind_become_arrays() -> None:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(torch.tensor(0.0, dtype=torch.bfloat16), 1))
        with pyro.plate("row", len(y), subsample=torch.tensor([2, 0, 1])):
            pyro.sample("y", dist.Normal(mean, 1), obs=y)

    def guide(y: Tensor) -> None:
        pyro.sample("mean", dist.Normal(torch.tensor(0.0, dtype=torch.bfloat16), 1))

    weights = torch.ones(3, requires_grad=True)
    tree = converted(model, guide, Y.bfloat16(), num_samples=3, constant_data={"weights": weights}, chunk_size=1)
    assert tree.posterior["mean"].dtype == np.float32
    assert tree.constant_data.weights.values.tolist() == [1, 1, 1]


@pytest.mark.gpu
def test_plates_and_arrays_on_a_gpu_are_converted() -> None:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(y.new_zeros(()), 1))
        with pyro.plate("row", 6, subsample=torch.tensor([4, 1], device="cuda")) as rows:
            pyro.sample("y", dist.Normal(mean, 1), obs=y[rows])

    y = torch.randn(6, device="cuda")
    tree = convert(model, y, constant_data={"y_all": y}, coords={"row": torch.arange(6, device="cuda") * 10})
    assert tree.observed_data["row"].values.tolist() == [40, 10]
    np.testing.assert_allclose(tree.observed_data.y, y.cpu()[[4, 1]])
