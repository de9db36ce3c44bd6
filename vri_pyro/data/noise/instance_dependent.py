"""Instance-dependent noise, where the wrong label depends on the input."""

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
from vri_pyro.utils.numbers import is_number

_SCALINGS = ("standardised", "raw")
# Number of feature values converted to float64 at a time (32 MiB). It does not affect the labels.
_CHUNK_VALUES = 2**22


@dataclass(frozen=True)
class InstanceDependent(LabelNoise):
    """Part-dependent noise (PDN): a random linear classifier of the input draws wrong labels.

    Each example x of class y has a flip rate q, drawn from N(ρ, std²) truncated to [0, 1]. Each class y has a matrix
    W[y] [d, C] with standard normal entries. Let a = xᵀ W[y] with a[y] = -∞. The label is y with probability 1 - q, and
    wrong labels have the probabilities q·softmax(a). The flip rates and matrices are drawn from the seed. The
    truncation shifts the expected rate for ρ near 0 and 1; with the default std it is 0.08 for ρ = 0 and 0.92 for
    ρ = 1.

    Reference: Xia et al., Part-dependent label noise, NeurIPS 2020.

    Attributes:
        rate: ρ, from 0 to 1.
        scaling: scaling of the features x. "standardised" scales them to mean 0 and std 1 over the examples that get
            the noise, per channel for images and per dimension for vectors. "raw" uses the stored features, 0 to 255
            for uint8 images. Large raw features of one sign saturate the softmax; most wrong labels of a class are then
            the same one or two classes, as in flip noise.
        std: standard deviation of the flip rates before truncation, at least 0.

    Raises:
        UserError: the rate, the scaling or the std is invalid.
    """

    rate: float
    scaling: Literal["standardised", "raw"] = "standardised"
    std: float = 0.1

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_rate("InstanceDependent", self.rate)
        if self.scaling not in _SCALINGS:
            raise UserError(f"InstanceDependent got scaling {self.scaling!r}; expected one of {', '.join(_SCALINGS)}.")
        if not is_number(self.std) or not 0.0 <= self.std < math.inf:
            raise UserError(f"InstanceDependent got std {self.std!r}; expected a finite number >= 0.")

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Draw each label from the distribution of its example; see :meth:`LabelNoise.apply`.

        All computations are in float64. In single precision, labels would depend on the machine's matrix product.
        Only the matrix W of one class and one chunk of its examples are in memory at a time.
        """
        check_class_count(self, num_classes)
        scale = _standardiser(features) if self.scaling == "standardised" else _flat
        rates = truncated_normal(generator, len(labels), self.rate, self.std)
        num_features = math.prod(features.shape[1:])
        chunk_size = max(1, _CHUNK_VALUES // num_features)
        given, transition = labels.copy(), np.eye(num_classes)
        for label in range(num_classes):
            # Drawn even for a class without examples, so that a class's W does not depend on which classes occur.
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
    """Return the label distributions [n, K] of examples of one class, from their logits [n, K] and flip rates [n]."""
    logits[:, label] = -np.inf
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = rates[:, None] * weights / weights.sum(axis=1, keepdims=True)
    probabilities[:, label] = 1.0 - rates
    return probabilities


def _standardiser(features: Inputs) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from stored examples [n, ...] to standardised vectors, float64 [n, d]."""
    mean, std = (values.astype(np.float64) for values in mean_and_std(features))
    # In units of the features, so that chunks need no division by 255. A constant channel becomes 0.
    unit = 255.0 if features.dtype == np.uint8 else 1.0
    factor = np.divide(1.0, std * unit, out=np.zeros_like(std), where=std > 0)
    return lambda chunk: _flat((chunk - mean * unit) * factor)


def _flat(chunk: np.ndarray) -> np.ndarray:
    return chunk.reshape(len(chunk), -1).astype(np.float64, copy=False)
