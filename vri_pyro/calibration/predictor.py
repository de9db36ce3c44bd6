"""Predict calibrated probabilities and prediction sets with the classifier of a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vri_pyro.calibration.held_out import HeldOut
from vri_pyro.calibration.of_run import held_out_of
from vri_pyro.calibration.prediction_sets import PredictionSets, prediction_sets
from vri_pyro.calibration.temperature import Temperature, fit_temperature
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run


class CalibratedPredictor(Predictor):
    """Predicts calibrated probabilities and prediction sets with the classifier of a run after its last epoch.

    Both are calibrated on the validation labels of the run, which it was not trained on. In contrast to
    :class:`~vri_pyro.Predictor`, the training data are needed. The best epoch cannot be used: it was chosen on the
    validation labels.

    Args:
        run: run folder.
        device: "cpu" or "cuda".
        trust: whether ``config.yaml`` may name code that is not part of vri_pyro, see :class:`~vri_pyro.Predictor`.
        data: new places of data that have moved, see :class:`~vri_pyro.Run`.

    Attributes:
        held_out: the validation labels, with the classifier's predictions.
        caveat: a warning if the validation labels are not verified; None if they are.

    Raises:
        UserError: the run has no validation labels; see also :class:`~vri_pyro.Predictor` and :class:`~vri_pyro.Run`.
    """

    def __init__(
        self,
        run: Path | str,
        device: str = "cpu",
        trust: bool = False,
        data: Mapping[str, Path | str] = MappingProxyType({}),
    ) -> None:
        super().__init__(run, "last", device, trust)
        trained = Run(run, device="cuda" if self.device.type == "cuda" else "cpu", trust=trust, data=data)
        self.held_out: HeldOut = held_out_of(trained)
        self.caveat = trained.split.caveat

    @cached_property
    def temperature(self) -> Temperature:
        """The temperature that calibrates the probabilities; its attribute ``told`` says how sure it is."""
        return fit_temperature(self.held_out)

    def predict_calibrated(self, x: np.ndarray, batch_size: int = 1000) -> np.ndarray:
        """Predict calibrated class probabilities; asymptotic, see :class:`~vri_pyro.calibration.Temperature`.

        Args:
            x, batch_size: as in :meth:`~vri_pyro.runs.predictor.Predictor.predict`.

        Returns:
            class probabilities, float64 [N, K].
        """
        return self.temperature(self.predict(x, batch_size))

    def prediction_sets(self, coverage: float = 0.9, **options: Any) -> PredictionSets:
        """Calibrate prediction sets for probabilities of this predictor; see :meth:`predict_set`."""
        return prediction_sets(self.held_out, coverage, **options)

    def predict_set(self, x: np.ndarray, coverage: float = 0.9, batch_size: int = 1000, **options: Any) -> np.ndarray:
        """Predict the set of classes that contains the true class of an input with probability ``coverage``.

        The probability is at least ``coverage`` if the labels are trusted and new inputs are like the held-out ones;
        for noisy labels it is so asymptotically, if they depend on the input only through the class and the posterior
        of the transition matrix is right.

        Args:
            x, batch_size: as in :meth:`~vri_pyro.runs.predictor.Predictor.predict`.
            coverage: probability between 0 and 1.
            options: options of :func:`~vri_pyro.calibration.prediction_sets`, such as ``by_class``.

        Returns:
            whether each class belongs to the set of each input, bool [N, K], in the order of ``classes``.

        Raises:
            UserError: an option is out of range, or there are too few held-out labels for this coverage.

        Warns:
            UserWarning: some classes have too few held-out labels for a guarantee of their own, or most sets hold all
                classes.
        """
        sets = self.prediction_sets(coverage, **options)
        if (warning := sets.warning(self.classes)) is not None:
            warnings.warn(warning, stacklevel=2)
        return sets(self.predict(x, batch_size))
