"""Class probabilities from predictions of noisy labels and a transition matrix, and a first estimate of the matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vri_pyro.label_issues.top_classes import TopClasses, chunks

_STEPS = 30  # enough for the means of the probabilities to change by less than 0.01
_LEAST = 1e-12
_PRIOR = 0.5  # of an example per class, in the first estimate
_PATTERNLESS = 0.5


def confident_transition(predicted: TopClasses, given: Tensor) -> Tensor:
    """Estimate the transition matrix by counting examples that are confidently of a class, float64 [K, K].

    An example counts for the most probable class among those that reach their threshold, the mean predicted probability
    of a class over the examples with its label. The counts of each label are scaled to the label's number of examples.

    Args:
        predicted: out-of-sample predictions of the given labels, of N examples.
        given: given labels, int64 [N].

    Reference: Northcutt et al., Confident learning: estimating uncertainty in dataset labels, JAIR 2021.
    """
    size = predicted.num_classes
    labelled = torch.bincount(given, minlength=size).double()
    own = torch.bincount(given, predicted.probabilities[:, 0].double(), minlength=size)
    thresholds = torch.where(labelled > 0, own / labelled.clamp_min(1), torch.inf)
    counts = torch.zeros(size * size, dtype=torch.float64)
    for rows in chunks(len(given), predicted.classes.shape[1]):
        classes, p = predicted.classes[rows].long(), predicted.probabilities[rows].double()
        confident = torch.where(p >= thresholds[classes] - 1e-6, p, -1.0)
        best = confident.max(1)
        sure = best.values > 0
        decided = classes.gather(1, best.indices.unsqueeze(1)).squeeze(1)
        counts += torch.bincount(decided[sure] * size + given[rows][sure], minlength=size * size)
    joint = counts.reshape(size, size)
    joint = joint * (labelled / joint.sum(0).clamp_min(1))
    joint += _PRIOR * torch.eye(size, dtype=torch.float64) + _PRIOR / size
    return joint / joint.sum(1, keepdim=True)


def without_noise(predicted: TopClasses, rows: Tensor, transition: Tensor) -> Tensor:
    """Compute the class probabilities p(c | x) for which p T equals the predictions of the given labels.

    A few multiplicative steps reduce the Kullback-Leibler divergence between the predictions and p T. The result is a
    distribution also where the predictions are no mixture of rows of T. The steps are done on the label distribution
    among the kept classes.

    Args:
        predicted: predictions of the given labels.
        rows: positions of examples, int64 [n].
        transition: T, [K, K].

    Returns:
        probabilities of the kept classes, float64 [n, m].

    Reference: Richardson (1972) and Lucy (1974).
    """
    classes = predicted.classes[rows].long()
    observed = _normalised(predicted.probabilities[rows].double().clamp_min(_LEAST))
    among = transition[classes.unsqueeze(2), classes.unsqueeze(1)].clamp_min(_LEAST)
    inside = among.sum(2)
    among = among / inside.unsqueeze(2)
    p = observed
    for _ in range(_STEPS):
        ratio = observed / torch.einsum("nc,ncy->ny", p, among).clamp_min(_LEAST)
        p = _normalised(p * torch.einsum("ncy,ny->nc", among, ratio))
    return _normalised(p / inside)


class Decisions(NamedTuple):
    """The classifier's decisions, and the confusions that its probabilities imply.

    Attributes:
        decided: most probable class, int64 [N].
        implied: sums of the class probabilities over the examples with each decision, by class and decision, [K, K].
    """

    decided: Tensor
    implied: np.ndarray


def decisions(predicted: TopClasses, transition: Tensor, counted: Tensor) -> Decisions:
    """Decide on the class of each example.

    Args:
        predicted: predictions of the given labels, of N examples.
        transition: transition matrix, [K, K].
        counted: whether the example counts for the implied confusions, bool [N].
    """
    size = predicted.num_classes
    decided = torch.empty(len(predicted.classes), dtype=torch.int64)
    implied = torch.zeros(size * size, dtype=torch.float64)
    for rows in chunks(len(decided), predicted.classes.shape[1] ** 2):
        classes, p = predicted.classes[rows].long(), without_noise(predicted, rows, transition)
        decided[rows] = classes.gather(1, p.argmax(1, keepdim=True)).squeeze(1)
        some = counted[rows]
        cells = classes[some] * size + decided[rows][some].unsqueeze(1)
        implied += torch.bincount(cells.flatten(), p[some].flatten(), minlength=size * size)
    return Decisions(decided, implied.reshape(size, size).numpy())


def class_posterior(predicted: TopClasses, given: Tensor, transition: Tensor) -> Tensor:
    """Compute the posterior of each example's class given its label, r(c) ∝ p(c | x) T'[c, y].

    p(c | x) is :func:`without_noise`. T' has the same diagonal as T. Half of the wrong labels of a class follow T, and
    the other half are any class, because which wrong label an example has may also depend on the example.

    Args:
        predicted: predictions of the given labels, of N examples.
        given: given labels, int64 [N].
        transition: T, [K, K].

    Returns:
        probabilities of the kept classes, the given label first, float64 [N, m].
    """
    likelihood = _partly_patternless(transition)
    found = torch.empty(predicted.classes.shape, dtype=torch.float64)
    for rows in chunks(len(given), predicted.classes.shape[1] ** 2):
        classes = predicted.classes[rows].long()
        joint = without_noise(predicted, rows, transition) * likelihood[classes, given[rows].unsqueeze(1)]
        found[rows] = _normalised(joint)
    return found


def _partly_patternless(transition: Tensor) -> Tensor:
    size = len(transition)
    right = transition.diagonal().unsqueeze(1)
    anywhere = ((1 - right) / (size - 1)).expand(size, size).clone()
    anywhere.diagonal().copy_(right.squeeze(1))
    return (1 - _PATTERNLESS) * transition + _PATTERNLESS * anywhere


def _normalised(values: Tensor) -> Tensor:
    return values / values.sum(-1, keepdim=True)
