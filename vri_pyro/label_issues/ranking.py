"""The examples of a run by how probably their labels are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vri_pyro.calibration import fitted_temperature
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.evidence import Evidence, Trusted
from vri_pyro.label_issues.neighbours import distance_to_nearest, mean_over_nearest, smoothed
from vri_pyro.label_issues.open_set import conformal_p_values, probability_of_no_class
from vri_pyro.label_issues.prediction import loss, margin, self_confidence
from vri_pyro.label_issues.transition_posterior import TransitionPosterior, transition_posterior
from vri_pyro.transition import clean_posterior

BEST = "combined"


@dataclass(frozen=True)
class LabelIssues:
    """How probably each label is wrong, and what stands behind that.

    Attributes:
        given: the labels, int64 [N].
        suggested: the most probable class, int64 [N]; -1 where that is none of them.
        scores: by name, [N] each; greater is more suspicious. ``combined`` is the probability that the label is wrong.
        uncertainty: entropy of the distribution behind ``suggested``, from 0 (sure) to 1 (anything goes), [N].
        posterior: that distribution over classes and, last, none of them, [N, K + 1].
        transition: the posterior of the transition matrix and of the noise rate.
        temperature: by which the classifier's logits were divided.
    """

    given: Tensor
    suggested: Tensor
    scores: dict[str, Tensor]
    uncertainty: Tensor
    posterior: Tensor
    transition: TransitionPosterior
    temperature: float

    @property
    def score(self) -> Tensor:
        """The probability that the label is wrong, [N]."""
        return self.scores[BEST]

    def order(self) -> Tensor:
        """The examples, most suspicious first, int64 [N]."""
        return self.score.argsort(descending=True, stable=True)


def rank(evidence: Evidence, neighbours: int = 20, draws: int = 200, seed: int = 0) -> LabelIssues:
    """Score every label, alone and by the best combination.

    ``combined`` is 1 − r(y), where r is the posterior over the classes and none of them, of

    1. the classifier's probabilities, their temperature fitted on trusted examples held out of training, and averaged
       over each example's nearest neighbours, so that a label learned by heart does not excuse itself;
    2. the transition matrix of the given labels, at its posterior mean were they independent of those probabilities;
    3. the probability of no class, by the distance to everything trusted.

    Without trusted examples held out the temperature is 1, and without any the probability of no class is 0. How much
    each part adds is measured by ``experiments/label_issues.py``.

    Args:
        evidence: about the examples.
        neighbours: to average over; with 0 each example's own prediction stands.
        draws: of the transition matrix.
        seed: of everything random.

    Returns:
        the scores ``self_confidence``, ``margin``, ``loss``, ``clean_class`` (1 − r(y) of each example's own calibrated
        probabilities, by the matrix that the method has learned where it has one; without averaging and 3),
        ``open_set`` (the distance; only with trusted examples), ``rectification`` and ``surprise`` (only with model and
        guide), and ``combined``.
    """
    given, logits = evidence.given, evidence.logits
    temperature = _temperature(evidence.trusted)
    probabilities = (logits / temperature).softmax(-1).double()
    distance, none = _open_set(evidence, neighbours=5)
    averaged = smoothed(probabilities, evidence.features, neighbours, seed=seed)
    held_out = _decisions_held_out(evidence, probabilities, neighbours)
    found = transition_posterior(averaged, given, 1 - none, held_out, True, draws, seed)
    # The posterior of a class, below, takes probabilities and labels for independent, and gets the matrix for that.
    estimated = transition_posterior(averaged, given, 1 - none, held_out, False, draws, seed).transition.mean(0)
    matrix = estimated if evidence.transition is None else evidence.transition.double()
    within = clean_posterior(averaged.log(), estimated, given)
    posterior = torch.cat([within * (1 - none).unsqueeze(1), none.unsqueeze(1)], dim=1)
    best = posterior.argmax(-1)
    plain = logits.softmax(-1)
    scores = {
        "self_confidence": self_confidence(plain, given),
        "margin": margin(plain, given),
        "loss": loss(logits, given),
        "rectification": evidence.rectification,
        "surprise": evidence.surprise,
        "clean_class": self_confidence(clean_posterior(probabilities.log(), matrix, given), given),
        "open_set": distance,
        BEST: self_confidence(posterior, given),
    }
    return LabelIssues(
        given=given,
        suggested=torch.where(best == logits.shape[1], NO_CLASS, best),
        scores={name: score.double() for name, score in scores.items() if score is not None},
        uncertainty=torch.special.entr(posterior).sum(-1) / math.log(posterior.shape[1]),
        posterior=posterior,
        transition=found,
        temperature=temperature,
    )


def _temperature(trusted: Trusted | None) -> float:
    if trusted is None or trusted.held_out == 0:
        return 1.0
    return fitted_temperature(trusted.logits[: trusted.held_out], trusted.labels[: trusted.held_out])


def _decisions_held_out(evidence: Evidence, probabilities: Tensor, neighbours: int) -> tuple[Tensor, Tensor] | None:
    """What the neighbours among the noisy examples decide on those held out, or they themselves, and the truth."""
    trusted = evidence.trusted
    if trusted is None or trusted.held_out == 0:
        return None
    some = slice(trusted.held_out)
    if neighbours == 0:
        return trusted.logits[some].argmax(-1), trusted.labels[some]
    averaged = mean_over_nearest(trusted.features[some], evidence.features, probabilities, neighbours)
    return averaged.argmax(-1), trusted.labels[some]


def _open_set(evidence: Evidence, neighbours: int) -> tuple[Tensor | None, Tensor]:
    """Distance to the trusted examples, where there are some, and the probability of no class."""
    trusted, nothing = evidence.trusted, torch.zeros(len(evidence.given), dtype=torch.float64)
    if trusted is None or len(trusted.labels) < 2:
        return None, nothing
    distance = distance_to_nearest(evidence.features, trusted.features, neighbours)
    # Training has drawn the clean examples together; those held out are more like the noisy ones.
    some = trusted.held_out or len(trusted.labels)
    usual = distance_to_nearest(trusted.features[:some], trusted.features, neighbours, themselves=True)
    return distance, probability_of_no_class(conformal_p_values(distance, usual)).double()
