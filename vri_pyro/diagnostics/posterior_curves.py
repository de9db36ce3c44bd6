"""How a posterior went over the training of a run, by the metrics that it kept."""

from __future__ import annotations

import csv

import numpy as np

from vri_pyro.run_folder import RunFolder

CURVES = ("posterior_std", "posterior_variance_norm", "prior_std", "kl")


def posterior_curves(folder: RunFolder, site: str = "v") -> dict[str, np.ndarray]:
    """A latent's standard deviation, ‖σ²‖, prior's standard deviation and KL, a value an epoch of the run's method.

    Args:
        folder: of a run.
        site: the latent.

    Returns:
        those of :data:`CURVES` that the run has, [epochs], by name.
    """
    with folder.metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row.get(f"{name}/{site}") for row in rows] for name in CURVES}
    numbers = {name: np.array([float(value) for value in values if value]) for name, values in columns.items()}
    return {name: curve for name, curve in numbers.items() if len(curve)}
