"""Who judges the labels: regressions that have not seen them, the classifier, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vri_pyro.label_issues.beliefs import Beliefs, consulted
from vri_pyro.label_issues.classifier_posterior import classifier_posterior
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.input_candidates import InputCandidates, accuracy_of, input_candidates
from vri_pyro.label_issues.joint_posterior import JointPosterior, joint_posterior
from vri_pyro.label_issues.neighbours import distance_to_nearest
from vri_pyro.label_issues.open_set import conformal_p_values, probability_of_no_class
from vri_pyro.label_issues.pooling import pooled, weight_of_classifier
from vri_pyro.label_issues.transition_posterior import TransitionPosterior

_FIRST = 0.7  # share of the work of the regressions, if the classifier is asked as well

_Progress = Callable[[float], None]


class Judgement(NamedTuple):
    """What is known about the labels.

    Attributes:
        posterior: the joint posterior.
        distance: distance of each example to the trusted ones, [N]; None for fewer than two.
        accuracy: accuracy on trusted examples that were not seen, and their number; None if there are none.
        by_classifier: whether the class probabilities are the classifier's alone.
        noise_by_heads: whether noise rate and transition matrix are those of regressions that have not seen the labels.
    """

    posterior: JointPosterior
    distance: Tensor | None
    accuracy: tuple[float, int] | None
    by_classifier: bool
    noise_by_heads: bool


def judge(
    evidence: Evidence,
    believed: Beliefs,
    neighbours: int,
    own: float | None,
    draws: int,
    seed: int,
    progress: _Progress | None = None,
) -> Judgement:
    """Judge the labels; :func:`~vri_pyro.label_issues.rank` describes how, and the arguments.

    Regressions are asked if they can be fitted. The classifier is asked if they cannot, if it predicts held-out trusted
    examples clearly better, and about images.
    """
    candidates = input_candidates(evidence, draws, seed) if own is None else None
    saw_all = evidence.trained_on and evidence.unseen is None
    if candidates is None or (candidates.behind and not saw_all):
        posterior, distance = _by_classifier(evidence, believed, neighbours, own, draws, seed, progress)
        return Judgement(posterior, distance, believed.accuracy, by_classifier=True, noise_by_heads=False)
    behind, first = candidates.behind, None
    both = behind or evidence.of_images
    if progress is not None:
        first = (lambda done: progress(_FIRST * done)) if both else progress
    heads = _by_heads(evidence, candidates, draws, seed, first)
    accuracy = believed.accuracy if behind else accuracy_of(candidates.trusted)
    distance = torch.from_numpy(candidates.distance) if len(candidates.trusted.p) > 1 else None
    if not both:
        return Judgement(heads, distance, accuracy, by_classifier=False, noise_by_heads=True)
    rest = None if progress is None else lambda done: progress(_FIRST + (1 - _FIRST) * done)
    noise = heads.transition
    classifier, _ = _by_classifier(evidence, believed, neighbours, own, draws, seed, rest, noise)
    agrees = evidence.logits.argmax(-1) == evidence.given
    weight = 1.0 if behind else weight_of_classifier(heads.wrong, agrees.numpy())
    return Judgement(pooled(heads, classifier, weight), distance, accuracy, by_classifier=behind, noise_by_heads=True)


def _by_heads(
    evidence: Evidence, candidates: InputCandidates, draws: int, seed: int, progress: _Progress | None
) -> JointPosterior:
    pairs = None
    if evidence.pairs is not None and candidates.judged is None:
        pairs = evidence.pairs[0].numpy(), evidence.pairs[1].numpy()
    return joint_posterior(
        candidates.noisy,
        evidence.logits.shape[1],
        candidates.trusted,
        open_set=candidates.open_set,
        judged=candidates.judged,
        draws=draws,
        seed=seed,
        progress=progress,
        pairs=pairs,
    )


def _by_classifier(
    evidence: Evidence,
    believed: Beliefs,
    neighbours: int,
    own: float | None,
    draws: int,
    seed: int,
    progress: _Progress | None,
    noise: TransitionPosterior | None = None,
) -> tuple[JointPosterior, Tensor | None]:
    """Return the posterior by the classifier, and the distances of its features to those of trusted examples."""
    seen = consulted(evidence, believed, neighbours, own, seed)
    distance, none = _open_set(evidence, seen.p.argmax(-1), neighbours=5)
    return classifier_posterior(evidence, seen, none, draws, seed, progress, noise), distance


def _open_set(evidence: Evidence, predicted: Tensor, neighbours: int) -> tuple[Tensor | None, Tensor]:
    """Return the distance to the trusted examples, None for fewer than two, and the probability of no class.

    The probability is 0 if the example's given or predicted class has no trusted example: an example of such a class is
    far from all trusted ones.
    """
    trusted, nothing = evidence.trusted, torch.zeros(len(evidence.given), dtype=torch.float64)
    if trusted is None or len(trusted.labels) < 2:
        return None, nothing
    distance = distance_to_nearest(evidence.features, trusted.features, neighbours)
    # Training moves the features of clean examples closer together, so the held-out ones are more like the noisy ones.
    # Clean examples are used only for classes without held-out examples.
    some = torch.arange(len(trusted.labels)) < trusted.held_out
    some |= ~torch.isin(trusted.labels, trusted.labels[some])
    themselves = torch.arange(len(trusted.labels))
    near = distance_to_nearest(trusted.features, trusted.features, neighbours, themselves)
    none = probability_of_no_class(conformal_p_values(distance, near[some]), int(some.sum())).double()
    known = torch.isin(predicted, trusted.labels) & torch.isin(evidence.given, trusted.labels)
    return distance, torch.where(known, none, 0.0)
