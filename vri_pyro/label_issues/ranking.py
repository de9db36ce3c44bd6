"""The examples of a run by how probably their labels are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vri_pyro.calibration import fitted_temperature
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.errors import UserError
from vri_pyro.label_issues.evidence import Evidence, Trusted
from vri_pyro.label_issues.neighbours import distance_to_nearest, mean_over_nearest, smoothed
from vri_pyro.label_issues.open_set import conformal_p_values, probability_of_no_class
from vri_pyro.label_issues.prediction import loss, margin, self_confidence
from vri_pyro.label_issues.transition_posterior import TransitionPosterior, transition_posterior
from vri_pyro.transition import clean_posterior

BEST = "combined"
_MUCH = 0.1  # of what the classifier agrees with labels above its accuracy
_OWN = 0.5


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
        agreement: share of the given labels that the classifier itself predicts.
        held_out: share of the trusted examples held out of training whose class it predicts, and their number; None
            without any.
        temperature: by which the classifier's logits were divided.
    """

    given: Tensor
    suggested: Tensor
    scores: dict[str, Tensor]
    uncertainty: Tensor
    posterior: Tensor
    transition: TransitionPosterior
    agreement: float
    held_out: tuple[float, int] | None
    temperature: float

    @property
    def score(self) -> Tensor:
        """The probability that the label is wrong, [N]."""
        return self.scores[BEST]

    @property
    def warning(self) -> str | None:
        """Why the noise rate may be above its interval, where the classifier has learned labels by heart; a sentence.

        It cannot agree with labels more often than it is right, unless it has learned some of them: which right ones
        and how many wrong ones, nothing here tells.
        """
        if self.held_out is None or not _learned_by_heart(self.agreement, *self.held_out):
            return None
        right, _ = self.held_out
        return (
            f"The classifier agrees with {self.agreement:.0%} of the labels that it was trained on and is right on "
            f"{right:.0%} of the examples held out: it has learned labels by heart, and the share of wrong ones may "
            "lie well above the interval."
        )

    def order(self) -> Tensor:
        """The examples, most suspicious first, int64 [N]."""
        return self.score.argsort(descending=True, stable=True)


def rank(
    evidence: Evidence, neighbours: int = 20, own: float | None = None, draws: int = 200, seed: int = 0
) -> LabelIssues:
    """Score every label, alone and by the best combination.

    ``combined`` is 1 − r(y), where r is the posterior over the classes and none of them, of

    1. the classifier's probabilities, their temperature fitted on trusted examples held out of training: each example's
       own and the mean of its nearest neighbours', half and half; or the neighbours' alone, so that a label learned by
       heart does not excuse itself, where many were (:attr:`LabelIssues.warning`) or nothing is held out by which to
       tell;
    2. the transition matrix of the given labels, at its posterior mean were they independent of those probabilities;
    3. the probability of no class, by the distance to everything trusted.

    Without trusted examples held out the temperature is 1, and without any, or without any of the class that an example
    is given as or taken for, the probability of no class is 0. How much each part adds is measured by
    ``experiments/label_issues.py``.

    Args:
        evidence: about the examples.
        neighbours: to consult; with 0 each example's own prediction stands.
        own: what an example's own prediction counts beside its neighbours', from 0 to 1; as said above when None.
        draws: of the transition matrix.
        seed: of everything random.

    Returns:
        the scores ``self_confidence``, ``margin``, ``loss``, ``clean_class`` (1 − r(y) of each example's own calibrated
        probabilities, by the matrix that the method has learned where it has one; without neighbours and 3),
        ``open_set`` (the distance; only with trusted examples), ``rectification`` and ``surprise`` (only with model and
        guide), and ``combined``.

    Raises:
        UserError: ``neighbours`` or ``own`` is out of range.
    """
    if neighbours < 0 or not 0 <= (own or 0) <= 1:
        raise UserError(f"neighbours is {neighbours} and own {own}; give at least 0, and from 0 to 1")
    given, logits = evidence.given, evidence.logits
    held_out = evidence.trusted and evidence.trusted.only_held_out()
    temperature = fitted_temperature(held_out.logits, held_out.labels) if held_out else 1.0
    agreement = float((logits.argmax(-1) == given).double().mean())
    accuracy = _accuracy(held_out) if held_out else None
    if own is None:
        own = _share_of_its_own(evidence.trained_on, agreement, accuracy)
    probabilities = (logits / temperature).softmax(-1).double()
    consulted = own * probabilities + (1 - own) * smoothed(probabilities, evidence.features, neighbours, seed=seed)
    distance, none = _open_set(evidence, consulted.argmax(-1), neighbours=5)
    decisions = None
    if held_out:
        theirs = (held_out.logits / temperature).softmax(-1).double()
        if neighbours:
            nearest = mean_over_nearest(held_out.features, evidence.features, probabilities, neighbours)
            theirs = own * theirs + (1 - own) * nearest
        decisions = theirs.argmax(-1), held_out.labels
    found = transition_posterior(consulted, given, 1 - none, decisions, evidence.trained_on, draws, seed)
    # The posterior of a class, below, takes probabilities and labels for independent, and gets the matrix for that; of
    # which it needs the mean alone, for which fewer draws do.
    independent = transition_posterior(consulted, given, 1 - none, decisions, False, -(-draws // 4), seed)
    estimated = independent.transition.mean(0)
    matrix = estimated if evidence.transition is None else evidence.transition.double()
    within = clean_posterior(consulted.log(), estimated, given)
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
        agreement=agreement,
        held_out=accuracy,
        temperature=temperature,
    )


def _accuracy(held_out: Trusted) -> tuple[float, int]:
    right = held_out.logits.argmax(-1) == held_out.labels
    return float(right.double().mean()), held_out.held_out


def _share_of_its_own(trained_on: bool, agreement: float, accuracy: tuple[float, int] | None) -> float:
    """Of what an example's own prediction counts, beside its neighbours'."""
    if trained_on and (accuracy is None or _learned_by_heart(agreement, *accuracy)):
        return 0.0
    return _OWN


def _learned_by_heart(agreement: float, right: float, count: int) -> bool:
    """Whether a classifier agrees with labels more often than it is right on so many examples that it has not seen."""
    return agreement - right > max(_MUCH, 2 * math.sqrt(right * (1 - right) / count))


def _open_set(evidence: Evidence, predicted: Tensor, neighbours: int) -> tuple[Tensor | None, Tensor]:
    """Distance to the trusted examples, where there are some, and the probability of no class.

    That is 0 for what is given as, or taken for, a class of which no example is trusted: it is far from all others.
    """
    trusted, nothing = evidence.trusted, torch.zeros(len(evidence.given), dtype=torch.float64)
    if trusted is None or len(trusted.labels) < 2:
        return None, nothing
    distance = distance_to_nearest(evidence.features, trusted.features, neighbours)
    # Training has drawn the clean examples together; those held out are more like the noisy ones. Of a class that is
    # not among them the clean ones are better than none.
    some = torch.arange(len(trusted.labels)) < trusted.held_out
    some |= ~torch.isin(trusted.labels, trusted.labels[some])
    near = distance_to_nearest(trusted.features, trusted.features, neighbours, themselves=True)
    none = probability_of_no_class(conformal_p_values(distance, near[some])).double()
    known = torch.isin(predicted, trusted.labels) & torch.isin(evidence.given, trusted.labels)
    return distance, torch.where(known, none, 0.0)
