"""What a trained pair has learned, measured: its posterior and whether it is right, transitions, losses, gradients."""

from vri_pyro.diagnostics.from_pyro_svi import from_pyro_svi
from vri_pyro.diagnostics.importance import Bounds, bounds, log_weights, pareto_k
from vri_pyro.diagnostics.meta_gradient import meta_gradient_squared_norm, squared_norm_of_mean
from vri_pyro.diagnostics.rectified import Rectified, rectified
from vri_pyro.diagnostics.transition import averaged_transition, learned_transition

__all__ = [
    "Bounds",
    "Rectified",
    "averaged_transition",
    "bounds",
    "from_pyro_svi",
    "learned_transition",
    "log_weights",
    "meta_gradient_squared_norm",
    "pareto_k",
    "rectified",
    "squared_norm_of_mean",
]
