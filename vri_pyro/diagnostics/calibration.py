"""Calibration of predicted probabilities: calibration error, proper scores and the reliability curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from pyro import poutine
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.transition_likelihood import noisy_log_probabilities
from vri_pyro.utils.errors import UserError

BINS = 15
_TEMPERATURES = (1 / 20, 20.0)
_GRID = 300  # temperatures at which the density of the posterior is evaluated
_LEAST = 1e-12  # probabilities are clamped to it before the logarithm


class Reliability(NamedTuple):
    """Reliability curve: accuracy by confidence, the probability of the predicted class, in bins of equal width.

    Attributes:
        confidence: mean confidence of each bin, [bins]; NaN for an empty bin.
        accuracy: accuracy of each bin, [bins]; NaN for an empty bin.
        counts: number of predictions in each bin, int64 [bins].
    """

    confidence: Tensor
    accuracy: Tensor
    counts: Tensor


class Calibration(NamedTuple):
    """Calibration measures of a classifier's predictions.

    Attributes:
        accuracy: share of correct predictions, from 0 to 1.
        confidence: mean confidence. If it exceeds the accuracy, the classifier is overconfident.
        ece: expected calibration error, from 0 to 1: mean of |accuracy − confidence| over bins, weighted by counts.
        brier: Brier score, the mean of Σ_k (p_k − [k = y])², from 0 to 2.
        nll: negative log-likelihood, the mean of −log p_y, in nats.
        reliability: the reliability curve from which ``ece`` is computed.
    """

    accuracy: float
    confidence: float
    ece: float
    brier: float
    nll: float
    reliability: Reliability

    @property
    def overconfidence(self) -> float:
        """The part of ``ece`` from bins whose confidence exceeds their accuracy; the other bins make up the rest."""
        curve = self.reliability
        excess = (curve.confidence - curve.accuracy).clamp_min(0)
        return float((excess * curve.counts).nansum() / curve.counts.sum())


def calibration(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> Calibration:
    """Measure the calibration of predicted probabilities against true labels.

    Args:
        probabilities: predictions, [N, K]; rows sum to one.
        labels: true labels, int64 [N], N >= 1.
        bins: number of bins of equal width from 0 to 1.

    Raises:
        UserError: there are no examples, the shapes do not match, or ``bins`` is below 1.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, for ECE and the reliability curve;
        Brier (1950) for the score, in the form that sums over classes.
    """
    from torchmetrics import functional as metrics  # slow to import

    if probabilities.dim() != 2 or labels.shape != probabilities.shape[:1] or len(labels) == 0:
        raise UserError(
            f"probabilities have shape {list(probabilities.shape)} and labels {list(labels.shape)}; "
            "expected [N, K] and [N] with N >= 1"
        )
    if bins < 1:
        raise UserError(f"bins is {bins}; expected an integer >= 1")
    p = probabilities.double()
    p = p / p.sum(-1, keepdim=True)  # torchmetrics treats values above 1, even by rounding, as logits
    num_classes = p.shape[1]
    confidence, predicted = p.max(dim=-1)
    one_hot = F.one_hot(labels, num_classes).to(p)
    curve = _reliability(confidence, predicted == labels, bins)
    squared = metrics.mean_squared_error(p, one_hot) * num_classes
    return Calibration(
        accuracy=float((predicted == labels).double().mean()),
        confidence=float(confidence.mean()),
        # torchmetrics' calibration error has an extra bin for a confidence of exactly 1.
        ece=float(((curve.accuracy - curve.confidence).abs() * curve.counts).nansum() / len(labels)),
        brier=float(squared),
        nll=float(F.nll_loss(p.clamp_min(_LEAST).log(), labels)),
        reliability=curve,
    )


def _reliability(confidence: Tensor, right: Tensor, bins: int) -> Reliability:
    place = (confidence * bins).long().clamp_max(bins - 1)
    counts = torch.bincount(place, minlength=bins)
    sums = [torch.bincount(place, weights=values.double(), minlength=bins) for values in (confidence, right)]
    confidences, accuracies = (torch.where(counts > 0, total / counts, torch.nan) for total in sums)
    return Reliability(confidences, accuracies, counts)


def ece_by_chance(curve: Reliability, level: float = 0.95, draws: int = 1000, seed: int = 0) -> float:
    """Return a quantile of the expected calibration error that a calibrated classifier has by chance.

    The error of a finite sample is above 0 even if every prediction is correct with the probability that the classifier
    states. The quantile is simulated: in each bin, the number of correct predictions is drawn from a binomial
    distribution with the bin's mean confidence.

    Args:
        curve: the reliability curve of a classifier; only its confidences and counts are used.
        level: level of the quantile.
        draws: number of simulated samples.
        seed: random seed.

    Returns:
        the quantile, from 0 to 1. An error below it does not show that the classifier is miscalibrated.

    Reference: Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019, for the method,
        consistency resampling.
    """
    filled = curve.counts > 0
    counts, confidence = curve.counts[filled].numpy(), curve.confidence[filled].numpy()
    right = np.random.default_rng(seed).binomial(counts, confidence.clip(0, 1), (draws, len(counts)))
    errors = np.abs(right - counts * confidence).sum(1) / counts.sum()
    return float(np.quantile(errors, level))


def fitted_temperature(logits: Tensor, labels: Tensor, transition: Tensor | None = None) -> float:
    """Fit the temperature τ of softmax(logits / τ) by MAP estimation, between 1/20 and 20.

    The prior is log τ ~ Normal(0, 1). It has little effect unless the labels carry little information: without it,
    a few examples that are all predicted correctly would push τ to its lower bound.

    Args:
        logits: logits of examples that were not used in training, [N, K], N >= 1.
        labels: labels of the examples, int64 [N].
        transition: transition matrix of the labels if they are noisy, [K, K]; None for true labels.

    Returns:
        the temperature τ.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, where no prior is used.
    """
    loss = _temperature_loss(logits, labels, transition)
    found = minimize_scalar(loss, bounds=[math.log(t) for t in _TEMPERATURES], method="bounded")
    return math.exp(found.x)


def temperature_interval(
    logits: Tensor, labels: Tensor, transition: Tensor | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Return the credible interval of the temperature that :func:`fitted_temperature` estimates.

    Args:
        logits, labels, transition: as for :func:`fitted_temperature`.
        level: probability of the interval.
    """
    loss = _temperature_loss(logits, labels, transition)
    grid = np.linspace(math.log(_TEMPERATURES[0]), math.log(_TEMPERATURES[1]), _GRID)
    log_density = -np.array([loss(point) for point in grid])
    cumulative = np.exp(log_density - log_density.max()).cumsum()
    tail = (1 - level) / 2
    low, high = np.interp([tail, 1 - tail], cumulative / cumulative[-1], grid)
    return math.exp(low), math.exp(high)


def _temperature_loss(logits: Tensor, labels: Tensor, transition: Tensor | None) -> Callable[[float], float]:
    """Return the negative log-posterior of log τ, up to a constant."""
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        if transition is not None:
            scaled = noisy_log_probabilities(scaled, transition)
        nll = F.cross_entropy(scaled, labels, reduction="sum")
        return float(nll) + log_temperature**2 / 2

    return loss


@torch.no_grad()
def prior_predictive(model: Callable[..., Any], output: ClassifierOutput, draws: int = 20) -> Tensor | None:
    """Estimate the prior predictive distribution of the given label, E_{p(v|x)}[p(y | x, v)].

    Args:
        model: a Pyro model that samples its latents and the categorical site ``y`` if it is called without labels.
        output: the classifier's output for a batch.
        draws: number of draws of the latents.

    Returns:
        probabilities, [batch, K]. None if the model has no per-example latent or no categorical site ``y``.
    """
    total = torch.zeros_like(output.logits)
    for _ in range(draws):
        nodes = poutine.trace(model).get_trace(output).nodes
        label = nodes.get("y")
        if label is None or not hasattr(label["fn"], "probs") or not any(map(_is_local_latent, nodes.values())):
            return None
        total += label["fn"].probs / draws
    return total


def _is_local_latent(site: dict[str, Any]) -> bool:
    sampled = site["type"] == "sample" and not site["is_observed"] and site["name"] != "y"
    return sampled and any(frame.name == "data" for frame in site["cond_indep_stack"])
