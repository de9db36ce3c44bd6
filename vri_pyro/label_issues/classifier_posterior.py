"""The joint posterior of labels from the predictions of a classifier that may have been trained on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import generator_for
from vri_pyro.interfaces.transition_likelihood import clean_posterior
from vri_pyro.label_issues.beliefs import Consulted
from vri_pyro.label_issues.candidates_of_predictions import all_classes
from vri_pyro.label_issues.evidence import Evidence
from vri_pyro.label_issues.head_candidates import most_probable
from vri_pyro.label_issues.joint_posterior import JointPosterior, agreeing_posterior
from vri_pyro.label_issues.kept_out import rate_of_all
from vri_pyro.label_issues.top_classes import KEPT, chunks
from vri_pyro.label_issues.transition_posterior import TransitionPosterior, transition_posterior

_FIRST = 0.7  # share of the work of the first of two posteriors

_Progress = Callable[[float], None]


def classifier_posterior(
    evidence: Evidence,
    seen: Consulted,
    none: Tensor,
    draws: int,
    seed: int,
    progress: _Progress | None = None,
    noise: TransitionPosterior | None = None,
) -> JointPosterior:
    """Sample noise rate and transition matrix, and compute the classes that agree with them.

    Noise rate and T are ``noise``, if predictions have told it that saw no label. Otherwise, they have the posterior of
    :func:`~vri_pyro.label_issues.transition_posterior`. If some labels were kept
    out of training, it is that of these labels alone, with which the predictions have nothing in common but the class;
    :func:`~vri_pyro.label_issues.kept_out.rate_of_all` then draws the rate of all labels. Otherwise it allows for
    labels that the classifier has memorised. The draws of the noise rate are then spread by
    :func:`~vri_pyro.label_issues.agreement.doubted_rates`, because the model is not exactly right. The posterior of a
    class, p(c | x, y) ∝ p_c(x) T[c, y], takes the matrix that is estimated from all labels under the assumption that
    predictions and labels are independent given the class. The log odds of all labels are then shifted by one number,
    so that the probabilities of being wrong add up to the noise rate; those of labels kept out of training by another.

    Args:
        evidence: outputs of the classifier, with the verified pairs.
        seen: calibrated predictions of these examples and of trusted ones held out of training.
        none: probability that an example is of no class, [N].
        draws: number of draws.
        seed: random seed.
        progress: function that is called with the share of the sampling that is done, from 0 to 1.
        noise: draws of noise rate and transition matrix by predictions that have not seen the labels; None to sample
            them from the classifier's predictions.
    """
    p, held_out, most = seen
    given, size, pairs, unseen = evidence.given, p.shape[1], evidence.pairs, evidence.unseen
    decisions = None if held_out is None else (held_out[0].argmax(-1), held_out[1])
    of_unseen = None
    first, second = _parts(progress, _FIRST if evidence.trained_on else 1.0)
    if noise is not None:
        found = noise
    elif unseen is None:
        known = (1 - none, decisions)
        found = transition_posterior(p, given, *known, evidence.trained_on, draws, seed, first, pairs, most)
    else:
        known = ((1 - none)[unseen], decisions)
        found = transition_posterior(p[unseen], given[unseen], *known, False, draws, seed, first, pairs)
        rates = found.noise_rate.numpy()
        of_unseen = unseen.numpy(), float(rates.mean())
        rates = rate_of_all(rates, int(unseen.sum()), len(given), generator_for(seed, "labels that were trained on"))
        found = found._replace(noise_rate=torch.from_numpy(rates))
    independent = found
    if evidence.trained_on:
        # Only the mean is used, so fewer draws suffice.
        fewer = -(-draws // 4)
        independent = transition_posterior(p, given, 1 - none, decisions, False, fewer, seed, second, pairs)
    matrix = independent.transition.mean(0)
    classes = np.empty((len(given), min(size, KEPT)), dtype=np.int64)
    probabilities = np.empty(classes.shape)
    for rows in chunks(len(given), size):
        within = clean_posterior(p[rows].log(), matrix, given[rows]).numpy()
        some = most_probable(within, all_classes(given[rows].numpy(), size))
        classes[rows.numpy()], probabilities[rows.numpy()] = some, np.take_along_axis(within, some, 1)
    probabilities /= probabilities.sum(1, keepdims=True)
    return agreeing_posterior(found, classes, probabilities, none.numpy(), size, seed, unseen=of_unseen)


def _parts(progress: _Progress | None, share: float) -> tuple[_Progress | None, _Progress | None]:
    """Split a progress function into one for the first part of the work, of the given share, and one for the rest."""
    if progress is None:
        return None, None
    return lambda done: progress(share * done), lambda done: progress(share + (1 - share) * done)
