"""Examples of no class among vectors whose classes are predicted out of sample."""

from __future__ import annotations

import numpy as np
import torch

from vri_pyro.data import generator_for
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.neighbours import distance_to_nearest
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.label_issues.open_set_posterior import OpenSetPosterior, open_set_posterior

_NEIGHBOURS = 5
_MOST = 10_000  # trusted examples among which neighbours are searched
_LEAST = 1e-6


def open_set_of_vectors(
    vectors: np.ndarray, candidates: Candidates, transition: np.ndarray, labels: Labels, draws: int, seed: int
) -> tuple[np.ndarray, OpenSetPosterior]:
    """Infer which noisy examples are of no class, from the distance to trusted examples and the doubt about the class.

    An example whose given label, or whose most probable class, has no trusted example cannot be told from those of no
    class, and is taken to be of some class. The trusted examples have to be a random sample of each class.

    Args:
        vectors: standardised inputs, [n, D].
        candidates: out-of-sample predictions of the n examples.
        transition: the transition matrix that belongs to them, [K, K].
        labels: noisy and trusted labels.
        draws: number of draws of the posterior.
        seed: random seed.

    Returns:
        the distances of the noisy examples, [N], 0 if there are fewer than two trusted ones, and the posterior.
    """
    trusted, size = labels.trusted, len(transition)
    classes = np.where(trusted, labels.given, candidates.decided)
    numbers = np.bincount(labels.given[trusted], minlength=size)
    known = (numbers[classes] > 0) & (numbers[labels.given] > 0)
    distance = np.zeros(len(vectors))
    if trusted.sum() >= 2:
        distance = _distances(vectors, classes, trusted, generator_for(seed, "left out"))
    p = candidates.p / candidates.p.sum(1, keepdims=True)
    criteria = distance, -(p * np.log(p)).sum(1)
    found = open_set_posterior(
        [one[~trusted] for one in criteria],
        [one[trusted] for one in criteria],
        _weights(candidates, labels, numbers),
        1 / size / np.maximum((p * transition[candidates.classes, labels.given[:, None]]).sum(1), _LEAST)[~trusted],
        known[~trusted],
        draws,
        seed,
    )
    return distance[~trusted], found


def _distances(
    vectors: np.ndarray, classes: np.ndarray, trusted: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return the distances to the nearest trusted examples, [n].

    A trusted example has one neighbour less in its class, itself, so one of the class is left out for every example.
    """
    among = np.flatnonzero(trusted)
    if len(among) > _MOST:
        among = np.sort(generator.permutation(among)[:_MOST])
    left_out = np.full(len(vectors), -1)
    for label in np.unique(classes[among]):
        members = np.flatnonzero(classes[among] == label)
        some = classes == label
        left_out[some] = generator.choice(members, int(some.sum()))
    left_out[among] = np.arange(len(among))
    x = torch.from_numpy(vectors)
    return np.asarray(distance_to_nearest(x, x[among], _NEIGHBOURS, torch.from_numpy(left_out)).double())


def _weights(candidates: Candidates, labels: Labels, numbers: np.ndarray) -> np.ndarray:
    """Return how much more often a class is among the noisy than among the trusted examples, for each of these, [M]."""
    noisy = candidates.at(~labels.trusted)
    expected = np.bincount(noisy.classes.ravel(), noisy.p.ravel(), len(numbers)) / max(len(noisy.p), 1)
    of = labels.given[labels.trusted]
    return np.asarray(expected[of] * numbers.sum() / np.maximum(numbers[of], 1))
