"""Warning of values that are so large that standardisation hides the differences between all others."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vri_pyro.data.statistics import mean_and_std, sample_positions, varies
from vri_pyro.data.streamed import Inputs, Streamed
from vri_pyro.utils.numbers import counted

_SMALL = 1e-4  # interquartile range in standard deviations; about 1e-3 for incomes, counts and Cauchy's distribution
_SAMPLE = 2048  # rows for the quartiles
_VALUES = 4_000_000
_CHUNK = 1024
_PACKAGE = str(Path(__file__).parents[1])


def warn_of_outliers(
    name: str, x: Inputs, columns: Sequence[object] | None = None, std: np.ndarray | None = None
) -> None:
    """Warn of columns whose standard deviation comes from a few values far from the others.

    Standardisation divides by the standard deviation. A single value of 1e8 among values around 1 makes it so large
    that the others become equal. A column is named if its interquartile range is less than 1e-4 of its standard
    deviation, but not 0, as it is for sparse and for constant columns.

    Args:
        name: name of the array in messages.
        x: finite vectors [N, D]. Images are not checked.
        columns: names of the columns, [D]; None for their numbers.
        std: standard deviations of the columns, [D]; computed if None.

    Warns:
        UserWarning: there are such columns; the message names the first, and the value that is farthest away.
    """
    if isinstance(x, Streamed) or x.ndim != 2 or x.dtype == np.uint8 or x.dtype == np.bool_:
        return
    std = mean_and_std(x)[1] if std is None else std
    rows = sample_positions(len(x), max(100, min(_SAMPLE, _VALUES // x.shape[1])))
    low, middle, high = np.quantile(np.asarray(x[rows], dtype=np.float64), (0.25, 0.5, 0.75), axis=0)
    hidden = np.flatnonzero(varies(low, high) & (high - low < _SMALL * std))
    if not len(hidden):
        return
    column = int(hidden[0])
    values = np.concatenate([x[start : start + _CHUNK][:, column] for start in range(0, len(x), _CHUNK)])
    example = int(np.abs(values.astype(np.float64) - middle[column]).argmax())
    more = (
        f" ({counted(len(hidden) - 1, 'more column has', 'more columns have')} such values)" if len(hidden) > 1 else ""
    )
    warnings.warn(
        f"column {column if columns is None else repr(columns[column])} of {name} has the outlier "
        f"{values[example]:.3g} in example {example}: half of its values lie within {high[column] - low[column]:.1g}, "
        f"which is next to nothing beside its standard deviation of {std[column]:.1g}, so standardisation hides their "
        f"differences; correct or drop such values, or take logarithms or ranks of the column{more}",
        skip_file_prefixes=(_PACKAGE,),
    )
