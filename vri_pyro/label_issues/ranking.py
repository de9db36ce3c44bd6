"""Rank examples by the probability that their labels are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vri_pyro.interfaces.transition_likelihood import clean_posterior
from vri_pyro.label_issues.beliefs import beliefs
from vri_pyro.label_issues.chance import hardly_above
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.joint_posterior import JointPosterior
from vri_pyro.label_issues.judging import judge
from vri_pyro.label_issues.prediction import loss, margin, self_confidence
from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.utils.errors import UserError

BEST = "combined"
Problem = Literal["unknown", "memorised", "chance"]

WIDEST = 0.2  # width of the 95% interval of the noise rate up to which an estimate is given

_Progress = Callable[[float], None]


@dataclass(frozen=True)
class LabelIssues:
    """Scores of N labels, the suggested classes, and the quantities behind them.

    Attributes:
        given: given labels, int64 [N].
        suggested: most probable class, int64 [N]; -1 if none of the classes is the most probable.
        scores: scores by name, [N] each; a greater score is more suspicious. ``combined`` is the probability that the
            label is wrong.
        uncertainty: normalised entropy of ``posterior``, from 0 (certain) to 1 (uniform), [N].
        joint: the joint posterior, of which the suggestions, ``combined``, the uncertainty and ``transition`` are
            functions.
        agreement: share of the given labels that equal the classifier's prediction, without those that were kept out of
            training.
        held_out: the classifier's accuracy on the trusted examples held out of training, and their number; None if
            there are no such examples.
        learned_by_heart: whether the classifier has memorised labels: it agrees with the labels that it was trained on
            clearly more often than it is correct on held-out examples.
        temperature: temperature by which the classifier's logits were divided.
        by_classifier: whether the class probabilities are the classifier's alone, and not those of regressions that
            never saw the label.
        noise_by_heads: whether noise rate and transition matrix are those of such regressions.
        accuracy: accuracy of these class probabilities on trusted examples that they have not seen, and their number;
            None if there are no such examples.
        losses: losses of a wrong label that is not flagged, and of a correct one that is, by which labels are flagged.
        kept_out: number of the labels that the classifier was not trained on.
    """

    given: Tensor
    suggested: Tensor
    scores: dict[str, Tensor]
    uncertainty: Tensor
    joint: JointPosterior
    agreement: float
    held_out: tuple[float, int] | None
    learned_by_heart: bool
    temperature: float
    by_classifier: bool
    noise_by_heads: bool
    accuracy: tuple[float, int] | None
    losses: tuple[float, float] = (1.0, 1.0)
    kept_out: int = 0

    @property
    def score(self) -> Tensor:
        """The probability that the label is wrong, [N]."""
        return self.scores[BEST]

    @property
    def flagged(self) -> Tensor:
        """Whether flagging the label makes the expected loss smallest, bool [N]."""
        return torch.from_numpy(self.joint.flags(*self.losses))

    @property
    def transition(self) -> TransitionPosterior:
        """Posterior of the transition matrix and of the noise rate."""
        return self.joint.transition

    @property
    def posterior(self) -> Tensor:
        """Posterior over the K classes and, last, "none of the classes", [N, K + 1]."""
        return self.joint.dense()

    @property
    def problem(self) -> Problem | None:
        """Why scores and noise rate are unreliable; None if the trusted examples show no problem.

        "unknown": there are no trusted examples that the predictions have not seen, so their accuracy is unknown.
        "memorised": the classifier agrees with the labels clearly more often than it is correct, so it has memorised
        labels, and single labels cannot be judged. This is no problem if the predictions are not the classifier's.
        "chance": the predictions are hardly better than chance, so they are consistent with any noise
        rate.
        """
        if self.accuracy is None:
            return "unknown"
        if self.by_classifier and self.learned_by_heart:
            return "memorised"
        return "chance" if hardly_above(1 / self.joint.num_classes, self.accuracy[0]) else None

    @property
    def rate_problem(self) -> Problem | None:
        """Why the noise rate is unreliable; None if the trusted examples show no problem.

        It is :attr:`problem`, but memorised labels are no problem for the rate if others were kept out of training, or
        if regressions tell it.
        """
        return None if self.problem == "memorised" and (self.kept_out or self.noise_by_heads) else self.problem

    @property
    def advice(self) -> str | None:
        """A sentence on how a new run can tell more about the noise rate.

        None if the interval is narrow, or if labels kept out of training would not help.
        """
        low, high = self.transition.noise_rate_interval()
        if self.noise_by_heads or self.kept_out or self.problem not in (None, "memorised"):
            return None
        if high - low <= WIDEST and self.problem is None:
            return None
        return (
            "How many labels the classifier has memorised is unknown. Train a new run with --split.noisy_holdout 0.1: "
            "it keeps a tenth of the noisy labels out of training and estimates the share of wrong labels from them."
        )

    @property
    def warning(self) -> str | None:
        """A sentence on the :attr:`problem`; None if there is none."""
        who = "The classifier is" if self.by_classifier else "Regressions on the inputs are"
        right = f"{self.accuracy[0]:.0%}" if self.accuracy else ""
        return {
            "unknown": (
                "No trusted examples were held out of training, so the accuracy of the classifier is unknown, and the "
                "share of wrong labels may lie well outside the interval."
                if self.by_classifier
                else "There are no trusted examples, so nobody knows how well the classes can be predicted, and the "
                "share of wrong labels may lie well outside the interval."
            ),
            "memorised": (
                f"The classifier agrees with {self.agreement:.0%} of the labels that it was trained on but is correct "
                f"on {right} of the held-out examples: it has memorised labels, and "
                + (
                    "single labels that it was trained on cannot be judged. The share of wrong labels is estimated "
                    f"from the {self.kept_out} labels that were kept out of training."
                    if self.kept_out
                    else "single labels cannot be judged. The share of wrong labels is estimated by regressions that "
                    "have not seen them."
                    if self.noise_by_heads
                    else "the share of wrong labels may lie well above the interval."
                )
            ),
            "chance": (
                f"{who} correct on {right} of the held-out examples, hardly above chance level: wrong labels cannot be "
                "identified, and their share may lie well outside the interval."
            ),
            None: None,
        }[self.problem]

    def order(self) -> Tensor:
        """Return the positions of the examples, most suspicious label first, int64 [N]."""
        return self.score.argsort(descending=True, stable=True)


def rank(
    evidence: Evidence,
    neighbours: int = 20,
    draws: int = 200,
    seed: int = 0,
    own: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> LabelIssues:
    """Score every label by several criteria and by their combination.

    The score ``combined`` is the probability that the label is wrong. Its mean is the noise rate. It has three parts:

    1. Class probabilities. For inputs that are vectors, they are those of cross-fitted logistic regressions on the
       inputs, or also on features of a kernel, which never saw the label. For images, they are those of such
       regressions on :class:`~vri_pyro.label_issues.image_vectors.ImageVectors`, pooled with the classifier's; see
       :mod:`~vri_pyro.label_issues.pooling`. If no regression can be fitted, or if the classifier is clearly better on
       held-out examples, they are the classifier's alone. These are calibrated by a temperature that is fitted on
       trusted examples held out of training. Each example's own probabilities and the mean of its nearest neighbours'
       have weights of one half. The neighbours' are used alone if the classifier was trained on these labels and has
       either memorised labels (:attr:`LabelIssues.learned_by_heart`) or no held-out examples to detect that; otherwise
       a memorised label would look correct.
    2. The noise: :func:`~vri_pyro.label_issues.joint_posterior` of the regressions' predictions, also if the classes
       are the classifier's, as it has seen the labels. Without regressions, or if the classifier is clearly better and
       has predicted labels on which it was not trained, the posterior of
       :mod:`~vri_pyro.label_issues.classifier_posterior`, which allows for memorised labels. Verified pairs count as
       observations of the transition matrix.
    3. The probability that the example belongs to none of the classes, from its distance to the trusted examples; for
       vectors also from the doubt about its class, see
       :func:`~vri_pyro.label_issues.open_set_posterior.open_set_posterior`.

    The probability of "none of the classes" is 0 if there are fewer than two trusted examples, or if the example's
    given or predicted class has no trusted example.
    ``experiments/label_issues.py`` measures the contribution of each part.

    Args:
        evidence: evidence about the examples.
        neighbours: number of neighbours. With 0, each example's own prediction is used alone.
        draws: number of draws of the posterior.
        seed: random seed.
        own: weight of the classifier's prediction of an example relative to its neighbours', from 0 to 1; no
            regressions are fitted then. When None, all is chosen as described above.
        progress: function that is called with the share of the sampling that is done, from 0 to 1.

    Returns:
        the ranking, with the scores

        * ``self_confidence``, ``margin`` and ``loss``: from the uncalibrated prediction alone;
        * ``clean_class``: 1 − r(y) from the example's own calibrated probabilities and the transition matrix that the
          method has learned, or the estimated one if it learns none; without neighbours and part 3;
        * ``open_set``: distance to the trusted examples, if there are at least two;
        * ``rectification`` and ``surprise``: from model and guide, if the method has both;
        * ``combined``: the combination described above.

    Raises:
        UserError: there are no examples, or an argument is out of range.
    """
    _check(evidence, neighbours, own)
    given, logits = evidence.given, evidence.logits
    believed = beliefs(evidence)
    judged = judge(evidence, believed, neighbours, own, draws, seed, progress)
    found = judged.posterior
    matrix = evidence.transition
    if matrix is None:
        matrix = found.transition.transition.mean(0)
    plain = logits.softmax(-1)
    scores = {
        "self_confidence": self_confidence(plain, given),
        "margin": margin(plain, given),
        "loss": loss(logits, given),
        "rectification": evidence.rectification,
        "surprise": evidence.surprise,
        "clean_class": self_confidence(clean_posterior(believed.own.log(), matrix.double(), given), given),
        "open_set": judged.distance,
        BEST: torch.from_numpy(found.wrong),
    }
    unseen = evidence.unseen
    return LabelIssues(
        kept_out=int(unseen.sum()) if unseen is not None else 0 if evidence.trained_on else len(given),
        given=given,
        suggested=torch.from_numpy(found.suggested),
        scores={name: score.double() for name, score in scores.items() if score is not None},
        uncertainty=torch.from_numpy(found.uncertainty),
        joint=found,
        agreement=believed.agreement,
        held_out=believed.accuracy,
        learned_by_heart=believed.learned_by_heart,
        temperature=believed.temperature,
        by_classifier=judged.by_classifier,
        noise_by_heads=judged.noise_by_heads,
        accuracy=judged.accuracy,
    )


def _check(evidence: Evidence, neighbours: int, own: float | None) -> None:
    if len(evidence.given) == 0:
        raise UserError("there are no examples to score; expected at least one")
    if neighbours < 0:
        raise UserError(f"neighbours is {neighbours}; expected an integer >= 0 (0 uses each example's own prediction)")
    if own is not None and not 0 <= own <= 1:
        raise UserError(f"own is {own}; expected a weight from 0 to 1, or None")
