"""Does the posterior collapse without the KL, and what holds it up? (paper, figure 4)

The length of the vector of the posterior's variances, ‖σ²‖, over a long training under 70% uniform noise, one
particle:

* no KL: Monte Carlo estimates of the meta loss alone;
* inner KL (paper's eq. 6): λ in the virtual step's loss, attached features, the prior's variance free;
* outer KL: β in the outer objective, with VRI's learned prior, whose log σ² is bounded below by -2;
* outer KL, fixed prior: the same with a standard normal prior, whose ‖σ²‖ is √K, 3.16 for ten classes.

What moves σ without a KL: by Price's theorem (1958) ∂E[G]/∂log σ² = ½ σ² E[∂²G/∂v²] for a normal v, so the meta loss
narrows the posterior where it curves upwards in v, as in a valley, and widens it where it curves downwards. The page
has that pull: the derivative of the outer objective for a shift of all log σ², averaged over batches; positive is
towards collapse. The settings differ from the whole run in one thing each: its length, the guide's learning rate, and
the clean batch in the real step, which the paper's algorithm has not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import sem
from study import (
    Bench,
    Cell,
    Options,
    Page,
    Record,
    Records,
    Study,
    by_method,
    config,
    main,
    markdown_table,
)
from study.benches import clean_labels, noise

from vri_pyro.data import generator_for, permutation
from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import hyperparameters_of
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

WEIGHT = "1e-3"  # λ and β
# The paper's configuration with all of the library's but the prior's free variance.
FREE_PRIOR = config("vri_paper", "--method.clean_weight", "1", "--method.outer_optimizer.lr", "1e-3")
METHODS = {
    "no KL": config("vri_vector", "--method.outer_kl_weight", "0"),
    "inner KL": (*FREE_PRIOR, "--method.inner_kl_weight", WEIGHT),
    "outer KL": config("vri_vector", "--method.outer_kl_weight", WEIGHT),
    "outer KL, fixed prior": config(
        "vri_vector", "--method.outer_kl_weight", WEIGHT, "--method.model.prior", "vri_pyro.models.StandardNormal"
    ),
}
START = "after two epochs"
SETTINGS: dict[str, Options] = {
    START: ("--epochs", "2"),
    "whole run": (),
    "guide ten times as fast": ("--method.outer_optimizer.lr", "0.01"),
    "no clean batch": ("--method.clean_weight", "0"),
}
# Few examples for long: what is small in the bench's epochs is the time in which a posterior could collapse.
LENGTHS: dict[str, Options] = {"Fashion-MNIST": ("--split.noisy_size", "2000", "--epochs", "60")}
CURVE = "posterior_variance_norm/v"
DRAWS, BATCH = 100, 100  # of a noisy and a clean batch, for the pull; examples a batch


def cells(bench: Bench) -> list[Cell]:
    """Every method in every setting."""
    shared = bench.setting(
        *LENGTHS.get(bench.title, ()), *noise("UniformExclusive", 0.7), *clean_labels(20), "--method.num_particles", "1"
    )
    return [
        Cell(setting, method, (*how, *shared, *one_thing))
        for setting, one_thing in SETTINGS.items()
        for method, how in METHODS.items()
    ]


def measure(folder: RunFolder) -> dict[str, Any]:
    """The pull on log σ² where the run ended: of the meta loss alone, and of the whole outer objective."""
    run = Run(folder.path)
    algorithm = run.algorithm
    assert isinstance(algorithm, BilevelSVI)
    algorithm.classifier.train()
    weights = {"meta loss": (0.0, 0.0), "whole": (algorithm.inner_kl_weight, algorithm.outer_kl_weight)}
    generator, parts = generator_for(0, "batches for the pull"), (run.split.noisy_indices, run.split.clean_indices)
    pulls: dict[str, list[float]] = {name: [] for name in weights}
    for draw in range(DRAWS):
        batches = [run.examples.batch(part[permutation(generator, len(part))[:BATCH]]) for part in parts]
        for name, (algorithm.inner_kl_weight, algorithm.outer_kl_weight) in weights.items():
            torch.manual_seed(draw)
            pulls[name].append(pull_on_log_variance(algorithm, *batches))
    return {"pull": {name: {"mean": float(np.mean(p)), "error": float(sem(p))} for name, p in pulls.items()}}


def pull_on_log_variance(algorithm: BilevelSVI, noisy: Batch, clean: Batch) -> float:
    """The derivative of the outer objective for a shift of log σ² that all examples and entries share."""
    gradients = algorithm.outer_gradients(noisy, clean)
    names = hyperparameters_of(algorithm.model, algorithm.guide)
    bias = dict(zip(names, gradients, strict=True))["guide.network.log_variance.bias"]
    return 0.0 if bias is None else float(bias.sum())


def report(records: Records) -> Page:
    """‖σ²‖ over the epochs and at the end, the KL, the pull, and the accuracy."""
    parts = [__doc__.split("\n\n", 1)[1].strip()]
    for metric, label in ((CURVE, "‖σ²‖"), ("kl", "KL to the prior (nats)")):
        rows = (
            [method, *(_last(records.curves(method, s, metric)) for s in records.settings)]
            for method in records.methods
        )
        parts += [f"{label}, mean over the last epoch, by seed:", markdown_table(["", *records.settings], rows)]
    for objective, label in (("meta loss", "the meta loss alone"), ("whole", "the whole outer objective")):
        rows = (
            [method, *(_pulls(records.of(method, s).values(), objective) for s in records.settings)]
            for method in records.methods
        )
        parts += [f"Pull of {label} on log σ², by seed, ± standard error over batches:"]
        parts += [markdown_table(["", *records.settings], rows)]
    parts += ["Test accuracy (%), last epoch:", by_method(records)]
    return Page("Does the posterior collapse without the KL?", parts, _figure(records))


def _last(curves: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in curves[:, -1])


def _pulls(found: Iterable[Record], objective: str) -> str:
    pulls = [record["measured"]["pull"][objective] for record in found]
    return ", ".join(f"{pull['mean']:.1e} ± {pull['error']:.0e}" for pull in pulls)


def _figure(records: Records) -> Figure:
    settings = [setting for setting in records.settings if setting != START] or records.settings
    figure = Figure(figsize=(3.6 * len(settings), 3.6))
    axes = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for axis, setting in zip(axes, settings, strict=True):
        for number, method in enumerate(records.methods):
            for seed, curve in enumerate(records.curves(method, setting, CURVE)):
                epochs = np.arange(1, len(curve) + 1)
                axis.plot(epochs, curve, color=f"C{number}", marker="", label=None if seed else method)
        axis.set(yscale="log", xlabel="epoch", title=setting)
    axes[0].set_ylabel("‖σ²‖ of the posterior, a line a seed")
    axes[0].legend(fontsize=9)
    return figure


STUDY = Study("collapse", __doc__, cells, report, curves=("test_accuracy", "kl", CURVE), measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))
