"""Instance-dependent noise: what an example looks like decides how its label goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_class_count, check_rate
from vri_pyro.data.noise.normal import standard_normal, truncated_normal
from vri_pyro.data.randomness import categorical
from vri_pyro.data.statistics import mean_and_std
from vri_pyro.data.streamed import Inputs
from vri_pyro.utils.errors import UserError

_SCALINGS = ("standardised", "raw")
# Feature values in float64 at a time (32 MiB); the labels do not depend on it.
_CHUNK_VALUES = 2**22


@dataclass(frozen=True)
class InstanceDependent(LabelNoise):
    """Part-dependent noise (PDN): the wrong label is drawn by a random linear classifier of the example.

    Example i of class y has its own flip rate q ~ N(ρ, std²) restricted to [0, 1], and its class a standard
    normal matrix W[y] [d, C]. With a = xᵀ W[y] and a[y] = -∞, the label is drawn from q·softmax(a) for the wrong
    classes and 1 - q for y. All are drawn anew with every seed. Near 0 and 1 the restriction to [0, 1] moves the
    expected rate: it is 0.08 for ρ = 0 and 0.92 for ρ = 1.

    Reference: Xia et al., Part-dependent label noise, NeurIPS 2020.

    Attributes:
        rate: ρ, from 0 to 1.
        scaling: the x above. "standardised": shifted and scaled to mean 0 and std 1, per channel for images
            and per dimension for vectors, over the examples that get the noise. "raw": the features as they
            are stored, 0 to 255 for uint8 images; so large values of one sign saturate the softmax, and
            most of a class goes to one or two wrong labels, so that it is flip noise in all but name.
        std: standard deviation of the flip rates before the restriction, at least 0.

    Raises:
        UserError: the rate, the scaling or the std is none.
    """

    rate: float
    scaling: Literal["standardised", "raw"] = "standardised"
    std: float = 0.1

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_rate("InstanceDependent", self.rate)
        if self.scaling not in _SCALINGS:
            raise UserError(f"InstanceDependent got scaling {self.scaling!r}; give one of {', '.join(_SCALINGS)}.")
        if not 0.0 <= self.std < math.inf:
            raise UserError(f"InstanceDependent got std {self.std}; give a finite number of at least 0.")

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Draw every label from its example's own distribution; see :meth:`LabelNoise.apply`.

        Everything is float64: with single precision, labels would depend on the machine's matrix product.
        One class's W, and a chunk of its examples, are in memory at a time.
        """
        check_class_count(self, num_classes)
        scale = _standardiser(features) if self.scaling == "standardised" else _flat
        rates = truncated_normal(generator, len(labels), self.rate, self.std)
        num_features = math.prod(features.shape[1:])
        chunk_size = max(1, _CHUNK_VALUES // num_features)
        given, transition = labels.copy(), np.eye(num_classes)
        for label in range(num_classes):
            # Drawn for classes without examples too, so that no class's W depends on which others are there.
            weights = standard_normal(generator, (num_features, num_classes))
            members = np.flatnonzero(labels == label)
            total = np.zeros(num_classes)
            for start in range(0, len(members), chunk_size):
                chunk = members[start : start + chunk_size]
                probabilities = _label_probabilities(scale(features[chunk]) @ weights, label, rates[chunk])
                given[chunk] = categorical(generator, probabilities)
                total += probabilities.sum(axis=0)
            if len(members) > 0:
                transition[label] = total / len(members)
        return NoisyLabels(given, labels, transition)


def _label_probabilities(logits: np.ndarray, label: int, rates: np.ndarray) -> np.ndarray:
    """P(given label) of a class's examples, [n, K], from their logits [n, K] and flip rates [n]."""
    logits[:, label] = -np.inf
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = rates[:, None] * weights / weights.sum(axis=1, keepdims=True)
    probabilities[:, label] = 1.0 - rates
    return probabilities


def _standardiser(features: Inputs) -> Callable[[np.ndarray], np.ndarray]:
    """The map from examples [n, ...] as they are stored to standardised vectors, float64 [n, d]."""
    mean, std = (values.astype(np.float64) for values in mean_and_std(features))
    # In the units of the features, to spare the chunks a division; a constant channel becomes 0.
    unit = 255.0 if features.dtype == np.uint8 else 1.0
    factor = np.divide(1.0, std * unit, out=np.zeros_like(std), where=std > 0)
    return lambda chunk: _flat((chunk - mean * unit) * factor)


def _flat(chunk: np.ndarray) -> np.ndarray:
    return chunk.reshape(len(chunk), -1).astype(np.float64, copy=False)
