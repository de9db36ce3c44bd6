"""Calibrated probabilities and prediction sets, from labels that were held out of training."""

from vri_pyro.calibration.held_out import HeldOut
from vri_pyro.calibration.of_run import held_out_of
from vri_pyro.calibration.prediction_sets import OVER_DRAWS, PredictionSets, prediction_sets
from vri_pyro.calibration.predictor import CalibratedPredictor
from vri_pyro.calibration.scores import SCORES, conformity_scores
from vri_pyro.calibration.temperature import Temperature, fit_temperature
from vri_pyro.calibration.thresholds import OrderedScores, Threshold, labels_needed

__all__ = [
    "OVER_DRAWS",
    "SCORES",
    "CalibratedPredictor",
    "HeldOut",
    "OrderedScores",
    "PredictionSets",
    "Temperature",
    "Threshold",
    "conformity_scores",
    "fit_temperature",
    "held_out_of",
    "labels_needed",
    "prediction_sets",
]
