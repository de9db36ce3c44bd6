"""Noise given by a custom transition matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vri_pyro.data.noise.array_files import read_csv, read_npy
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.data.validation import check_transition
from vri_pyro.utils.errors import UserError, UserTypeError, described

_READERS = {".npy": read_npy, ".csv": read_csv}


@dataclass(frozen=True, eq=False, repr=False)
class TransitionMatrix(ClassConditionalNoise):
    """Custom transition matrix T: a label of class i becomes j with probability T[i, j].

    Attributes:
        matrix: T, [K, K], non-negative, with rows that sum to one. Either a list of rows, or the path of an .npy or
            .csv file (comma-separated, no header), which is read when the noise is applied.
    """

    matrix: Sequence[Sequence[float]] | np.ndarray | str | Path

    def __post_init__(self) -> None:
        """Check the type, and the extension of a file."""
        if not isinstance(self.matrix, str | Path | Sequence | np.ndarray):
            raise UserTypeError(
                f"TransitionMatrix got {described(self.matrix)}; expected rows of numbers, or the path of an .npy or "
                ".csv file."
            )
        if isinstance(self.matrix, str | Path) and Path(self.matrix).suffix not in _READERS:
            raise UserError(f"TransitionMatrix got the file {self.matrix}; expected an .npy or .csv file.")

    def __repr__(self) -> str:
        """Return the file, or only the size of a matrix of numbers, since a split saves the numbers separately."""
        if isinstance(self.matrix, str | Path):
            return f"TransitionMatrix(matrix={str(self.matrix)!r})"
        return f"TransitionMatrix(matrix=<{len(self.matrix)} rows>)"

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [K, K]; draw nothing.

        Raises:
            UserError: the file is unusable, the matrix is not [K, K], or a row is not a distribution.
        """
        transition = self._read()
        # NaN is left to check_transition, because a row with NaN does not sum to one.
        if (transition < 0).any():
            index = np.argwhere(transition < 0)[0].tolist()
            raise UserError(f"{self!r} is {transition[*index]} at {index}; probabilities must be non-negative.")
        check_transition(repr(self), transition, num_classes)
        # Rows from a file sum to one only up to rounding.
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
            raise UserError(f"{self!r} is not a matrix; expected rows of numbers of equal length.") from error
