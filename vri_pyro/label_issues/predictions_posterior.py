"""The joint posterior of labels from out-of-sample predictions of the given labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from vri_pyro.label_issues.joint_posterior import JointPosterior, agreeing_posterior
from vri_pyro.label_issues.noise_removal import Decisions, class_posterior
from vri_pyro.label_issues.top_classes import TopClasses
from vri_pyro.label_issues.transition_posterior import posterior_of_decisions


def predictions_posterior(
    predicted: TopClasses,
    found: Decisions,
    given: Tensor,
    held_out: tuple[Tensor, Tensor] | None,
    pairs: tuple[Tensor, Tensor] | None,
    judged: np.ndarray | None,
    draws: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> JointPosterior:
    """Sample noise rate and transition matrix, and compute the classes that agree with them.

    Noise rate and T have the posterior of :func:`~vri_pyro.label_issues.transition_posterior`; the draws of the noise
    rate are then spread by :func:`~vri_pyro.label_issues.agreement.doubted_rates`, because the model is not exactly
    right. The class of an example has the posterior of :func:`~vri_pyro.label_issues.noise_removal.class_posterior`
    under the mean of T, with the log odds of all labels shifted by one number, so that the probabilities of being wrong
    add up to the noise rate.

    Args:
        predicted: predictions of the given labels of the N noisy examples.
        found: their decisions, and the confusions that the probabilities imply.
        given: their labels, int64 [N].
        held_out: decisions of the trusted examples, and their classes, int64 [M] each; None if there are none.
        pairs: classes and given labels of verified pairs, int64 [P] each; None if there are none.
        judged: as for :func:`~vri_pyro.label_issues.joint_posterior`.
        draws: number of draws.
        seed: random seed.
        progress: function that is called with the share of the sampling that is done, from 0 to 1.
    """
    posterior = posterior_of_decisions(
        found.decided,
        lambda inside: found.implied,
        given,
        held_out=held_out,
        draws=draws,
        seed=seed,
        progress=progress,
        pairs=pairs,
    )
    p = class_posterior(predicted, given, posterior.transition.mean(0)).numpy()
    classes, none = predicted.classes.numpy().astype(np.int64), np.zeros(len(given))
    return agreeing_posterior(posterior, classes, p, none, predicted.num_classes, seed, judged)
