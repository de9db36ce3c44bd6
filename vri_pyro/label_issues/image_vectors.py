"""Vectors that describe images and have seen no label, on which regressions can be cross-fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vri_pyro.data import generator_for, permutation
from vri_pyro.data.statistics import mean_and_std

COMPONENTS = 200  # principal components, at most
LEARNED_FROM = 2000  # images, at most
_SIDE = 32  # larger images are averaged over blocks of pixels, until no side is longer
_PATCH = 5  # side of a patch in pixels
_POSITIONS = 14  # of a filter along a side, about
_FILTERS, _PATCHES = 200, 20_000
_CONTRAST = 0.01  # variance of pixels below which a patch counts as flat; pixels have variance one
_NOISE = 0.01  # of whitened patches, relative to variance one
_THRESHOLD = 0.25  # responses between minus and plus this are 0
_PARTS = 2  # along a side, over each of which responses are averaged
_THUMBNAIL = 4  # pixels along a side of a small copy, which has the colours
_BATCH = 250


@dataclass(frozen=True)
class ImageVectors:
    """Principal components of the responses of an image to random patches of other images.

    Patches have mean zero and variance one, and are whitened. Positive and negative responses above a threshold are
    averaged over each quadrant of the image; beside them, a copy of 4 by 4 pixels has the colours. Everything is
    learned without labels, so a regression on these vectors cannot have seen a label that is kept from it, whatever the
    classifier was trained on.

    Attributes:
        stride: number of pixels between two positions of a filter.
        shrunk: side of the blocks of pixels over which an image is averaged first.
        size: side of the patches.
        centre, filters: mean of the patches, [C · size²], and the whitened filters, [C · size², filters].
        mean: mean of the responses, [R].
        projection: principal axes, [R, D], in a unit in which the components have a mean variance of one.

    Reference: Coates, Lee & Ng, An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011,
        for the features; Coates & Ng, The importance of encoding versus training, ICML 2011, for random patches.
    """

    stride: int
    shrunk: int
    size: int
    centre: Tensor
    filters: Tensor
    mean: Tensor
    projection: Tensor

    @classmethod
    def learned(cls, images: Tensor, seed: int) -> ImageVectors:
        """Learn filters and principal axes from images with pixels of variance one, float [n, C, H, W]."""
        generator = generator_for(seed, "patches of images")
        shrunk = -(-max(images.shape[2:]) // _SIDE)
        images = _shrunk(images, shrunk)
        count, _, height, width = images.shape
        size = min(_PATCH, height, width)
        picked = generator.integers((count, height - size + 1, width - size + 1), size=(_PATCHES, 3))
        patches = _even(torch.stack([images[i, :, j : j + size, k : k + size].reshape(-1) for i, j, k in picked]))
        centre = patches.mean(0)
        values, axes = torch.linalg.eigh(torch.atleast_2d((patches - centre).double().T.cov()))
        whitening = ((axes * (values.clamp_min(0) + _NOISE).rsqrt()) @ axes.T).to(patches.dtype)
        filters = (patches[:_FILTERS] - centre) @ whitening
        filters = whitening @ F.normalize(filters).T
        stride = max(1, round((max(height, width) - size + 1) / _POSITIONS))
        none = torch.zeros(0, device=images.device)
        raw = cls(stride, 1, size, centre, filters, none, none)
        responses = torch.cat([raw._responses(part) for part in images.split(_BATCH)]).double()
        mean, spread = responses.mean(0), responses.std(0)
        scale = torch.where(spread > 1e-6 * spread.max(), 1 / spread, 0.0)
        values, axes = torch.linalg.eigh(((responses - mean) * scale).T.cov())
        axes = axes[:, -COMPONENTS:].flip(1)
        unit = values[-COMPONENTS:].clamp_min(0).mean().sqrt().clamp_min(1e-12)
        projection = scale[:, None] * axes / unit
        return cls(stride, shrunk, size, centre, filters, mean.float(), projection.float())

    def of(self, images: Tensor) -> Tensor:
        """Describe images of the same kind, float [n, C, H, W], by vectors, [n, D] with D <= 200."""
        parts = [self._responses(_shrunk(part, self.shrunk)) - self.mean for part in images.split(_BATCH)]
        return torch.cat([part @ self.projection for part in parts])

    def _responses(self, images: Tensor) -> Tensor:
        patches = _even(F.unfold(images, self.size, stride=self.stride).transpose(1, 2))
        found = (patches - self.centre) @ self.filters
        found = torch.cat([found - _THRESHOLD, -found - _THRESHOLD], dim=2).clamp_min(0)
        rows, columns = ((side - self.size) // self.stride + 1 for side in images.shape[2:])
        pooled = F.adaptive_avg_pool2d(found.transpose(1, 2).unflatten(2, (rows, columns)), _PARTS)
        return torch.cat([pooled.flatten(1), F.adaptive_avg_pool2d(images, _THUMBNAIL).flatten(1)], dim=1)


def vectors_of(images: np.ndarray, seed: int) -> np.ndarray:
    """Describe images, uint8 or float32 [N, H, W, C], by :class:`ImageVectors` learned from them, float32 [N, D]."""
    mean, std = mean_and_std(images)
    some = np.sort(permutation(generator_for(seed, "images"), len(images))[:LEARNED_FROM])

    def batch(part: np.ndarray) -> Tensor:
        pixels = part / 255 if part.dtype == np.uint8 else part
        found = (pixels - mean) / np.where(std == 0, 1, std)
        return torch.from_numpy(found.astype(np.float32)).movedim(-1, 1)

    describe = ImageVectors.learned(batch(images[some]), seed)
    parts = (images[start : start + LEARNED_FROM] for start in range(0, len(images), LEARNED_FROM))
    return torch.cat([describe.of(batch(part)) for part in parts]).numpy()


def _shrunk(images: Tensor, block: int) -> Tensor:
    return F.avg_pool2d(images, block, ceil_mode=True) if block > 1 else images


def _even(patches: Tensor) -> Tensor:
    """Give patches, [..., C · size²], mean zero and variance one."""
    centred = patches - patches.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + _CONTRAST).rsqrt()
