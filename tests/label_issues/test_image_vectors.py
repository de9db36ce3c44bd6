"""Tests of vectors that describe images without labels, and of labels that are judged by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from vri_pyro import VRIClassifier, find_label_issues
from vri_pyro.label_issues.image_vectors import COMPONENTS, ImageVectors, vectors_of
from vri_pyro.label_issues.ranking import rank
from vri_pyro.utils.errors import UserError


def _digits() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return (digits.images[..., None] * 15).astype(np.uint8), digits.target


def _noisy(truth: np.ndarray, rate: float, trusted: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    moved = (generator.random(len(truth)) < rate) & ~trusted
    return np.where(moved, generator.integers(10, size=len(truth)), truth)


def test_components_are_uncorrelated_and_have_a_mean_variance_of_one_in_decreasing_order() -> None:
    images = torch.randn(600, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    vectors = ImageVectors.learned(images, 0).of(images).double()
    assert vectors.shape == (600, COMPONENTS)
    covariance = vectors.T.cov()
    variances = covariance.diagonal()
    torch.testing.assert_close(variances.mean(), torch.tensor(1.0, dtype=torch.float64), atol=1e-4, rtol=0)
    assert (variances[1:] <= variances[:-1] + 1e-5).all()
    torch.testing.assert_close(covariance, variances.diag(), atol=1e-3, rtol=0)
    torch.testing.assert_close(vectors.mean(0), torch.zeros(COMPONENTS, dtype=torch.float64), atol=1e-4, rtol=0)


def test_an_image_has_the_same_vector_alone_and_among_others() -> None:
    images = torch.randn(300, 1, 9, 7, generator=torch.Generator().manual_seed(0))
    describe = ImageVectors.learned(images, 3)
    torch.testing.assert_close(describe.of(images)[[5]], describe.of(images[[5]]), atol=1e-4, rtol=1e-4)
    again = ImageVectors.learned(images, 3).of(images)
    assert torch.equal(describe.of(images), again)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (1, 90, 40), (3, 64, 64)])
def test_images_of_any_size_are_described(shape: tuple[int, int, int]) -> None:
    images = torch.randn(60, *shape, generator=torch.Generator().manual_seed(0))
    vectors = ImageVectors.learned(images, 0).of(images)
    assert len(vectors) == 60
    assert vectors.isfinite().all()
    assert vectors.std(0).max() > 0.5


def test_equal_images_have_vectors_of_zeros() -> None:
    images = torch.ones(60, 1, 8, 8)
    assert not ImageVectors.learned(images, 0).of(images).any()


def test_larger_images_are_averaged_over_blocks() -> None:
    images = torch.randn(100, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    expected = ImageVectors.learned(images, 0).of(images)
    larger = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(ImageVectors.learned(larger, 0).of(larger), expected, atol=1e-3, rtol=1e-3)


def test_classes_that_differ_in_colour_or_brightness_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(600) % 3
    colours = np.array([[60, 0, 0], [0, 60, 0], [60, 60, 60]])
    images = (generator.integers(150, size=(600, 8, 8, 3)) + colours[truth][:, None, None]).astype(np.uint8)
    given = np.where(generator.random(600) < 0.3, (truth + 1) % 3, truth)
    table = find_label_issues(given, features=images).sort_values("index")
    assert (table["is_label_issue"].to_numpy() == (given != truth)).mean() > 0.97


def test_labels_of_images_are_judged_from_arrays() -> None:
    images, truth = _digits()
    trusted = np.arange(len(truth)) < 100
    given = _noisy(truth, 0.3, trusted)
    table = find_label_issues(given, features=images, trusted=trusted).sort_values("index")
    wrong = given != truth
    low, high = table.attrs["noise_rate_interval"]
    assert low <= wrong[~trusted].mean() <= high
    assert high - low < 0.08
    assert (table["is_label_issue"].to_numpy() == wrong).mean() > 0.97
    grey = find_label_issues(given, features=images[..., 0], trusted=trusted).sort_values("index")
    np.testing.assert_array_equal(grey["score"], table["score"])
    scaled = find_label_issues(given, features=images.astype(np.float64) / 255, trusted=trusted).sort_values("index")
    assert np.corrcoef(scaled["score"], table["score"])[0, 1] > 0.999  # pixels are the same up to rounding
    np.testing.assert_array_equal(vectors_of(images, 0), vectors_of(images, 0))


def test_images_that_cannot_be_read_are_named() -> None:
    images, truth = _digits()
    with pytest.raises(UserError, match=r"features has shape .* looks like \[N, C, H, W\]"):
        find_label_issues(truth, features=images.transpose(0, 3, 1, 2))
    with pytest.raises(UserError, match="features has dtype int64; convert it to uint8"):
        find_label_issues(truth, features=images.astype(np.int64))
    broken = images.astype(np.float32)
    broken[3, 2, 1, 0] = np.nan
    with pytest.raises(UserError, match=r"features\[3, 2, 1, 0\] is NaN"):
        find_label_issues(truth, features=broken)
    with pytest.raises(UserError, match="features has 1796 rows for 1797 labels"):
        find_label_issues(truth, features=images[:-1])


@pytest.mark.filterwarnings("ignore")
def test_labels_of_images_that_a_network_has_memorised_are_judged_by_what_has_not_seen_them() -> None:
    images, truth = _digits()
    trusted = np.arange(len(truth)) < 200
    given = _noisy(truth, 0.4, trusted)
    wrong = (given != truth)[~trusted]
    classifier = VRIClassifier("cross_entropy", device="cpu", epochs=60, random_state=0)
    classifier.fit(images, given, trusted=trusted)
    evidence = classifier._evidence
    assert evidence.of_images
    issues = rank(evidence, draws=100)
    assert issues.noise_by_heads
    low, high = issues.transition.noise_rate_interval()
    assert low <= wrong.mean() <= high
    assert high - low < 0.08
    assert issues.rate_problem is None
