"""Noise by a transition matrix of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vri_pyro.data.noise.array_files import read_csv, read_npy
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.data.validation import check_transition
from vri_pyro.utils.errors import UserError

_READERS = {".npy": read_npy, ".csv": read_csv}


@dataclass(frozen=True, eq=False, repr=False)
class TransitionMatrix(ClassConditionalNoise):
    """Any matrix T: a label of class i becomes j with probability T[i, j].

    Attributes:
        matrix: T, non-negative, [K, K] with rows that sum to one: numbers, row by row, or the path of a file,
            .npy or .csv (comma-separated, no header), that is read when the noise is applied.
    """

    matrix: Sequence[Sequence[float]] | np.ndarray | str | Path

    def __post_init__(self) -> None:
        """Check the file's kind."""
        if isinstance(self.matrix, str | Path) and Path(self.matrix).suffix not in _READERS:
            raise UserError(f"TransitionMatrix got the file {self.matrix}; give an .npy or a .csv file.")

    def __repr__(self) -> str:
        """The file; or the size alone, because a split saves the numbers beside it."""
        if isinstance(self.matrix, str | Path):
            return f"TransitionMatrix(matrix={str(self.matrix)!r})"
        return f"TransitionMatrix(matrix=<{len(self.matrix)} rows>)"

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """T, float64 [K, K]; nothing is drawn.

        Raises:
            UserError: the file is unusable, the matrix is not [K, K], or a row is no distribution.
        """
        transition = self._read()
        # NaN is left to check_transition, which finds that its row does not sum to one.
        if (transition < 0).any():
            index = np.argwhere(transition < 0)[0].tolist()
            raise UserError(f"{self!r} is {transition[*index]} at {index}; probabilities are not negative.")
        check_transition(repr(self), transition, num_classes)
        # Rows from a file sum to one but for its decimals; the labels are drawn from the normalised ones.
        return transition / transition.sum(axis=1, keepdims=True)

    def _read(self) -> np.ndarray:
        if isinstance(self.matrix, str | Path):
            path = Path(self.matrix)
            values: Sequence[Sequence[float]] | np.ndarray = _READERS[path.suffix](path)
        else:
            values = self.matrix
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self!r} is no matrix of numbers; give as many numbers in every row.") from error
