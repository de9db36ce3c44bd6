"""Tests of the neighbours of more than 10,000 examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vri_pyro.label_issues import find_label_issues, nearest_positions, neighbours, smoothed
from vri_pyro.label_issues.approximate_neighbours import _without_itself, approximate_positions

SIZE, CLASSES = 10_500, 30


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """Thirty groups of 350 examples."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, 32, generator=generator)
    return centres[torch.arange(SIZE) % CLASSES] + 0.7 * torch.randn(SIZE, 32, generator=generator)


@pytest.fixture(scope="module")
def exact(features: torch.Tensor) -> torch.Tensor:
    return nearest_positions(features, 20, most=SIZE)


def test_nine_of_ten_nearest_neighbours_are_found(features: torch.Tensor, exact: torch.Tensor) -> None:
    found = nearest_positions(features, 20)
    assert found.shape == (SIZE, 20)
    recall = torch.tensor(
        [len(set(a) & set(b)) for a, b in zip(found[:500].tolist(), exact[:500].tolist(), strict=True)]
    )
    assert float(recall.double().mean()) > 0.9 * 20
    assert (found != torch.arange(SIZE).unsqueeze(1)).all()
    assert torch.equal(found, nearest_positions(features, 20))


def test_predictions_of_the_neighbours_are_nearly_the_exact_ones(features: torch.Tensor, exact: torch.Tensor) -> None:
    p = (3 * features[:, :CLASSES]).softmax(-1)
    difference = (smoothed(p, features) - p[exact].mean(1)).abs().sum(1)
    assert float(difference.mean()) < 0.05


def test_label_issues_are_nearly_those_of_the_exact_neighbours(
    features: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    true = np.arange(SIZE) % CLASSES
    labels = np.where(generator.random(SIZE) < 0.2, generator.integers(CLASSES, size=SIZE), true)
    p = np.full((SIZE, CLASSES), 0.4 / CLASSES)
    p[np.arange(SIZE), true] += 0.6

    def scores() -> np.ndarray:
        table = find_label_issues(labels, p, features.numpy(), draws=40)
        return table.sort_values("index")["score"].to_numpy()

    approximate = scores()
    monkeypatch.setattr(neighbours, "_MOST", SIZE)
    assert np.abs(approximate - scores()).mean() < 0.01


def test_without_faiss_neighbours_are_searched_in_a_subset_with_a_warning(
    features: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=r"pip install 'vri-pyro\[faiss\]' to search among all"):
        found = nearest_positions(features, 5)
    assert len(found.unique()) <= 10_000


def test_an_example_is_not_its_own_neighbour_also_among_duplicates() -> None:
    positions = torch.tensor([[0, 2, 3], [3, 0, 2], [1, -1, -1]])
    assert _without_itself(positions, torch.arange(3)).tolist() == [[2, 3], [3, 0], [1, 1]]
    equal = approximate_positions(torch.ones(200, 3), 4)
    assert (equal != torch.arange(200).unsqueeze(1)).all()
    assert (equal >= 0).all()
