"""Predictions of the given labels, out of sample: calibrated, and mixed with those of the nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from vri_pyro.data import generator_for, permutation
from vri_pyro.label_issues.top_classes import TopClasses

_FITTED = 20_000  # examples from which temperature and weights are fitted
_FITTED_VALUES = 5_000_000  # and probabilities
_TEMPERATURES = (1 / 20, 20.0)
_STEPS = 100  # EM steps for the weights
_PRIOR_VOTES = 0.5
_LEAST = 1e-12


def given_label_predictions(
    dense: Callable[[Tensor], Tensor],
    given: Tensor,
    num_classes: int,
    nearest: Tensor | None,
    unverified: Tensor,
    seed: int,
) -> TopClasses:
    """Predict the given label of each example, including its noise, without use of that label.

    A classifier that was trained on noisy labels predicts noisy labels. Its probabilities are calibrated by a
    temperature. With neighbours, they are mixed with the mean of the neighbours' probabilities and with the shares of
    the neighbours' given labels. Temperature and weights have the greatest likelihood of the given labels, so that
    features in which neighbours are not of the same class get little weight.

    Args:
        dense: function that returns out-of-sample probabilities for positions, [n, K].
        given: given labels, int64 [N].
        num_classes: number of classes K.
        nearest: positions of the nearest neighbours of each example, int64 [N, neighbours]; None for no neighbours.
        unverified: positions of the labels with noise, int64 [n]; temperature and weights are fitted on them.
        seed: seed of the choice of 20,000 of them, if there are more.
    """
    own = TopClasses.of(dense, given, num_classes)
    size = min(len(unverified), _FITTED, max(1, _FITTED_VALUES // num_classes))
    some = unverified[torch.from_numpy(permutation(generator_for(seed, "fitted"), len(unverified))[:size])]
    own = _calibrated(own, given, some)
    if nearest is None:
        return own

    def opinions(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        around = nearest[rows]
        return own.dense(rows), own.mean(around), votes(given[around], num_classes)

    likelihoods = torch.stack([_of_label(p, given[some]) for p in opinions(some)])
    weights = _fitted_weights(likelihoods.numpy())

    def mixed(rows: Tensor) -> Tensor:
        return torch.stack([weight * p for weight, p in zip(weights.tolist(), opinions(rows), strict=True)]).sum(0)

    # A mixture of calibrated predictions is less certain than it could be.
    return _calibrated(TopClasses.of(mixed, given, num_classes), given, some)


def _calibrated(predicted: TopClasses, given: Tensor, some: Tensor) -> TopClasses:
    return predicted.calibrated(*_calibration(predicted.dense(some).clamp_min(_LEAST).log(), given[some]))


def _calibration(logits: Tensor, given: Tensor) -> tuple[float, float]:
    """Fit temperature τ and weight w of w softmax(logits / τ) + (1 − w) / K by maximum likelihood.

    The second part is the floor that uniform label noise puts under the probability of every class; a temperature alone
    would flatten certain predictions to reach it. The prior of log τ is standard normal.
    """
    size = logits.shape[1]

    def fitted(log_temperature: float) -> tuple[float, float]:
        p = _of_label((logits / math.exp(log_temperature)).softmax(-1), given).numpy()
        likelihoods = np.stack([p, np.full(len(p), 1 / size)])
        weights = _fitted_weights(likelihoods)
        return weights[0], float(log_temperature**2 / 2 - np.log(weights @ likelihoods).sum())

    found = minimize_scalar(lambda t: fitted(t)[1], bounds=[math.log(t) for t in _TEMPERATURES], method="bounded")
    return math.exp(found.x), fitted(found.x)[0]


def votes(labels: Tensor, num_classes: int) -> Tensor:
    """Return the shares of labels, int64 [n, neighbours], among half a vote spread over the classes and theirs."""
    found = torch.full((len(labels), num_classes), _PRIOR_VOTES / num_classes, dtype=torch.float64)
    found.scatter_add_(1, labels, torch.ones(labels.shape, dtype=torch.float64))
    return found / (labels.shape[1] + _PRIOR_VOTES)


def _of_label(probabilities: Tensor, given: Tensor) -> Tensor:
    return probabilities.gather(1, given.unsqueeze(1)).squeeze(1)


def _fitted_weights(likelihoods: np.ndarray) -> np.ndarray:
    """Fit the weights of a mixture by EM to the likelihoods of the labels, [components, n]."""
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    for _ in range(_STEPS):
        shares = weights[:, None] * likelihoods
        weights = (shares / shares.sum(0).clip(1e-300)).mean(1)
    return weights / weights.sum()
