"""Probabilities calibrated by a temperature."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vri_pyro.calibration import HeldOut, fit_temperature
from vri_pyro.diagnostics.calibration import calibration, fitted_temperature

from .problems import noisy, pairs, predicted


def _error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return calibration(torch.from_numpy(probabilities), torch.from_numpy(labels)).ece


def test_calibrated_probabilities_have_a_smaller_calibration_error_and_the_same_classes() -> None:
    temperature = fit_temperature(HeldOut(*predicted(np.random.default_rng(0), 500)))
    new, true = predicted(np.random.default_rng(1), 20_000)
    found = temperature(new)
    assert _error(new, true) > 0.05
    assert _error(found, true) < 0.02
    assert np.array_equal(found.argmax(1), new.argmax(1))
    np.testing.assert_allclose(found.sum(1), 1)
    assert temperature(new.astype(np.float32)).dtype == np.float32


def test_the_temperature_is_that_of_the_report_and_the_true_one_is_in_its_interval() -> None:
    p, true = predicted(np.random.default_rng(0), 400)
    found = fit_temperature(HeldOut(p, true))
    assert found.value == pytest.approx(fitted_temperature(torch.from_numpy(np.log(p)), torch.from_numpy(true)))
    assert found.low < 1.5 < found.high  # the classifier's logits are 1.5 times too large
    assert found.high - found.low < 0.5


def test_noisy_labels_give_the_temperature_of_the_true_ones() -> None:
    generator, transition = np.random.default_rng(0), pairs(4, 0.4)
    p, true = predicted(generator, 4000)
    given = noisy(generator, true, transition)
    found = fit_temperature(HeldOut(p, given, transition))
    assert found.low < 1.5 < found.high
    assert fit_temperature(HeldOut(p, given)).low > 2  # noisy labels taken for true ones
    assert "4000 noisy labels held out of training and the estimated transition matrix" in found.told


def test_a_few_labels_hardly_change_the_probabilities_and_the_sentence_says_so() -> None:
    found = fit_temperature(HeldOut(*predicted(np.random.default_rng(0), 3)))
    assert 0.5 < found.value < 2
    assert found.low < 0.5
    assert found.high > 2
    assert "not clearly different from 1), estimated from 3 trusted labels held out of training." in found.told
