"""Labels that were held out of training, with the classifier's predictions for their examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vri_pyro.data.validation import check_labels
from vri_pyro.utils.errors import UserError

_AROUND_ONE = 1e-3


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out labels and the classifier's predictions for their examples.

    Attributes:
        probabilities: predicted class probabilities, float64 [n, K].
        labels: the labels, int64 [n].
        transition: None if the labels are trusted. Otherwise draws from the posterior of the transition matrix of the
            labels, or the one known matrix, [draws, K, K]; T[c, k] is the probability that an example of class c has
            the label k.
        frequencies: relative frequencies of the labels in the population from which noisy labels were held out, [K];
            None if the labels are a random sample of it. They correct for labels that were drawn in equal numbers.
        source: what the labels are, in words, such as "validation labels of the run".

    Raises:
        UserError: there are no labels, or shapes or values do not fit.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    transition: np.ndarray | None = None
    frequencies: np.ndarray | None = None
    source: str = "labels held out of training"

    def __post_init__(self) -> None:
        """Check and convert the arrays."""
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        if probabilities.ndim != 2 or len(probabilities) == 0 or probabilities.shape[1] < 2:
            raise UserError(
                f"probabilities has shape {list(probabilities.shape)}; expected [n, K] with at least one held-out "
                "example and two classes"
            )
        if not (probabilities.min() >= 0 and np.abs(probabilities.sum(1) - 1).max() < _AROUND_ONE):
            raise UserError("the rows of probabilities are not probabilities; expected values >= 0 that sum to 1")
        count, classes = probabilities.shape
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "labels", check_labels("labels", self.labels, count, classes))
        if self.transition is not None:
            object.__setattr__(self, "transition", _checked_transition(self.transition, classes))
        if self.frequencies is not None:
            object.__setattr__(self, "frequencies", _checked_frequencies(self.frequencies, classes))

    @property
    def trusted(self) -> bool:
        """Whether the labels are trusted."""
        return self.transition is None

    @property
    def described(self) -> str:
        """Number and kind of the labels, in words."""
        return f"{len(self.labels)} {'trusted' if self.trusted else 'noisy'} {self.source}"

    def correction_weights(self) -> Iterator[np.ndarray | None]:
        """Yield, for each transition matrix, weights that make noisy labels estimate like the true ones.

        An example with the label y gets the weight of row y of the inverse of T: for every function f of an input and
        its class, Σ_k T⁻¹[y, k] f(x, k) has the same mean as f(x, c) with the true class c, if the label depends on the
        input only through the class.

        Yields:
            weights, [n, K]; they sum to 1 over the classes unless ``frequencies`` are given. None if T has no inverse.
            Nothing for trusted labels.

        Reference: Sesia et al., arXiv 2309.05092, and Bortolotti et al., arXiv 2501.18060, for prediction sets; Patrini
            et al., CVPR 2017, where the same weights give the backward correction of a loss.
        """
        rows = np.ones(len(self.labels))
        if self.frequencies is not None:
            counts = np.bincount(self.labels, minlength=len(self.frequencies))
            rows = (self.frequencies / np.maximum(counts, 1) * len(self.labels))[self.labels]
        for matrix in () if self.transition is None else self.transition:
            try:
                yield rows[:, None] * np.linalg.inv(matrix)[self.labels]
            except np.linalg.LinAlgError:
                yield None


def _checked_transition(transition: np.ndarray, classes: int) -> np.ndarray:
    found = np.asarray(transition, dtype=np.float64)
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or len(found) == 0 or found.shape[1:] != (classes, classes):
        raise UserError(
            f"transition has shape {list(np.shape(transition))}; expected [{classes}, {classes}] or "
            f"[draws, {classes}, {classes}]"
        )
    if not (found.min() >= 0 and np.abs(found.sum(2) - 1).max() < _AROUND_ONE):
        raise UserError("the rows of transition are not probabilities; expected row c to be p(label | true class c)")
    return found


def _checked_frequencies(frequencies: np.ndarray, classes: int) -> np.ndarray:
    found = np.asarray(frequencies, dtype=np.float64)
    if found.shape != (classes,) or not (found.min() >= 0 and np.isfinite(found).all() and found.sum() > 0):
        raise UserError(f"frequencies is {found.tolist()}; expected {classes} values >= 0, one per class")
    return found / found.sum()
