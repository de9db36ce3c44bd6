"""Nearest neighbours in the classifier's features by cosine similarity."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.data import generator_for, permutation
from vri_pyro.label_issues.approximate_neighbours import approximate_positions

_CHUNK = 1000
_VALUES = 20_000_000  # similarities that are in memory at a time
_MOST = 10_000


def smoothed(
    probabilities: Tensor, features: Tensor, neighbours: int = 20, most: int | None = None, seed: int = 0
) -> Tensor:
    """Average the predictions of each example's nearest neighbours, leaving out its own prediction.

    A classifier may have memorised an example's wrong label. The predictions for its neighbours are much less likely to
    be affected by that label.

    Args:
        probabilities: predictions, [N, K].
        features: features, [N, D].
        neighbours: number of neighbours; all other examples if there are fewer. With 0, each example keeps its own
            prediction.
        most, seed: as for :func:`nearest_positions`.

    Returns:
        averaged predictions, [N, K]. If there is only one example, its prediction is returned unchanged.

    Reference: Bahri et al., Deep k-NN for noisy labels, ICML 2020, whose neighbours vote with their given labels.
    """
    if len(features) < 2 or neighbours == 0:
        return probabilities
    nearest = nearest_positions(features, neighbours, most, seed)
    return torch.cat([probabilities[part].mean(1) for part in nearest.split(_CHUNK)])


def nearest_positions(features: Tensor, neighbours: int, most: int | None = None, seed: int = 0) -> Tensor:
    """Find the nearest neighbours of each example among the others.

    Up to 10,000 examples, the search is exact. Above, an approximate index of faiss is used. Without faiss, neighbours
    are searched among 10,000 examples drawn at random, with a warning.

    Args:
        features: features, [N, D], N >= 2.
        neighbours: number of neighbours, at least 1; all other examples if there are fewer.
        most: number of examples in which neighbours are searched; if there are more, a random subset is used, whether
            faiss is installed or not. When None, the rule above.
        seed: random seed of the subset.

    Returns:
        positions of the neighbours, int64 [N, neighbours].
    """
    if most is None and len(features) > _MOST:
        if find_spec("faiss") is not None:
            return approximate_positions(features, neighbours)
        warnings.warn(
            f"there are {len(features)} examples, so their neighbours are searched among {_MOST} of them; "
            "pip install 'vri-pyro[faiss]' to search among all",
            stacklevel=2,
        )
    most = _MOST if most is None else most
    pool = torch.arange(len(features), device=features.device)
    if len(pool) > most:
        pool = torch.from_numpy(permutation(generator_for(seed, "neighbours"), len(pool))[:most]).to(pool)
    themselves = torch.full((len(features),), -1, device=features.device)
    themselves[pool] = torch.arange(len(pool), device=features.device)
    nearest = _nearest(features, features[pool], min(neighbours, len(pool) - 1), themselves)
    return torch.cat([pool[indices] for _, indices in nearest])


def mean_over_nearest(features: Tensor, others: Tensor, values: Tensor, neighbours: int = 20) -> Tensor:
    """Average the values of each example's nearest neighbours among other examples.

    Args:
        features: features of the examples, [N, D].
        others: features of the other examples, [M, D], M >= 1.
        values: values of the other examples, [M, K].
        neighbours: number of neighbours; all other examples if there are fewer.

    Returns:
        the means, [N, K].
    """
    return torch.cat(
        [values[indices].mean(1) for _, indices in _nearest(features, others, min(neighbours, len(others)))]
    )


def distance_to_nearest(
    features: Tensor, others: Tensor, neighbours: int = 5, left_out: Tensor | None = None
) -> Tensor:
    """Compute one minus the mean cosine similarity to the nearest neighbours among other examples.

    Args:
        features: features of the examples, [N, D].
        others: features of the other examples, [M, D], M > 1.
        neighbours: number of neighbours; all other examples if there are fewer.
        left_out: position among the others of the one that is no neighbour of an example, such as the example itself,
            int64 [N]; None if all may be.

    Returns:
        distances in [0, 2], [N].
    """
    nearest = _nearest(features, others, min(neighbours, len(others) - (left_out is not None)), left_out)
    return torch.cat([1 - similarity.mean(-1) for similarity, _ in nearest])


def _nearest(
    features: Tensor, others: Tensor, neighbours: int, left_out: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield cosine similarities to the nearest others and their indices, [n, neighbours] each, chunk by chunk.

    Args:
        features: features of the examples, [N, D].
        others: features of the other examples, [M, D].
        neighbours: number of neighbours.
        left_out: position among the others of the one that is no neighbour of an example, int64 [N]; -1 for none.
    """
    directions, targets = F.normalize(features, dim=-1), F.normalize(others, dim=-1)
    positions = torch.arange(len(others), device=features.device)
    chunk = max(1, min(_CHUNK, _VALUES // len(others)))
    for rows in torch.arange(len(features), device=features.device).split(chunk):
        similarity = directions[rows] @ targets.T
        if left_out is not None:
            similarity[left_out[rows].unsqueeze(1) == positions] = -torch.inf
        found = similarity.topk(neighbours)
        yield found.values, found.indices
