"""The converter has the conventions of ArviZ's converter from NumPyro, and needs nothing else of this package."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import arviz_base
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import Tensor

from vri_pyro.diagnostics import bounds, conversion, from_pyro_svi, pareto_k
from vri_pyro.utils.deprecations import DeprecatedNameWarning
from vri_pyro.utils.errors import UserError

X = torch.arange(10, dtype=torch.float64).reshape(5, 2) / 10
Y = X.sum(-1)
STATISTICS = ["sample_stats"]


def model(x: Tensor, y: Tensor | None = None) -> None:
    slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 1).to_event(1), infer={"event_dims": ["feature"]})
    scale = pyro.sample("scale", dist.HalfNormal(1.0))
    pyro.deterministic("double", 2 * slope, event_dim=1)
    with pyro.plate("row", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
        pyro.sample("y", dist.Normal((x * slope).sum(-1) + z.sum(-1), scale), obs=y)


@pytest.fixture
def svi() -> SVI:
    guide = AutoNormal(model)
    guide(X, Y)  # creates its parameters
    return SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())


def test_modules_of_the_converter_import_nothing_else_of_this_package() -> None:
    own = conversion.__name__
    modules = sorted(Path(conversion.__file__).parent.glob("*.py"))
    assert len(modules) >= 7
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                imported = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in imported:
                assert not name.startswith(("vri_pyro", "models", "guides")) or name.startswith(own), (path.name, name)


def test_arguments_are_those_of_the_converter_from_numpyro_and_then_further_ones() -> None:
    theirs = inspect.signature(arviz_base.from_numpyro_svi).parameters
    ours = inspect.signature(from_pyro_svi).parameters
    shared = [name for name in ours if name in theirs]
    assert list(ours)[: len(shared)] == shared == [name for name in theirs if name in ours]
    assert shared == [
        *("svi", "model_args", "model_kwargs", "constant_data", "coords", "dims", "extra_event_dims", "num_samples"),
    ]
    assert ours["num_samples"].default == theirs["num_samples"].default == 1000
    assert all(ours[name].kind == theirs[name].kind for name in shared)


def test_groups_dimensions_shapes_and_coordinates_are_those_of_the_converter_from_numpyro(svi: SVI) -> None:
    """The expected values were printed by arviz_base.from_numpyro_svi 1.3.1 for this model in NumPyro."""
    tree = from_pyro_svi(
        svi,
        model_args=(X, Y),
        num_samples=7,
        constant_data={"x": X},
        extra_event_dims={"double": ["feature"]},
        groups=["posterior", "log_likelihood"],
    )
    found = {
        group: {name: (array.dims, array.shape) for name, array in node.data_vars.items()}
        for group, node in tree.children.items()
    }
    assert found == {
        "posterior": {
            "double": (("sample", "feature"), (7, 2)),
            "scale": (("sample",), (7,)),
            "slope": (("sample", "feature"), (7, 2)),
            "z": (("sample", "row", "z_dim_0"), (7, 5, 3)),
        },
        "log_likelihood": {"y": (("sample", "row"), (7, 5))},
        "observed_data": {"y": (("row",), (5,))},
        "constant_data": {"x": (("x_dim_0", "x_dim_1"), (5, 2))},
    }
    sizes = {"sample": 7, "feature": 2, "row": 5, "z_dim_0": 3}
    coordinates = {name: values.values.tolist() for name, values in tree.posterior.coords.items()}
    assert coordinates == {name: list(range(size)) for name, size in sizes.items()}


def test_dims_name_all_dimensions_of_a_site_or_an_array(svi: SVI) -> None:
    dims = {"z": ["case", "latent"], "y": ["case"], "x": ["row", "f"]}
    tree = from_pyro_svi(svi, model_args=(X, Y), num_samples=3, constant_data={"x": X}, dims=dims)
    assert tree.posterior["z"].dims == ("sample", "case", "latent")
    assert tree.log_likelihood["y"].dims == tree.posterior_predictive["y"].dims == ("sample", "case")
    assert tree.log_prior["z"].dims == ("sample", "case")
    assert tree.observed_data["y"].dims == ("case",)
    assert tree.constant_data["x"].dims == ("row", "f")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": {"z": ["latent"]}}, "dims names 1 dimensions of 'z' .latent., but the site has 2; name all dim"),
        ({"dims": {"nope": ["a"]}}, "dims contains 'nope', which is neither a site of the model nor constant data"),
        ({"extra_event_dims": {"nope": ["a"]}}, "extra_event_dims contains 'nope', which is not a site of the model"),
        ({"sample_dims": ["draw"]}, r"sample_dims is \['draw'\]; expected \['sample'\] or \['chain', 'draw'\]"),
        ({"constant_data": {"sample": [1]}}, "'sample' is the name of one of ArviZ's dimensions"),
        ({"model_args": (X,), "svi": model}, "svi is of type function; expected a pyro.infer.SVI or a pair"),
    ],
)
def test_wrong_arguments_are_named(svi: SVI, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_pyro_svi(**({"svi": svi, "model_args": (X, Y), "num_samples": 2} | options))


def test_diagnostics_do_not_depend_on_the_names_of_the_sample_dimensions(svi: SVI) -> None:
    found = []
    for sample_dims in (["sample"], ["chain", "draw"]):
        pyro.set_rng_seed(1)
        arguments = {"model_args": (X, Y), "num_samples": 200, "groups": STATISTICS, "sample_dims": sample_dims}
        tree = from_pyro_svi(svi, **arguments)
        both = bounds(tree, joint=True)
        found.append([pareto_k(tree).values, both.elbo.values, both.importance_weighted.values])
        assert pareto_k(tree).dims == ("row",)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_call_of_version_0_1_still_works(svi: SVI) -> None:
    options = {"constant_data": {"x": X}, "groups": ["posterior", "log_likelihood"], "chunk_size": 2}
    dims = {"x": ["row", "f"], "double": ["feature"]}
    pyro.set_rng_seed(1)
    with pytest.warns(DeprecatedNameWarning, match="from_pyro_svi.*num_samples") as caught:
        old = from_pyro_svi(model, svi.guide, X, y=Y, num_draws=4, dims=dims, **options)
    assert caught[0].filename == __file__
    pyro.set_rng_seed(1)
    new = from_pyro_svi(
        (model, svi.guide),
        model_args=(X,),
        model_kwargs={"y": Y},
        num_samples=4,
        dims={"x": dims["x"]},
        extra_event_dims={"double": dims["double"]},
        sample_dims=["chain", "draw"],
        **options,
    )
    assert old.posterior["double"].dims == ("chain", "draw", "feature")
    for group in ("posterior", "log_likelihood", "observed_data", "constant_data"):
        assert old[group].to_dataset().equals(new[group].to_dataset())
    with pytest.warns(DeprecatedNameWarning):
        from_pyro_svi(model=model, guide=svi.guide, x=X, y=Y, num_draws=1, groups=["posterior"])
