"""Noise by a custom transition matrix: from numbers, from files, and errors for invalid matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vri_pyro.data import NoisyLabels, TransitionMatrix, generator_for
from vri_pyro.utils.errors import UserError

MATRIX = [[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]]


def _apply(noise: TransitionMatrix, num_classes: int = 3, per_class: int = 2000, seed: int = 0) -> NoisyLabels:
    labels = np.arange(num_classes * per_class) % num_classes
    return noise.apply(labels, np.zeros((len(labels), 1), np.float32), num_classes, generator_for(seed, "noise"))


@given(
    weights=st.integers(2, 6).flatmap(lambda k: arrays(np.float64, (k, k), elements=st.floats(0.01, 1.0))),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_labels_follow_the_given_rows(weights: np.ndarray, seed: int) -> None:
    matrix = weights / weights.sum(axis=1, keepdims=True)
    noisy = _apply(TransitionMatrix(matrix), len(matrix), 1000, seed)
    np.testing.assert_allclose(noisy.transition, matrix)
    assert (np.abs(noisy.realised_transition - matrix) <= 6 * np.sqrt(matrix * (1 - matrix) / 1000) + 0.0015).all()


def test_impossible_transition_never_happens() -> None:
    noisy = _apply(TransitionMatrix(MATRIX))
    assert (noisy.realised_transition[np.array(MATRIX) == 0] == 0).all()
    assert noisy.nominal_rate == pytest.approx(0.5 / 3)


def test_numbers_and_files_give_the_same_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.array(MATRIX))
    np.savetxt(tmp_path / "matrix.csv", MATRIX, delimiter=",")
    sources = (MATRIX, np.array(MATRIX), str(tmp_path / "matrix.npy"), tmp_path / "matrix.csv")
    first, *others = (_apply(TransitionMatrix(source)).labels for source in sources)
    assert all(np.array_equal(first, other) for other in others)


def test_rows_that_a_file_rounds_are_normalised(tmp_path: Path) -> None:
    (tmp_path / "thirds.csv").write_text("0.333333,0.333333,0.333333\n0,1,0\n0,0,1\n")
    transition = _apply(TransitionMatrix(tmp_path / "thirds.csv")).transition
    np.testing.assert_allclose(transition.sum(axis=1), 1.0, rtol=1e-12)


def test_record_names_the_file_or_the_size() -> None:
    assert repr(TransitionMatrix("noise/T.csv")) == "TransitionMatrix(matrix='noise/T.csv')"
    assert repr(TransitionMatrix(MATRIX)) == "TransitionMatrix(matrix=<3 rows>)"


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], r"has shape \(2, 2\) and dtype float64; expected a floating matrix \[3, 3\]"),
        ([1.0, 0.0, 0.0], r"has shape \(3,\)"),
        (
            [[0.5, 0.5, 0.0], [0, 1, 0], [0, 0.2, 0.7]],
            "Row 2 of .* is not a distribution; its entries must be non-negative and sum to one",
        ),
        ([[1.1, -0.1, 0.0], [0, 1, 0], [0, 0, 1]], r"is -0.1 at \[0, 1\]; probabilities must be non-negative"),
        ([[float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]], "Row 0 of .* is not a distribution"),
        ([[1, 0, 0], [0, 1], [0, 0, 1]], "is not a matrix; expected rows of numbers of equal length"),
        ([["a", "b", "c"]] * 3, "is not a matrix"),
    ],
)
def test_invalid_matrix_is_refused(matrix: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _apply(TransitionMatrix(matrix))


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("matrix.npy", None, r"The file .*matrix\.npy does not exist; expected an \.npy file"),
        ("matrix.csv", None, r"The file .*matrix\.csv does not exist"),
        ("matrix.npy", b"1,0\n0,1\n", r"is not a valid \.npy file of numbers"),
        ("matrix.npy", b"", r"is not a valid \.npy file of numbers"),
        ("matrix.csv", b"a,b\n1,0\n", "does not contain a matrix"),
        ("matrix.csv", b"1,0,0\n0,1\n", "does not contain a matrix"),
        ("matrix.csv", b"\xff\xfe\x00", "does not contain a matrix"),
        ("matrix.csv", b"", "has shape"),
    ],
)
def test_unusable_file_is_refused(tmp_path: Path, name: str, contents: bytes | None, message: str) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError, match=message):
        _apply(TransitionMatrix(tmp_path / name))


def test_archive_under_an_arrays_name_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "matrix.npy").open("wb") as file:
        np.savez(file, matrix=np.eye(3))
    with pytest.raises(UserError, match=r"has the contents of an \.npz file"):
        _apply(TransitionMatrix(tmp_path / "matrix.npy"))


def test_file_of_another_kind_is_refused_when_named() -> None:
    with pytest.raises(UserError, match=r"got the file T\.txt; expected an \.npy or \.csv file"):
        TransitionMatrix("T.txt")
