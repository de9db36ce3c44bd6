"""Diagnostics of a trained model and guide: posterior quality, collapse, calibration, transitions and gradients."""

from vri_pyro.diagnostics.averaged_transition import averaged_transition
from vri_pyro.diagnostics.collapse import Collapse, collapse
from vri_pyro.diagnostics.elbo_trained import elbo_trained
from vri_pyro.diagnostics.from_pyro_svi import from_pyro_svi
from vri_pyro.diagnostics.importance import Bounds, bounds, log_weights, pareto_k, rightness
from vri_pyro.diagnostics.judgement import Judgement, judge_posterior
from vri_pyro.diagnostics.meta_gradient import meta_gradient_squared_norm, squared_norm_of_mean
from vri_pyro.diagnostics.nuts_agreement import Agreement, nuts_agreement, nuts_draws
from vri_pyro.diagnostics.posterior_curves import posterior_curves
from vri_pyro.diagnostics.rectified import Rectified, rectified
from vri_pyro.diagnostics.run_posterior import choose_examples, outputs_of, run_posterior, true_labels
from vri_pyro.diagnostics.simulation_based_calibration import Calibration, simulation_based_calibration
from vri_pyro.interfaces.learned_transition import learned_transition

__all__ = [
    "Agreement",
    "Bounds",
    "Calibration",
    "Collapse",
    "Judgement",
    "Rectified",
    "averaged_transition",
    "bounds",
    "choose_examples",
    "collapse",
    "elbo_trained",
    "from_pyro_svi",
    "judge_posterior",
    "learned_transition",
    "log_weights",
    "meta_gradient_squared_norm",
    "nuts_agreement",
    "nuts_draws",
    "outputs_of",
    "pareto_k",
    "posterior_curves",
    "rectified",
    "rightness",
    "run_posterior",
    "simulation_based_calibration",
    "squared_norm_of_mean",
    "true_labels",
]
