"""Neighbours in the classifier's features, by the cosine of their angle."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data import generator_for, permutation

_CHUNK = 1000
_MOST = 10_000


def smoothed(probabilities: Tensor, features: Tensor, neighbours: int = 20, most: int = _MOST, seed: int = 0) -> Tensor:
    """The mean of the probabilities of each example's nearest others, which leaves its own prediction out.

    A classifier may have learned an example's wrong label by heart; that its neighbours' predictions are affected by it
    as well is much less likely.

    Args:
        probabilities: [N, K].
        features: [N, D].
        neighbours: how many; all others where there are fewer. With 0 each example keeps its own.
        most: neighbours are looked for among so many examples, drawn at random where there are more.
        seed: of that draw.

    Returns:
        [N, K]; the probabilities as they are where an example has no other.

    Reference: Bahri et al., Deep k-NN for noisy labels, ICML 2020, whose neighbours vote with their given labels.
    """
    if len(features) < 2 or neighbours == 0:
        return probabilities
    pool = torch.arange(len(features), device=features.device)
    if len(pool) > most:
        pool = torch.from_numpy(permutation(generator_for(seed, "neighbours"), len(pool))[:most]).to(pool)
    nearest = _nearest(features, features[pool], min(neighbours, len(pool) - 1), pool)
    return torch.cat([probabilities[pool[indices]].mean(1) for _, indices in nearest])


def mean_over_nearest(features: Tensor, others: Tensor, values: Tensor, neighbours: int = 20) -> Tensor:
    """The mean of the values [M, K] of each example's nearest among others: [N, K].

    Args:
        features: [N, D].
        others: [M, D], at least one.
        values: of the others.
        neighbours: how many; all others where there are fewer.
    """
    return torch.cat(
        [values[indices].mean(1) for _, indices in _nearest(features, others, min(neighbours, len(others)))]
    )


def distance_to_nearest(features: Tensor, others: Tensor, neighbours: int = 5, themselves: bool = False) -> Tensor:
    """One minus the mean cosine to the nearest of some other examples, in [0, 2], [N].

    Args:
        features: [N, D].
        others: [M, D], more than one.
        neighbours: how many; all where there are fewer.
        themselves: whether ``others`` begins with the examples themselves, which then are not neighbours of their own.
    """
    own = torch.arange(len(others), device=features.device) if themselves else None
    nearest = _nearest(features, others, min(neighbours, len(others) - themselves), own)
    return torch.cat([1 - similarity.mean(-1) for similarity, _ in nearest])


def _nearest(
    features: Tensor, others: Tensor, neighbours: int, positions: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cosines to the nearest others and their indices, [n, neighbours] each, chunk by chunk.

    Args:
        features: [N, D].
        others: [M, D].
        neighbours: how many.
        positions: of the others among the examples, int64 [M], so that none is its own neighbour.
    """
    directions, targets = F.normalize(features, dim=-1), F.normalize(others, dim=-1)
    for rows in torch.arange(len(features), device=features.device).split(_CHUNK):
        similarity = directions[rows] @ targets.T
        if positions is not None:
            similarity[rows.unsqueeze(1) == positions] = -torch.inf
        found = similarity.topk(neighbours)
        yield found.values, found.indices
