"""Posterior statistics over the epochs of a run, from its metrics."""

from __future__ import annotations

import numpy as np

from vri_pyro.training.loggers import Rows
from vri_pyro.training.run_folder import RunFolder

CURVES = ("posterior_std", "posterior_variance_norm", "prior_std", "kl")


def posterior_curves(run: RunFolder | Rows, site: str = "v") -> dict[str, np.ndarray]:
    """Return a latent's posterior std, ‖σ²‖, prior std and KL for each epoch of the run's method.

    Args:
        run: the run folder, or the metrics of the run, one row per epoch.
        site: name of the latent site.

    Returns:
        a dict from name to values, [epochs], with those of :data:`CURVES` that the run has recorded.
    """
    rows = run.read_metrics() if isinstance(run, RunFolder) else run
    columns = {name: f"{name}/{site}" for name in CURVES}
    curves = {name: np.array([row[column] for row in rows if column in row]) for name, column in columns.items()}
    return {name: curve for name, curve in curves.items() if len(curve)}
