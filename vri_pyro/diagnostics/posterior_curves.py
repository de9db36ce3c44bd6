"""How a posterior went over the training of a run, by the metrics that it kept."""

from __future__ import annotations

import numpy as np

from vri_pyro.training.run_folder import RunFolder

CURVES = ("posterior_std", "posterior_variance_norm", "prior_std", "kl")


def posterior_curves(folder: RunFolder, site: str = "v") -> dict[str, np.ndarray]:
    """A latent's standard deviation, ‖σ²‖, prior's standard deviation and KL, a value an epoch of the run's method.

    Args:
        folder: of a run.
        site: the latent.

    Returns:
        those of :data:`CURVES` that the run has, [epochs], by name.
    """
    rows, columns = folder.read_metrics(), {name: f"{name}/{site}" for name in CURVES}
    curves = {name: np.array([row[column] for row in rows if column in row]) for name, column in columns.items()}
    return {name: curve for name, curve in curves.items() if len(curve)}
