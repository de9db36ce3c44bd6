"""Accuracy of the approximate posterior: meta-learned guides, and the same guides trained on the ELBO.

The study evaluates the guide of every run on a sample of noisy examples. It also evaluates a copy of the guide that was
trained afterwards to maximise the ELBO of the same model, with classifier and prior fixed at the end of the run. The
diagnostics are:

* Pareto k-hat of each example by ArviZ's PSIS, from importance weights without subsampling's scale, and the share of
  examples above 0.7;
* the ELBO and the importance-weighted bound of the same draws;
* simulation-based calibration: the share of true values in 90% intervals. The copy is trained on labels drawn from the
  model;
* agreement with NUTS on a few of the examples: shift of the means in posterior standard deviations, ratio of the
  standard deviations, and coverage of NUTS draws by the guide's 90% intervals. The copy is trained on these examples.
  Its coordinates are independent given the example, so a low-rank guide with correlations is trained as well.

The outer objective of a meta-learned guide is the clean loss after a virtual step. It does not require the guide to
approximate the posterior of the model. The rows "meta-learned" show how far the guide is from the posterior.

A guide that is a point mass has no density and therefore no importance weights. A model with gates raises likelihoods
to powers, so no labels can be drawn from it, and simulation-based calibration is left out. Only models with the vector
as the only latent variable are compared with NUTS.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from pyro import poutine
from study import Bench, Cell, Page, Records, Study, config, main, markdown_table, recorded, spread
from study.benches import clean_labels, noise

from vri_pyro.diagnostics import (
    bounds,
    choose_examples,
    collapse,
    elbo_trained,
    from_pyro_svi,
    nuts_agreement,
    nuts_draws,
    outputs_of,
    pareto_k,
    simulation_based_calibration,
)
from vri_pyro.guides import LowRankNormal
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import GatedRectification
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

METHODS = {
    "VRI": recorded("vri"),
    "VRI, vector": config("vri_vector"),
    "VRI, vector, no KL": config("vri_vector", "--method.outer_kl_weight", "0"),
    "WarPI": config("warpi"),
    "Dirac twin": config("vri_dirac"),
}
SETTING = "flip 40%"
# Sizes for 5,000 noisy examples; they are reduced in proportion for smaller runs.
EXAMPLES, DRAWS, STEPS, SIMULATIONS, FEW, NUTS_DRAWS = 300, 1000, 1500, 10, 5, 8000
FULL = 5000
GUIDES = ("meta-learned", "trained on the ELBO")
CORRELATED = "of low rank, trained on the ELBO"
Pair = tuple[Callable[..., Any], Callable[..., Any]]


def cells(bench: Bench) -> list[Cell]:
    """Return every method under one noise."""
    shared = bench.setting(*noise("Flip", 0.4), *clean_labels(10))
    return [Cell(SETTING, method, (*how, *shared)) for method, how in METHODS.items()]


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure all diagnostics of the run's guide and of its copies trained on the ELBO."""
    run = Run(folder.path)
    share = min(1.0, len(run.split.noisy_indices) / FULL)
    torch.manual_seed(0)
    output, y = outputs_of(run, choose_examples(run.split, max(20, int(share * EXAMPLES))))
    found: dict[str, Any] = {"collapse": _collapse(run, output, y)}
    if isinstance(found["collapse"]["std"], float) and found["collapse"]["std"] == 0:
        return found
    steps, draws = max(20, int(share * STEPS)), max(100, int(share * DRAWS))
    trained = elbo_trained(run.model, run.guide, lambda: (output, y), steps)
    for name, guide in zip(GUIDES, (run.guide, trained), strict=True):
        found[name] = _weights((run.model, guide), output, y, draws)
    if isinstance(run.model, GatedRectification):
        return found
    simulated = elbo_trained(run.model, run.guide, lambda: (output, _labels(run.model, output)), steps)
    few = max(2, int(share * FEW))
    small = ClassifierOutput(*(part if part is None else part[:few] for part in output)), y[:few]
    exact = nuts_draws(
        run.model, *small, num_draws=max(100, int(share * NUTS_DRAWS)), warmup=max(100, int(share * 400))
    )
    fitted = elbo_trained(run.model, run.guide, lambda: small, steps)
    for name, calibrated, close in zip(GUIDES, (run.guide, simulated), (run.guide, fitted), strict=True):
        found[name] |= _calibration((run.model, calibrated), output, max(2, int(share * SIMULATIONS)))
        found[name] |= _agreement(exact, close, *small)
    correlated = LowRankNormal(output.features.shape[1], output.logits.shape[1])
    found[CORRELATED] = _agreement(exact, elbo_trained(run.model, correlated, lambda: small, 4 * steps), *small)
    return found


@torch.no_grad()
def _labels(model: Callable[..., Any], output: ClassifierOutput) -> torch.Tensor:
    return poutine.trace(model).get_trace(output).nodes["y"]["value"]


def _collapse(run: Run, output: ClassifierOutput, y: torch.Tensor) -> dict[str, Any]:
    found = collapse(run.model, run.guide, [(output, y)])["v"]
    return {
        "verdict": found.verdict,
        "std": found.posterior_std,
        "norm": found.variance_norm,
        "kl": found.kl,
        "active": found.active_units,
        "label": found.label_share,
        "shift": found.shift,
    }


def _weights(pair: Pair, output: ClassifierOutput, y: torch.Tensor, draws: int) -> dict[str, Any]:
    tree = from_pyro_svi(pair, model_args=(output, y), num_samples=draws, groups=["sample_stats"], chunk_size=50)
    k_hat, two = pareto_k(tree).values, bounds(tree)
    return {
        "k_hat": np.sort(k_hat).tolist(),
        "above": float((k_hat > 0.7).mean()),
        "elbo": float(two.elbo.mean()),
        "bound": float(two.importance_weighted.mean()),
    }


def _calibration(pair: Pair, output: ClassifierOutput, simulations: int) -> dict[str, Any]:
    found = simulation_based_calibration(
        *pair, output, given=lambda drawn: (output, drawn["y"]), simulations=simulations
    )["v"]
    return {"truths": found.coverage, "spread": found.spread, "calibration": found.verdict}


def _agreement(
    exact: dict[str, torch.Tensor], guide: Callable[..., Any], output: ClassifierOutput, y: torch.Tensor
) -> dict[str, float]:
    found = nuts_agreement(exact, guide, output, y)["v"]
    return {
        "shift": float(found.shift.abs().mean()),
        "largest_shift": float(found.shift.abs().max()),
        "scale": float(found.scale.mean()),
        "smallest_scale": float(found.scale.min()),
        "largest_scale": float(found.scale.max()),
        "covered": float(found.coverage.mean()),
        "least_covered": float(found.coverage.min()),
        "most_covered": float(found.coverage.max()),
    }


def report(records: Records) -> Page:
    """Report tables of importance weights, calibration, agreement with NUTS, and collapse."""
    measured = {
        (method, name): [r["measured"][name] for r in records.of(method, SETTING).values() if name in r["measured"]]
        for method in records.methods
        for name in (*GUIDES, CORRELATED)
    }
    rows = {key: values for key, values in measured.items() if values}

    def table(head: list[str], *columns: tuple[str, int]) -> str:
        cells = (
            [f"{method}, {name}", *(_of_seeds([one[column] for one in values], column, d) for column, d in columns)]
            for (method, name), values in rows.items()
            if all(column in one for one in values for column, _ in columns)
        )
        return markdown_table(["guide", *head], cells)

    parts = [__doc__.split("\n\n", 1)[1].strip(), "Importance weights; bounds in nats per example:"]
    parts += [table(["k-hat above 0.7", "ELBO", "importance-weighted bound"], ("above", 2), ("elbo", 3), ("bound", 3))]
    parts += [
        "Simulation-based calibration. A calibrated guide has 0.90 and 1; a spread above 1 indicates an overconfident "
        "guide:"
    ]
    parts += [table(["true values in 90% intervals", "spread of the ranks"], ("truths", 3), ("spread", 2))]
    parts += ["Agreement with NUTS; means over the coordinates, and the most extreme coordinates over all seeds:"]
    head = ["shift", "largest shift", "std ratio", "smallest ratio", "largest ratio", "coverage"]
    head += ["lowest coverage", "highest coverage"]
    names = ("shift", "largest_shift", "scale", "smallest_scale", "largest_scale", "covered", "least_covered")
    parts += [table(head, *((name, 2) for name in names), ("most_covered", 2))]
    parts += ["Collapse:", _collapse_table(records)]
    return Page("Accuracy and collapse of the approximate posterior", parts, _figure(rows))


def _of_seeds(values: list[float], column: str, digits: int) -> str:
    """Format the most extreme value for columns of extremes, and mean ± standard deviation for all others."""
    extreme = {"largest": max, "most": max, "smallest": min, "least": min}.get(column.partition("_")[0])
    return spread(values, digits) if extreme is None else f"{extreme(values):.{digits}f}"


def _collapse_table(records: Records) -> str:
    rows = []
    for method in records.methods:
        found = [record["measured"]["collapse"] for record in records.of(method, SETTING).values()]
        columns = (("std", 2), ("norm", 2), ("kl", 2), ("shift", 2), ("active", 1), ("label", 2))
        verdicts = Counter(one["verdict"].partition(":")[0] for one in found)
        told = "; ".join(f"{verdict} ({count} of {len(found)})" for verdict, count in verdicts.items())
        rows.append([method, *(spread([one[c] for one in found], d) for c, d in columns), told])
    head = ["", "std", "‖σ²‖", "KL (nats)", "shift", "active units", "share explained by the label", "verdict"]
    return markdown_table(head, rows)


def _figure(rows: dict[tuple[str, str], list[dict[str, Any]]]) -> Figure:
    figure = Figure(figsize=(11, 3.6))
    axis = figure.subplots()
    weighted = [(key, values) for key, values in rows.items() if key[1] in GUIDES]
    for number, ((method, name), values) in enumerate(weighted):
        k_hat = np.sort(np.concatenate([one["k_hat"] for one in values]))
        style = "-" if name == GUIDES[0] else "--"
        shares = np.arange(1, len(k_hat) + 1) / len(k_hat)
        axis.plot(k_hat, shares, style, marker="", color=f"C{number // 2}", label=f"{method}, {name}")
    axis.axvline(0.7, color="0.5", linewidth=1)
    axis.set(xlabel="k-hat", ylabel="share of examples with k-hat below", xlim=(-0.5, 2.5))
    figure.legend(loc="outside right center")
    return figure


STUDY = Study("posterior", __doc__, cells, report, measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))
