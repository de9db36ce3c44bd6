"""What a trained pair has learned, measured: its posterior for ArviZ, the meta loss's gradient, transitions, losses."""

from vri_pyro.diagnostics.from_pyro_svi import from_pyro_svi
from vri_pyro.diagnostics.meta_gradient import meta_gradient_squared_norm, squared_norm_of_mean
from vri_pyro.diagnostics.rectified import Rectified, rectified
from vri_pyro.diagnostics.transition import averaged_transition, learned_transition

__all__ = [
    "Rectified",
    "averaged_transition",
    "from_pyro_svi",
    "learned_transition",
    "meta_gradient_squared_norm",
    "rectified",
    "squared_norm_of_mean",
]
