"""The examples of a run by how probably their labels are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vri_pyro.data.validation import NO_CLASS
from vri_pyro.interfaces.transition_likelihood import clean_posterior
from vri_pyro.label_issues.beliefs import beliefs
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.neighbours import distance_to_nearest
from vri_pyro.label_issues.open_set import conformal_p_values, probability_of_no_class
from vri_pyro.label_issues.prediction import loss, margin, self_confidence
from vri_pyro.label_issues.transition_posterior import TransitionPosterior, transition_posterior
from vri_pyro.utils.errors import UserError

BEST = "combined"
_LITTLE = 0.25  # of the way from chance to always right


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
        learned_by_heart: whether it agrees with labels that it was trained on so much more often than it is right.
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
    learned_by_heart: bool
    temperature: float

    @property
    def score(self) -> Tensor:
        """The probability that the label is wrong, [N]."""
        return self.scores[BEST]

    @property
    def warning(self) -> str | None:
        """Why scores and noise rate are not to be trusted; a sentence, and None where the examples held out allow it.

        A classifier cannot agree with labels more often than it is right, unless it has learned some of them: which
        right ones and how many wrong ones, nothing here tells. By one that is right hardly more often than by chance
        any share of wrong labels can be explained.
        """
        if self.held_out is None:
            return (
                "No trusted examples were held out of training, so nothing tells how often the classifier is right, "
                "and the share of wrong labels may lie well outside the interval."
            )
        right, _ = self.held_out
        if self.learned_by_heart:
            return (
                f"The classifier agrees with {self.agreement:.0%} of the labels that it was trained on and is right on "
                f"{right:.0%} of the examples held out: it has learned labels by heart, and the share of wrong ones "
                "may lie well above the interval."
            )
        chance = 1 / (self.posterior.shape[1] - 1)
        if right - chance < _LITTLE * (1 - chance):
            return (
                f"The classifier is right on {right:.0%} of the examples held out, not much more than by chance: it "
                "cannot tell which labels are wrong, and their share may lie well outside the interval."
            )
        return None

    def order(self) -> Tensor:
        """The examples, most suspicious first, int64 [N]."""
        return self.score.argsort(descending=True, stable=True)


def rank(
    evidence: Evidence, neighbours: int = 20, draws: int = 200, seed: int = 0, own: float | None = None
) -> LabelIssues:
    """Score every label, alone and by the best combination.

    ``combined`` is 1 − r(y), where r is the posterior over the classes and none of them, of

    1. the classifier's probabilities, their temperature fitted on trusted examples held out of training: each example's
       own and the mean of its nearest neighbours', half and half. Of a classifier that was trained on these labels it
       is the neighbours' alone where it has learned labels by heart (:attr:`LabelIssues.learned_by_heart`), lest such a
       label excuse itself, or where nothing is held out by which to tell;
    2. the transition matrix of the given labels, at its posterior mean were they independent of those probabilities;
    3. the probability of no class, by the distance to everything trusted.

    Without trusted examples held out the temperature is 1, and without any, or without any of the class that an example
    is given as or taken for, the probability of no class is 0. How much each part adds is measured by
    ``experiments/label_issues.py``.

    Args:
        evidence: about the examples.
        neighbours: to consult; with 0 each example's own prediction stands.
        draws: of the transition matrix.
        seed: of everything random.
        own: how much an example's own prediction counts beside its neighbours', from 0 to 1; as said above when None.

    Returns:
        the scores ``self_confidence``, ``margin``, ``loss``, ``clean_class`` (1 − r(y) of each example's own calibrated
        probabilities, by the matrix that the method has learned where it has one; without neighbours and 3),
        ``open_set`` (the distance; only with trusted examples), ``rectification`` and ``surprise`` (only with model and
        guide), and ``combined``.

    Raises:
        UserError: there is no example, or an argument is out of range.
    """
    _check(evidence, neighbours, own)
    given, logits = evidence.given, evidence.logits
    believed = beliefs(evidence, neighbours, own, seed)
    p, decisions = believed.consulted, believed.held_out
    distance, none = _open_set(evidence, p.argmax(-1), neighbours=5)
    found = independent = transition_posterior(p, given, 1 - none, decisions, evidence.trained_on, draws, seed)
    if evidence.trained_on:
        # The posterior of a class, below, takes probabilities and labels for independent, and gets the matrix for that;
        # of which it needs the mean alone, for which fewer draws do.
        independent = transition_posterior(p, given, 1 - none, decisions, False, -(-draws // 4), seed)
    estimated = independent.transition.mean(0)
    matrix = estimated if evidence.transition is None else evidence.transition.double()
    within = clean_posterior(p.log(), estimated, given)
    posterior = torch.cat([within * (1 - none).unsqueeze(1), none.unsqueeze(1)], dim=1)
    best = posterior.argmax(-1)
    plain = logits.softmax(-1)
    scores = {
        "self_confidence": self_confidence(plain, given),
        "margin": margin(plain, given),
        "loss": loss(logits, given),
        "rectification": evidence.rectification,
        "surprise": evidence.surprise,
        "clean_class": self_confidence(clean_posterior(believed.own.log(), matrix, given), given),
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
        agreement=believed.agreement,
        held_out=believed.accuracy,
        learned_by_heart=believed.learned_by_heart,
        temperature=believed.temperature,
    )


def _check(evidence: Evidence, neighbours: int, own: float | None) -> None:
    if len(evidence.given) == 0:
        raise UserError("there is no example whose label could be judged; give at least one")
    if neighbours < 0:
        raise UserError(f"neighbours is {neighbours}; give at least 0, where each example's own prediction stands")
    if own is not None and not 0 <= own <= 1:
        raise UserError(f"own is {own}; give a share from 0 to 1, or None")


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
