"""What the package states about labels from arrays."""

from __future__ import annotations

import warnings

import numpy as np

from bench.judging import entries, stated, timed
from bench.labelled import Noisy
from vri_pyro import find_label_issues


def from_arrays(data: Noisy, **evidence: np.ndarray) -> tuple[dict[str, float], np.ndarray, float]:
    """Judge the numbers of ``find_label_issues``; also returns the scores of the untrusted labels and CPU seconds."""
    labels, noisy = data.labels, ~data.trusted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no trusted labels
        table, seconds = timed(lambda: find_label_issues(labels.given, trusted=labels.trusted, **evidence))
    scores = table.sort_values("index")["score"].to_numpy()[noisy]
    rate, ends = table.attrs["noise_rate"], table.attrs["noise_rate_interval"]
    matrix, low, high = np.array([table.attrs["transition_matrix"], *table.attrs["transition_matrix_interval"]])
    judged = stated(rate, ends, scores, data.wrong[noisy]) | entries(matrix, low, high, data.counts)
    return judged, scores, seconds
