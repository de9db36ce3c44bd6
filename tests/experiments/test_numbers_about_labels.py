"""Tests of the bench of the numbers about labels, on cases with a known answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import label_numbers_of_images
import numpy as np
import pytest
from bench.alternatives import by_matrix, isotonic
from bench.judging import entries, ranking
from bench.labelled import Noisy
from bench.labelled_images import noisy_images
from bench.margin import averaged_margins
from bench.numbers_page import summary
from sklearn.metrics import roc_auc_score

from vri_pyro.backbones import MLP
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.noise_aware_head import Labels


def separable(generator: np.random.Generator, count: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features of three classes that hardly overlap, the classes, and labels of which a fifth are wrong."""
    z = np.arange(count) % 3
    x = 3 * np.eye(3)[z] + generator.standard_normal((count, 3))
    return x - x.mean(0), z, np.where(generator.random(count) < 0.2, (z + 1) % 3, z)


def test_missed_labels_are_those_below_the_budget() -> None:
    wrong = np.array([True, False, True, True, False, False])
    assert ranking(np.array([0.9, 0.8, 0.7, 0.1, 0.2, 0.3]), wrong)["missed"] == pytest.approx(1 / 3)
    assert ranking(wrong.astype(float), wrong)["missed"] == 0
    assert ranking(1 - wrong, wrong)["missed"] == 1
    assert ranking(wrong, np.zeros(6, dtype=bool)) == ranking(wrong, np.ones(6, dtype=bool)) == {}


def test_missed_labels_with_equal_scores_are_the_mean_over_their_orders() -> None:
    wrong = np.array([True, True, False, False])
    # The second of two places goes to one of three labels, of which one is wrong.
    assert ranking(np.array([0.9, 0.5, 0.5, 0.5]), wrong)["missed"] == pytest.approx(1 - (1 + 1 / 3) / 2)


def test_margins_rank_flipped_labels_of_separable_classes_first() -> None:
    x, z, y = separable(np.random.default_rng(0))
    margins = averaged_margins(MLP, x, y, y, 3, seed=0)
    assert roc_auc_score(y != z, margins) > 0.95
    assert margins[y == z].mean() < 0 < margins[y != z].mean()
    assert np.array_equal(margins, averaged_margins(MLP, x, y, y, 3, seed=0))


def test_margins_of_labels_that_were_not_trained_on_are_of_these_labels() -> None:
    x, z, y = separable(np.random.default_rng(0))
    margins = averaged_margins(MLP, x, z, y, 3, seed=0)
    assert (margins[y != z] > 0).mean() > 0.9
    assert (margins[y == z] < 0).mean() > 0.9


def test_examples_of_no_class_and_trusted_ones_are_not_counted() -> None:
    true, given = np.array([0, 0, 1, NO_CLASS, 1]), np.array([0, 1, 1, 0, 0])
    data = Noisy(np.zeros((5, 1)), true, given, np.array([0, 0, 0, 0, 1], dtype=bool), 3)
    assert data.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert data.labels.given.tolist() == [0, 1, 1, 0, 1]
    assert data.wrong.tolist() == [False, True, False, True, True]


def test_coverage_of_entries_counts_intervals_that_contain_the_realised_share() -> None:
    counts = np.array([[8, 2], [0, 10]])  # shares 0.8 and 0.2, 0 and 1
    draws = np.linspace(0, 1, 41)
    row = np.stack([0.71 + 0.05 * draws, 0.29 - 0.05 * draws], axis=1)  # less than half a label, 0.05, from 0.8
    far = np.stack([0.2 + 0.1 * draws, 0.8 - 0.1 * draws], axis=1)
    every = np.stack([row, far], axis=1)
    found = entries(every.mean(0), *np.quantile(every, (0.025, 0.975), axis=0), counts)
    assert found["entries_covered"] == 0.5
    assert found["entries_width"] == pytest.approx((0.05 + 0.1) * 0.95 / 2)
    assert found["entries_error"] == pytest.approx((0.065 + 0.25) / 2)


def test_interval_of_positive_probabilities_contains_a_share_of_nothing() -> None:
    counts, small = np.array([[20, 0], [0, 20]]), np.full((2, 2), 0.02)
    small[[0, 1], [0, 1]] = 0.98
    assert entries(small, small, small, counts)["entries_covered"] == 1  # half a label is 0.025
    assert entries(small, small, small, 2 * counts)["entries_covered"] == 0


def test_rows_without_examples_or_estimate_are_left_out() -> None:
    unknown = np.array([[1.0, 0.0], [np.nan, np.nan]])
    alone = entries(unknown, unknown, unknown, np.array([[5, 0], [3, 3]]))
    assert alone == {"entries_covered": 1.0, "entries_width": 0.0, "entries_error": 0.0}
    assert entries(unknown, unknown, unknown, np.array([[0, 0], [3, 3]])) == {}


def test_matrix_of_glc_has_the_mean_predictions_of_the_trusted_examples_of_each_class() -> None:
    given, trusted = np.array([0, 0, 1, 0, 1, 1]), np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], *[[0.5, 0.5]] * 3])
    counts = np.array([[8, 2], [4, 6]])
    found = by_matrix(p, Labels(given, trusted), counts, np.random.default_rng(0))
    assert found["mean"] == pytest.approx(1 - (0.8 + 2 * 0.6) / 3)
    assert found["entries_error"] == pytest.approx(0)


def test_isotonic_regression_turns_scores_into_the_shares_of_the_trusted_labels() -> None:
    score = np.array([0.0, 0.0, 5.0, 5.0, 0.0, 5.0])
    trusted, wrong = np.arange(6) < 4, np.array([False, False, True, False, True, True])
    assert isotonic(score, trusted, wrong).tolist() == [0, 0.5]


def test_page_leaves_fields_empty_that_older_records_lack() -> None:
    rate = {"mean": 0.2, "low": 0.1, "high": 0.3}
    old = {"cell": ["two", "flip", 0.2, 3, 0], "true": 0.25, "ours": rate | {"ece": 0.1, "brier": 0.2}}
    (row,) = [line for line in summary([old], (["two"], ["flip"])).splitlines() if line.startswith("| ours |")]
    assert row == "| ours | 1 | 100.0% | 20.0 | 20.0 | -5.00 ± 0.00 | 0.100, 0.100 | 0.2000 |  |  |  |  |  |"
    new = old | {"margin": {"auroc": 0.9, "ap": 0.8, "missed": 0.25, "seconds": 2.0}}
    (row,) = [line for line in summary([new], (["two"], ["flip"])).splitlines() if line.startswith("| margin |")]
    assert row == "| margin | 1 |  |  |  |  |  |  | 0.9000 | 0.8000 | 25.0% |  | 2.0 |"


def test_images_of_another_data_set_belong_to_no_class_and_are_not_trusted(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images, y = generator.integers(0, 200, (60, 28, 28), np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "fashion_mnist.npz", x_train=images, y_train=y, x_test=images, y_test=y)
    np.savez(tmp_path / "foreign_mnist.npz", x=np.full((5, 28, 28), 255, np.uint8))
    data = noisy_images(("fashion_mnist", "open", 0.4, 2), generator, tmp_path)
    foreign = (data.x == 255).all((1, 2, 3))
    assert foreign.sum() == 24
    assert np.array_equal(foreign, data.true == NO_CLASS)
    assert np.array_equal(foreign, data.wrong)
    assert data.trusted.any()
    assert not (data.trusted & foreign).any()
    assert data.counts.sum() == (~data.trusted & ~foreign).sum()
    assert np.array_equal(data.counts, np.diag(data.counts.diagonal()))  # all other labels are right


def test_cross_validated_predictions_have_not_seen_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(x: np.ndarray, y: np.ndarray, seed: int, method: str) -> SimpleNamespace:
        seen = set(x[:, 0].tolist())
        return SimpleNamespace(
            classes_=np.unique(y), predict_proba=lambda rows: np.array([[float(one in seen), 1] for one in rows[:, 0]])
        )

    monkeypatch.setattr(label_numbers_of_images, "trained", trained)
    found = label_numbers_of_images.cross_validated(np.arange(30)[:, None], np.arange(30) % 2, 2, seed=0)
    assert (found == [0, 1]).all()


def test_images_are_standardised_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3), np.uint8)
    found = label_numbers_of_images.standardised(images)
    assert found.shape == (50, 3, 4, 5)
    assert np.allclose(found.mean((0, 2, 3)), 0, atol=1e-4)
    assert np.allclose(found.std((0, 2, 3)), 1, atol=1e-4)
