"""Ranks of methods over cells, and what differs significantly."""

from __future__ import annotations

import pytest
from bench.ranking import cliques, common, critical_difference, diagram, ranks

ACCURACIES = {"a": {"1": 90.0, "2": 80.0}, "b": {"1": 90.0, "2": 70.0, "3": 50.0}, "c": {"1": 60.0, "2": 75.0}}


def test_ranks_are_among_the_methods_of_a_cell_and_ties_share_them() -> None:
    assert ranks(ACCURACIES) == {
        "a": {"1": 1.5, "2": 1.0},
        "b": {"1": 1.5, "2": 3.0, "3": 1.0},
        "c": {"1": 3.0, "2": 2.0},
    }
    assert set(common(ACCURACIES)["b"]) == {"1", "2"}


@pytest.mark.parametrize(("methods", "quantile"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_quantiles_of_demsars_table(methods: int, quantile: float) -> None:
    expected = quantile * (methods * (methods + 1) / (6 * 30)) ** 0.5
    assert critical_difference(methods, 30) == pytest.approx(expected, rel=1e-3)


def test_cliques_are_maximal() -> None:
    assert cliques({"a": 1.0, "b": 1.8, "c": 2.2, "d": 4.0}, 1.0) == [(1.0, 1.8), (1.8, 2.2)]
    assert cliques({"a": 1.0, "b": 1.4, "c": 1.9, "d": 4.0}, 1.0) == [(1.0, 1.9)]


def test_diagram_names_every_method_with_its_mean_rank() -> None:
    texts = [text.get_text() for text in diagram(ACCURACIES).axes[0].texts]
    assert texts == ["a (1.2)", "b (2.2)", "c (2.5)"]
