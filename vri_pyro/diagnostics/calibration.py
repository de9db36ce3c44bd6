"""Are the probabilities right? Calibration errors, proper scores and the reliability curve of predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pyro import poutine
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError

BINS = 15
_TEMPERATURES = (1 / 20, 20.0)
_LEAST = 1e-12  # of a probability, for its logarithm


class Reliability(NamedTuple):
    """Predictions sorted into bins of equal width by their confidence, the probability of the predicted class.

    Attributes:
        confidence: mean confidence in each bin, [bins]; not a number in an empty one.
        accuracy: share of right predictions in each, [bins].
        counts: predictions in each, int64 [bins].
    """

    confidence: Tensor
    accuracy: Tensor
    counts: Tensor


class Calibration(NamedTuple):
    """How far probabilities can be taken at their word.

    Attributes:
        accuracy: share of right predictions, from 0 to 1.
        confidence: their mean confidence; above the accuracy, the classifier is overconfident.
        ece: expected calibration error, from 0 to 1: |accuracy − confidence|, averaged over bins by their counts.
        brier: Σ_k (p_k − [k = y])², averaged, from 0 to 2.
        nll: −log p_y, averaged, in nats.
        reliability: the curve behind ``ece``.
    """

    accuracy: float
    confidence: float
    ece: float
    brier: float
    nll: float
    reliability: Reliability


def calibration(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> Calibration:
    """Calibration of predictions against true labels.

    Args:
        probabilities: [N, K], rows that sum to one.
        labels: the truth, int64 [N], at least one.
        bins: of equal width from 0 to 1.

    Raises:
        UserError: there is nothing to judge by, shapes differ, or there is no bin.

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, for ECE and the reliability curve;
        Brier (1950) for the score that sums over classes.
    """
    from torchmetrics import functional as metrics  # takes seconds, which no other command should wait for

    if probabilities.dim() != 2 or labels.shape != probabilities.shape[:1] or len(labels) == 0:
        raise UserError(
            f"probabilities have shape {list(probabilities.shape)} and labels {list(labels.shape)}; "
            "give [N, K] and [N], with at least one example"
        )
    if bins < 1:
        raise UserError(f"bins is {bins}; give at least 1")
    p = probabilities.double()
    p = p / p.sum(-1, keepdim=True)  # torchmetrics takes anything a rounding above 1 for logits
    num_classes = p.shape[1]
    confidence, predicted = p.max(dim=-1)
    one_hot = F.one_hot(labels, num_classes).to(p)
    curve = _reliability(confidence, predicted == labels, bins)
    squared = metrics.mean_squared_error(p, one_hot) * num_classes
    return Calibration(
        accuracy=float((predicted == labels).double().mean()),
        confidence=float(confidence.mean()),
        # Not torchmetrics' error, which has a further bin for a confidence of exactly 1.
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


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The τ of softmax(logits / τ) whose logarithm is the likeliest under log τ ~ Normal(0, 1), from 1/20 to 20.

    That prior counts for little but where the labels say next to nothing: a few examples all of which are right would
    otherwise make the classifier certain of everything.

    Args:
        logits: of examples that training has not seen, [N, K], at least one.
        labels: their true labels, int64 [N].

    Reference: Guo et al., On calibration of modern neural networks, ICML 2017, without the prior.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        nll = F.cross_entropy(logits / math.exp(log_temperature), labels, reduction="sum")
        return float(nll) + log_temperature**2 / 2

    found = minimize_scalar(loss, bounds=[math.log(t) for t in _TEMPERATURES], method="bounded")
    return math.exp(found.x)


@torch.no_grad()
def prior_predictive(model: Callable[..., Any], output: ClassifierOutput, draws: int = 20) -> Tensor | None:
    """E_{p(v|x)}[p(y | x, v)]: the given label's distribution before the label is seen.

    Args:
        model: samples its latents and the categorical site ``y`` when it is given no labels.
        output: the classifier's, of a batch.
        draws: of the latents.

    Returns:
        [batch, K]; None where the model has no latent of an example, or no categorical site ``y``.
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
