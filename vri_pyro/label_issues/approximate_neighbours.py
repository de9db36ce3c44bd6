"""Approximate nearest neighbours of many examples, through the optional package faiss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_PROBED = 32  # lists that are searched per example
_PER_LIST = 40  # examples per list, at least, and from which the lists are made
_CHUNK = 10_000


def approximate_positions(features: Tensor, neighbours: int) -> Tensor:
    """Find most of the nearest neighbours of each example among the others, by cosine similarity.

    The examples are divided into about 4 √N lists by k-means, and the neighbours are searched in the 32 lists nearest
    to an example. The result is the same in every call.

    Args:
        features: features, [N, D], N > ``neighbours``.
        neighbours: number of neighbours, at least 1.

    Returns:
        positions of the neighbours, int64 [N, neighbours], on the device of the features. If an example's lists have
        too few examples, its nearest neighbour is repeated.

    Reference: Douze et al., The Faiss library, 2024 (IndexIVFFlat).
    """
    import faiss  # optional

    directions = F.normalize(features.detach().float().cpu(), dim=-1).numpy()
    count, width = directions.shape
    lists = min(int(4 * count**0.5), count // _PER_LIST)
    quantizer = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFFlat(quantizer, width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid, index.nprobe = _PER_LIST, _PROBED
    index.train(directions)
    index.add(directions)
    found = []
    for rows in torch.arange(count).split(_CHUNK):
        _, positions = index.search(directions[rows[0] : rows[-1] + 1], neighbours + 1)
        found.append(_without_itself(torch.from_numpy(positions), rows))
    return torch.cat(found).to(features.device)


def _without_itself(positions: Tensor, rows: Tensor) -> Tensor:
    """Remove each example from its own neighbours; of duplicates, another may have been found in its place."""
    itself = positions == rows.unsqueeze(1)
    missing = ~itself.any(1)
    itself[missing, -1] = True
    others = positions[~itself].reshape(len(positions), -1)
    return torch.where(others < 0, others[:, :1], others)
