"""Does the posterior collapse without the KL? (paper, figure 4)

The study measures the norm of the vector of posterior variances, ‖σ²‖, during long training under 70% uniform noise
with one particle. It compares four methods:

* no KL: Monte Carlo estimates of the meta loss alone;
* inner KL (the paper's eq. 6): weight λ in the loss of the virtual step, attached features, unbounded prior variance;
* outer KL: weight β in the outer objective, with VRI's learned prior, whose log σ² is bounded below by -2;
* outer KL, fixed prior: the same with a standard normal prior, whose ‖σ²‖ is √K (3.16 for ten classes).

Price's theorem (1958) describes how the meta loss changes σ without a KL: ∂E[G]/∂log σ² = ½ σ² E[∂²G/∂v²] for a normal
v. The meta loss narrows the posterior where the loss is convex in v and widens it where the loss is concave. The study
measures this pull as the derivative of the outer objective with respect to a common shift of all log σ², averaged over
batches. A positive pull reduces the variance, towards collapse.

Each of the other settings differs from "whole run" in one respect: only two epochs, a ten times higher learning rate of
the guide, or no clean batch in the real step, as in the paper's algorithm.
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
    recorded,
)
from study.benches import clean_labels, noise

from vri_pyro.data import generator_for, permutation
from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import hyperparameters_of
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

WEIGHT = "1e-3"  # λ and β
# The paper's configuration with the library's settings for everything but the unbounded prior variance.
FREE_PRIOR = recorded("vri_paper", "--method.clean_weight", "1", "--method.outer_optimizer.lr", "1e-3")
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
# Few examples and many epochs: the epochs of the bench are too few for a posterior to collapse.
LENGTHS: dict[str, Options] = {"Fashion-MNIST": ("--split.noisy_size", "2000", "--epochs", "60")}
CURVE = "posterior_variance_norm/v"
DRAWS, BATCH = 100, 100  # for the pull: draws of a noisy and a clean batch; examples per batch


def cells(bench: Bench) -> list[Cell]:
    """Return every method in every setting."""
    shared = bench.setting(
        *LENGTHS.get(bench.title, ()), *noise("UniformExclusive", 0.7), *clean_labels(20), "--method.num_particles", "1"
    )
    return [
        Cell(setting, method, (*how, *shared, *one_thing))
        for setting, one_thing in SETTINGS.items()
        for method, how in METHODS.items()
    ]


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure the pull on log σ² at the end of the run, for the meta loss alone and for the whole outer objective."""
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
    """Return the derivative of the outer objective with respect to a common shift of all log σ²."""
    gradients = algorithm.outer_gradients(noisy, clean)
    names = hyperparameters_of(algorithm.model, algorithm.guide)
    bias = dict(zip(names, gradients, strict=True))["guide.network.log_variance.bias"]
    return 0.0 if bias is None else float(bias.sum())


def report(records: Records) -> Page:
    """Report ‖σ²‖, the KL, the pull and the accuracy."""
    parts = [__doc__.split("\n\n", 1)[1].strip()]
    for metric, label in ((CURVE, "‖σ²‖"), ("kl", "KL to the prior (nats)")):
        rows = (
            [method, *(_last(records.curves(method, s, metric)) for s in records.settings)]
            for method in records.methods
        )
        parts += [f"{label}, mean over the last epoch, one value per seed:"]
        parts += [markdown_table(["", *records.settings], rows)]
    for objective, label in (("meta loss", "the meta loss alone"), ("whole", "the whole outer objective")):
        rows = (
            [method, *(_pulls(records.of(method, s).values(), objective) for s in records.settings)]
            for method in records.methods
        )
        parts += [f"Pull of {label} on log σ², one value per seed, ± standard error over batches:"]
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
    axes[0].set_ylabel("posterior ‖σ²‖, one line per seed")
    axes[0].legend(fontsize=9)
    return figure


STUDY = Study("collapse", __doc__, cells, report, curves=("test_accuracy", "kl", CURVE), measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))
