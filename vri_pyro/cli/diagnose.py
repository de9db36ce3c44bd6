"""``vri-pyro diagnose``: diagnose the posterior of a run and export it for ArviZ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from rich.table import Column, Table

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.files import check_replaceable, replacing
from vri_pyro.utils.numbers import check_integer

if TYPE_CHECKING:
    from xarray import DataArray

    from vri_pyro.diagnostics import Bounds, Collapse


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Draw from the posterior of noisy training examples of a finished run. Write the draws to "
        "posterior.nc, which arviz.from_netcdf reads. Report how well the guide approximates the posterior of its "
        "model, and whether the posterior has collapsed.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument("--examples", type=int, default=500, help="number of noisy training examples")
    parser.add_argument(
        "--draws", type=int, default=1000, help="number of draws from the posterior and from the prior of each example"
    )
    parser.add_argument(
        "--output", type=Path | None, default=None, help="output file; null writes posterior.nc to the run folder"
    )
    parser.add_argument("--network", type=int, default=0, help="index of the network in an ensemble, from 0")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of examples and of the draws")
    parser.add_argument("--device", type=Literal["auto", "cpu", "cuda"], default="cpu", help="device to compute on")
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Draw from the posterior, write the draws and print the diagnostics."""
    # Lazy, because importing ArviZ takes seconds.
    import torch

    from vri_pyro import diagnostics
    from vri_pyro.diagnostics.importance import check_draws
    from vri_pyro.runs.run import Run
    from vri_pyro.training.run_folder import RunFolder

    check_integer("seed", options.seed, 0)
    check_draws(options.draws)
    path = options.output or RunFolder(options.run).posterior
    check_replaceable(path, _is_posterior, "a file of vri-pyro diagnose")  # before the expensive computation
    trust = trusts(options.run, options.trust)
    trained = Run(options.run, options.network, options.device, trust, data_places(options))
    chosen = diagnostics.choose_examples(trained.split, options.examples, options.seed)
    torch.manual_seed(options.seed)
    tree = diagnostics.run_posterior(trained, chosen, options.draws)
    judged = diagnostics.judge_posterior(trained, chosen, tree, seed=options.seed)
    with replacing(path) as partial:
        tree.to_netcdf(partial, engine="h5netcdf")
    console = SafeConsole()
    if trained.state:
        console.print(trained.state, soft_wrap=True)
    console.print(f"{len(chosen)} noisy examples, {options.draws} draws per example")
    if not judged.points:
        console.print(_rightness(judged.k_hat, judged.bounds))
    console.print(f"{judged.of_the_guide}\n")
    for site, found in judged.collapse.items():
        console.print(_collapse(found, diagnostics.posterior_curves(trained.rows, site)))
        console.print(f"{judged.of_latent(site)}\n")
    console.print(f"posterior: {path.absolute()}", soft_wrap=True)
    return 0


def _is_posterior(path: Path) -> bool:
    """Return whether a file has draws that this command wrote; they have attributes of their own."""
    import xarray

    from vri_pyro.diagnostics.conversion.densities import POINT_MASSES

    with xarray.open_dataset(path, group="sample_stats", engine="h5netcdf") as stats:
        return POINT_MASSES in stats.attrs


def _rightness(k_hat: DataArray, bounds: Bounds) -> Table:
    table = Table("Accuracy of the guide", Column(justify="right"))
    quantiles = np.quantile(k_hat, (0.1, 0.5, 0.9), method="nearest")
    table.add_row("k-hat per example: 10%, median, 90%", ", ".join(f"{value:.2f}" for value in quantiles))
    for threshold in (0.5, 0.7, 1.0):
        table.add_row(f"share of examples with k-hat above {threshold}", f"{float((k_hat > threshold).mean()):.1%}")
    table.add_row("ELBO (nats per example)", f"{float(bounds.elbo.mean()):.3f}")
    table.add_row("importance-weighted bound (nats per example)", f"{float(bounds.importance_weighted.mean()):.3f}")
    return table


def _collapse(found: Collapse, curves: Mapping[str, np.ndarray]) -> Table:
    table = Table(f"Collapse of {found.site}", Column(justify="right"))
    for name, label in (
        ("posterior_std", "std, first → last epoch"),
        ("posterior_variance_norm", "‖σ²‖, first → last epoch"),
    ):
        if name in curves:
            table.add_row(label, f"{curves[name][0]:.3g} → {curves[name][-1]:.3g}")
    table.add_row("std of posterior and prior", f"{found.posterior_std:.3g}, {found.prior_std:.3g}")
    table.add_row("‖σ²‖", f"{found.variance_norm:.3g}")
    table.add_row("KL to the prior (nats per example)", f"{found.kl:.3g}")
    table.add_row("KL per dimension", ", ".join(f"{value:.2g}" for value in found.kl_per_dimension))
    table.add_row("distance between the means (in std of the prior)", f"{found.shift:.3g}")
    table.add_row("active units", f"{found.active_units} of {len(found.kl_per_dimension)}")
    table.add_row("variance explained by the label", f"{found.label_share:.1%}")
    return table
