"""How many labels a classifier follows at most, by comparing its predictions with those of the neighbours."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

_TIMES = 5.0  # how often the excess of agreement is counted, since neighbours follow labels as well
_ERRORS = 2.0  # standard errors by which an excess may be larger
_MARGIN = 2.0  # factor from the average share of followed labels to that of correct ones
_LEAST = 0.3  # no smaller bound is given


class OwnAndNeighbours(NamedTuple):
    """How often predictions and those of the neighbours equal labels.

    Attributes:
        own: share of examples whose own prediction equals the label.
        excess: by how much this share is above that of the neighbours' prediction.
        error: standard error of ``excess``.
    """

    own: float
    excess: float
    error: float

    @classmethod
    def of(cls, own: Tensor, neighbours: Tensor, labels: Tensor) -> OwnAndNeighbours:
        """Compare probabilities of the examples and of their neighbours, [N, K] each, with labels, int64 [N]."""
        equal = (own.argmax(-1) == labels).double()
        more = equal - (neighbours.argmax(-1) == labels).double()
        return cls(float(equal.mean()), float(more.mean()), float(more.std(correction=0)) / len(labels) ** 0.5)


def most_followed(trained_on: OwnAndNeighbours, held_out: OwnAndNeighbours) -> float:
    """Bound the share of correct labels that a classifier predicts because it was trained on them, from 0.3 to 1.

    A classifier that follows a label predicts it although similar examples are predicted otherwise. So its own
    predictions agree with the labels more often than those of the neighbours, which were trained on other labels. On
    examples held out of training, they do not; there, the neighbours' are often better. The neighbours' predictions
    follow labels as well, if less: in runs of several methods the agreement rose by 1.3 to 5 times the excess, and the
    largest factor is taken. The bound is twice the share of followed labels among those that the classifier would not
    have predicted otherwise. All constants were chosen by looking at these runs.

    Args:
        trained_on: agreement with the noisy labels.
        held_out: agreement with the true labels of examples held out of training. If the neighbours' predictions are
            significantly better there, the excess counts from there on.
    """
    usual = min(0.0, held_out.excess + _ERRORS * held_out.error)
    rise = _TIMES * max(0.0, trained_on.excess - usual + _ERRORS * trained_on.error)
    if rise == 0:
        return _LEAST
    followed = rise / (1 - trained_on.own + rise)
    return min(1.0, max(_LEAST, _MARGIN * followed))
