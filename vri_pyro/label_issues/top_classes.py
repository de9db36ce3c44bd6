"""Class probabilities of many examples in bounded memory: the given label and the most probable other classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

KEPT = 20  # classes per example
_VALUES = 2_000_000  # entries of a dense array of one chunk
_LEAST = 1e-12  # probabilities are clamped to it


class TopClasses(NamedTuple):
    """Probabilities of m classes for each of N examples; the other K − m classes share the rest equally.

    Up to 20 classes, all are kept, and nothing is approximated.

    Attributes:
        classes: the classes, the given label first, int32 [N, m].
        probabilities: their probabilities, float32 [N, m].
        num_classes: number of classes K.
    """

    classes: Tensor
    probabilities: Tensor
    num_classes: int

    @classmethod
    def of(cls, dense: Callable[[Tensor], Tensor], given: Tensor, num_classes: int) -> TopClasses:
        """Keep the most probable classes.

        Args:
            dense: function that returns the probabilities of the examples at the given positions, [n, K]. It is called
                for one chunk after another, so that [N, K] is never in memory.
            given: given labels, int64 [N].
            num_classes: number of classes K.
        """
        kept = min(KEPT, num_classes)
        classes = torch.empty(len(given), kept, dtype=torch.int32)
        probabilities = torch.empty(len(given), kept, dtype=torch.float32)
        for rows in chunks(len(given), num_classes):
            p, label = dense(rows), given[rows].unsqueeze(1)
            others = p.scatter(1, label, -1.0).topk(kept - 1, sorted=False)
            classes[rows] = torch.cat([label, others.indices], 1).int()
            probabilities[rows] = torch.cat([p.gather(1, label), others.values], 1).float()
        return cls(classes, probabilities, num_classes)

    def rest(self) -> Tensor:
        """Return the probability of each class that is not kept, float32 [N]."""
        others = max(1, self.num_classes - self.classes.shape[1])
        return (1 - self.probabilities.sum(1)).clamp_min(0) / others

    def dense(self, rows: Tensor) -> Tensor:
        """Return the probabilities of all classes for the examples at the given positions, float64 [n, K]."""
        return self.mean(rows.unsqueeze(1))

    def mean(self, groups: Tensor) -> Tensor:
        """Return the mean probabilities of groups of examples, int64 [n, g], as float64 [n, K]."""
        kept, rest = self.probabilities[groups].double(), TopClasses.rest(self.at(groups.flatten())).double()
        rest = rest.reshape(groups.shape)
        found = rest.mean(1, keepdim=True).repeat(1, self.num_classes)
        above = (kept - rest.unsqueeze(2)) / groups.shape[1]
        return found.scatter_add_(1, self.classes[groups].long().flatten(1), above.flatten(1))

    def calibrated(self, temperature: float, weight: float) -> TopClasses:
        """Return w p^(1/τ) / Σ p^(1/τ) + (1 − w) / K, with temperature τ and weight w."""
        found = torch.empty_like(self.probabilities)
        others = self.num_classes - self.classes.shape[1]
        for rows in chunks(len(found), self.classes.shape[1]):
            part = self.at(rows)
            powers = part.probabilities.double().clamp_min(_LEAST) ** (1 / temperature)
            rest = others * part.rest().double().clamp_min(_LEAST) ** (1 / temperature)
            p = powers / (powers.sum(1) + rest).unsqueeze(1)
            found[rows] = (weight * p + (1 - weight) / self.num_classes).float()
        return self._replace(probabilities=found)

    def at(self, rows: Tensor) -> TopClasses:
        """Return the classes of some examples."""
        return TopClasses(self.classes[rows], self.probabilities[rows], self.num_classes)


def chunks(count: int, width: int) -> Iterator[Tensor]:
    """Yield the positions 0 to ``count`` − 1 in chunks whose arrays of the given width stay below 2 million entries."""
    return iter(torch.arange(count).split(max(1, _VALUES // width)))
