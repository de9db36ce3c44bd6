"""Find out whether the weights of a network are random."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vri_pyro.interfaces.classifier import Classifier, trunk_parameters


def has_random_trunk(network: Classifier, build: Callable[[], Classifier]) -> bool:
    """Return whether the weights before the head are random, that is, others whenever ``build()`` is called."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed() + 1)
        other = build()
    pairs = zip(trunk_parameters(network), trunk_parameters(other), strict=True)
    weights = [(one.cpu(), same.cpu()) for one, same in pairs if one.dim() > 1]  # biases and scales start as constants
    return bool(weights) and not any(torch.equal(one, same) for one, same in weights)
