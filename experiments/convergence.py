"""Theorem 1: convergence rate of the mean squared gradient of the meta loss.

The theorem (Sun et al. 2025) states (1/T) Σ E‖∇L_meta‖² ≤ O(1/√T) for a run of T steps with the learning rates
α = min(1, k/T) for the classifier and β = min(1/L, c/√T) for guide and prior. The rates depend on T, so each horizon T
is a separate run. Both levels use plain gradient descent without a KL.

The measured quantity is the squared norm of the gradient of L_meta(φ) = E[G(ŵ(φ))], averaged over the steps. G is
computed on the whole clean set. The expectation over noisy batches and draws of the guide is estimated without bias
(vri_pyro.diagnostics.meta_gradient). The gradient is measured at one random step in each of several equal segments of
the run, which gives an unbiased estimate of the mean over all steps.

∇L_meta has α as a factor, because φ acts only through the virtual step. With α = k/T, even a guide that learns nothing
satisfies the bound, because the factor alone makes the squared norm fall as 1/T². The informative quantity is
‖∇L_meta‖²/α², because ∇L_meta/α is the gradient that vri_pyro's outer step follows. Both quantities are shown for three
choices of the rates:

* as stated: α = min(1, k/T), and φ steps along ∇L_meta;
* scaled: the same α, and φ steps along ∇L_meta/α;
* constant rate: α is constant, as in practice, and φ steps along ∇L_meta/α.

k is chosen such that α = 0.1 at the shortest horizon. c = 1 keeps β below 1/L; with c = 5, steps at short horizons
overshot. The classifier is a small MLP without batch normalisation. Its ReLU is not smooth, although the theorem
assumes smoothness.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from study import (
    Bench,
    Cell,
    Estimate,
    Options,
    Page,
    Record,
    Records,
    Study,
    StudyRun,
    Workshop,
    config,
    main,
    markdown_table,
    significant,
    slope,
)
from study.benches import clean_labels, noise
from study.execution import Outcome
from study.statistics import mean_of

from vri_pyro.data import BatchPlan, DeviceData, generator_for, mean_and_std, permutation
from vri_pyro.diagnostics import meta_gradient_squared_norm
from vri_pyro.runs.building import load_data
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.parsing import build_configuration, configuration_parser
from vri_pyro.training.evaluation import evaluate
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.provenance import provenance

HORIZONS = {
    "synthetic": (4, 8, 16),
    "Fashion-MNIST": (100, 200, 400, 800, 1600, 3200),
    "CIFAR-10": (500, 1000, 2000, 4000, 8000, 16000, 32000),
}
POINTS = 40  # steps of a run at which the gradient is measured
BATCHES = 4  # independent noisy batches per measurement
ALPHA, C = 0.1, 1.0  # α of "constant rate" and at the shortest horizon (this determines k); c
RATES = ("as stated", "scaled", "constant rate")
MEASURES = {"raw": "‖∇L_meta‖²", "scaled": "‖∇L_meta‖² / α²"}


def rates(setting: str, horizon: int, shortest: int) -> tuple[float, float]:
    """Return α, and the step size of guide and prior.

    The outer step follows the objective G/α. A step of size β on G is therefore a step of size β·α on G/α.
    """
    alpha = ALPHA if setting == "constant rate" else min(1.0, ALPHA * shortest / horizon)
    beta = C / horizon**0.5
    return alpha, beta * alpha if setting == "as stated" else beta


def strata(horizon: int, points: int, generator: np.random.Generator) -> list[int]:
    """Draw one step from each of ``points`` equal segments of 0..horizon-1; all steps if there are not more."""
    points = min(points, horizon)
    edges = np.linspace(0, horizon, points + 1).round().astype(int)
    draws = generator.random(points)
    return [int(low + (high - low) * draw) for low, high, draw in zip(edges, edges[1:], draws, strict=False)]


def train_and_measure(configuration: Configuration, horizon: int) -> dict[str, Any]:
    """Take ``horizon`` steps; return the measured steps, ‖∇L_meta‖² at these steps, α, and the usual record."""
    torch.set_num_threads(1)
    torch.manual_seed(configuration.seed)
    device, seed, batch_size = choose_device(configuration.device), configuration.seed, configuration.batch_size
    arrays, split = load_data(configuration)
    scale = mean_and_std(arrays.x_train)
    train = DeviceData(split.inputs(arrays.x_train), split.labels(arrays.y_train), device, *scale)
    test = DeviceData(arrays.x_test, arrays.y_test, device, *scale)
    classifier = configuration.backbone(arrays.input_shape, arrays.num_classes).to(device)
    algorithm = configuration.method.build(classifier, configuration.optimizer)
    noisy, clean = split.noisy_indices, split.clean_indices
    noisy_batch = train.sequence(BatchPlan(noisy, batch_size, seed, "noisy batches"))
    clean_batch = train.sequence(BatchPlan(clean, configuration.clean_batch_size, seed, "clean batches"))
    whole_clean = train.batch(clean)
    generator = generator_for(seed, "measured batches")
    chosen, norms = strata(horizon, POINTS, generator_for(seed, "measured steps")), []
    for step in range(horizon):
        if step in chosen:
            draws = [noisy[permutation(generator, len(noisy))[:batch_size]] for _ in range(BATCHES)]
            norms.append(meta_gradient_squared_norm(algorithm, [train.batch(draw) for draw in draws], whole_clean))
        algorithm.step(noisy_batch(step), clean_batch(step))
    (group,) = algorithm.param_groups
    return {
        "results": {"last": evaluate(classifier, test)["accuracy"]},
        "measured": {"steps": chosen, "squared_norms": torch.stack(norms).tolist(), "alpha": group["lr"]},
        "split": split.summary(),
        "made_by": provenance(device),
    }


class Measuring(Workshop):
    """Executes runs of a given number of steps and measures the gradient during the run."""

    def perform(self, run: StudyRun) -> Outcome:
        """See :class:`Workshop`."""
        *options, _, horizon = run.options
        parser = configuration_parser()
        parsed = parser.parse_args([*options, "--seed", str(run.seed), "--device", self.device])
        config = yaml.safe_load(parser.dump(parsed, skip_unset=False))
        record = train_and_measure(build_configuration(parser, parsed), int(horizon))
        self.store.write(run, record | {"config": config | {"epochs": f"{horizon} steps"}})
        return Outcome(0, record["results"]["last"])


def cells(bench: Bench) -> list[Cell]:
    """Return every choice of the rates at every horizon."""
    shared = bench.setting(
        *noise("Flip", 0.4),
        *clean_labels(50),
        *config(
            "vri_vector", "--method.outer_kl_weight", "0", "--method.clean_weight", "0", "--method.num_particles", "1"
        ),
        *("--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[64]"),
        *("--optimizer.momentum", "0", "--optimizer.weight_decay", "0"),
        *("--method.outer_optimizer", "torch.optim.SGD"),
    )
    horizons = HORIZONS[bench.title]
    return [
        Cell(f"T = {horizon}", setting, (*shared, *_rates(setting, horizon, min(horizons)), "--horizon", str(horizon)))
        for setting in RATES
        for horizon in horizons
    ]


def _rates(setting: str, horizon: int, shortest: int) -> Options:
    alpha, beta = rates(setting, horizon, shortest)
    return ("--optimizer.lr", str(alpha), "--method.outer_optimizer.lr", str(beta))


def averages(records: Records, method: str, setting: str, measure: str) -> list[float]:
    """Return, for each seed, the mean over steps of the squared norm, divided by α² if ``measure`` is ``scaled``."""
    return [_average(record, measure) for record in records.of(method, setting).values()]


def _average(record: Record, measure: str) -> float:
    measured = record["measured"]
    return float(np.mean(measured["squared_norms"])) / (measured["alpha"] ** 2 if measure == "scaled" else 1)


def slopes(records: Records, method: str, measure: str) -> Estimate:
    """Estimate the slope of the log average over log T: a least-squares slope per seed, averaged over seeds."""
    found = []
    for seed in records.seeds:
        runs = [of[seed] for setting in records.settings if seed in (of := records.of(method, setting))]
        horizons = [_horizon(run["setting"]) for run in runs]
        found.append(slope(np.log(horizons), np.log([_average(run, measure) for run in runs])).value)
    return mean_of(found)


def _horizon(setting: str) -> int:
    return int(setting.removeprefix("T = "))


def report(records: Records) -> Page:
    """Report the averages over the horizon, their slopes, and the running mean along the longest runs."""
    figure = Figure(figsize=(11, 3.8))
    raw, scaled, running = figure.subplots(1, 3)
    _draw_averages(raw, records, "raw")
    _draw_averages(scaled, records, "scaled")
    _draw_running_means(running, records)
    for axis in (raw, scaled, running):
        axis.yaxis.set_minor_formatter(NullFormatter())
    raw.legend(fontsize=9)
    rows = ([method, *(_interval(slopes(records, method, m)) for m in MEASURES)] for method in records.methods)
    parts = [
        __doc__.split("\n\n", 1)[1].strip(),
        "Slope of the log mean over log T, with its 95% interval over seeds (Student's t). The slope of the bound is "
        "-0.5.",
        markdown_table(["rates", *MEASURES.values()], rows),
    ]
    for measure, label in MEASURES.items():
        rows = (
            [m, *(significant(averages(records, m, s, measure)) for s in records.settings)] for m in records.methods
        )
        parts += [f"Mean of {label} over the steps; mean ± standard deviation over seeds:"]
        parts += [markdown_table(["rates", *records.settings], rows)]
    return Page("Theorem 1: the mean squared gradient of the meta loss over the number of steps", parts, figure)


def _draw_averages(axis: Axes, records: Records, measure: str) -> None:
    horizons = [_horizon(setting) for setting in records.settings]
    for method in records.methods:
        values = [averages(records, method, setting, measure) for setting in records.settings]
        means = np.array([np.mean(some) for some in values])
        axis.errorbar(horizons, means, [np.std(some) for some in values], capsize=3, label=method)
    start = max(line.get_ydata()[0] for line in axis.lines)
    axis.plot(horizons, start * (np.array(horizons) / horizons[0]) ** -0.5, "k--", marker="", label="slope -1/2")
    axis.set(xscale="log", yscale="log", xlabel="steps T", ylabel="mean of " + MEASURES[measure])


def _draw_running_means(axis: Axes, records: Records) -> None:
    longest = max(records.settings, key=_horizon)
    for method in records.methods:
        runs = list(records.of(method, longest).values())
        norms = np.mean([np.array(r["measured"]["squared_norms"]) / r["measured"]["alpha"] ** 2 for r in runs], axis=0)
        steps = 1 + np.mean([r["measured"]["steps"] for r in runs], axis=0)
        axis.plot(steps, np.cumsum(norms) / np.arange(1, len(norms) + 1), label=method)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel=f"steps of the runs with {longest}",
        ylabel="running mean of " + MEASURES["scaled"],
    )


def _interval(estimate: Estimate) -> str:
    interval = "" if np.isnan(estimate.error) else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{interval}"


STUDY = Study("convergence", __doc__, cells, report, seeds=range(5), workshop=Measuring)

if __name__ == "__main__":
    sys.exit(main(STUDY))
