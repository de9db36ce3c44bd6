"""Calibrate predicted probabilities by a temperature that is fitted on held-out labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vri_pyro.calibration.held_out import HeldOut
from vri_pyro.diagnostics.calibration import fitted_temperature, temperature_interval

_LEAST = 1e-300  # probabilities below it are raised to it before the logarithm


@dataclass(frozen=True)
class Temperature:
    """A temperature τ that calibrates probabilities: p becomes proportional to p^(1/τ).

    The most probable class stays the most probable.

    Attributes:
        value: τ; above 1 if the classifier is overconfident.
        low, high: 95% credible interval of τ.
        held_out: the labels from which τ is estimated, in words.
        trusted: whether these labels are trusted.
    """

    value: float
    low: float
    high: float
    held_out: str
    trusted: bool

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrate class probabilities.

        With τ estimated from finitely many labels of one classifier, calibration is approximate: τ is the best one of a
        family with one parameter, in the limit of many labels.

        Args:
            probabilities: [N, K].

        Returns:
            calibrated probabilities of the same shape and dtype; rows sum to 1.
        """
        powers = np.maximum(probabilities.astype(np.float64), _LEAST)
        powers = (powers / powers.max(1, keepdims=True)) ** (1 / self.value)
        return (powers / powers.sum(1, keepdims=True)).astype(probabilities.dtype)

    @property
    def told(self) -> str:
        """A sentence on the temperature and the labels from which it is estimated."""
        certain = "" if self.low > 1 or self.high < 1 else ", not clearly different from 1"
        assumed = "" if self.trusted else " and the estimated transition matrix"
        return (
            f"The probabilities are calibrated with the temperature {self.value:.2f} (95% interval {self.low:.2f} to "
            f"{self.high:.2f}{certain}), estimated from {self.held_out}{assumed}."
        )


def fit_temperature(held_out: HeldOut) -> Temperature:
    """Estimate the temperature by which the classifier's probabilities are calibrated.

    The prior log τ ~ Normal(0, 1) keeps τ near 1 if there are few labels. Noisy labels are explained by the calibrated
    probabilities and the mean of the transition matrices, so they need not be corrected.

    Args:
        held_out: labels that were not used in training. The estimate is asymptotic: it converges to the best
            temperature as the number of labels grows, for noisy labels only if the transition matrix is right.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    logits = torch.from_numpy(np.log(np.maximum(held_out.probabilities, _LEAST)))
    labels = torch.from_numpy(held_out.labels)
    transition = None if held_out.transition is None else torch.from_numpy(held_out.transition.mean(0))
    value = fitted_temperature(logits, labels, transition)
    low, high = temperature_interval(logits, labels, transition)
    return Temperature(value, low, high, held_out.described, held_out.trusted)
