"""One posterior of labels from regressions that have not seen them and a classifier that has."""

from __future__ import annotations

import numpy as np

from vri_pyro.label_issues.agreement import agreeing_with_rate
from vri_pyro.label_issues.candidates_of_predictions import all_classes
from vri_pyro.label_issues.head_candidates import most_probable
from vri_pyro.label_issues.joint_posterior import JointPosterior

_HALF = 0.5
_LEAST = 1e-6


def weight_of_classifier(wrong: np.ndarray, agrees: np.ndarray) -> float:
    """Return what a classifier counts beside regressions that have not seen the labels, from 0 to 0.5.

    It counts half as far as it does not follow labels that are probably wrong: a classifier that has memorised all
    labels says nothing about them.

    Args:
        wrong: probability that a label is wrong, by the regressions, [N].
        agrees: whether the classifier predicts the label, bool [N].
    """
    return float(_HALF * (1 - np.average(agrees, weights=wrong + _LEAST)))


def pooled(heads: JointPosterior, classifier: JointPosterior, weight: float) -> JointPosterior:
    """Pool the class probabilities of two posteriors of the same labels.

    The pool is the weighted geometric mean. The noise, and the examples of no class, are those of the regressions; the
    log odds of all labels are shifted by one number so that the probabilities add up to their noise rate.

    Args:
        heads: posterior by regressions that have not seen the labels.
        classifier: posterior by the classifier.
        weight: weight of the classifier, from 0 to 1.

    Reference: Genest & Zidek, Combining probability distributions, Statistical Science 1986, for the logarithmic
        opinion pool.
    """
    given, size = heads.classes[:, 0], heads.num_classes
    logs = [np.log(_of_classes(one).clip(_LEAST)) for one in (heads, classifier)]
    p = np.exp((1 - weight) * logs[0] + weight * logs[1])
    p /= p.sum(1, keepdims=True)
    classes = most_probable(p, all_classes(given, size))
    agreeing = agreeing_with_rate(np.take_along_axis(p, classes, 1), heads.none, heads.noise_rate)
    return JointPosterior(heads.transition, classes, agreeing, heads.none, size)


def _of_classes(posterior: JointPosterior) -> np.ndarray:
    """Return the probabilities of all classes for examples of some class, [N, K]."""
    found = np.zeros((len(posterior.classes), posterior.num_classes))
    np.put_along_axis(found, posterior.classes, posterior.probabilities, 1)
    return found
