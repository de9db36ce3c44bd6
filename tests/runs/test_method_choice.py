"""The weights that VRIClassifier gives to methods, from the data."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP
from vri_pyro.data import Arrays, Flip, NoNoise, Split, make_split, mean_and_std
from vri_pyro.methods import ELR
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.held_out import HeldOutFit, fit_held_out, held_out_parts
from vri_pyro.runs.method_choice import MethodChoice, choose_method, mixture_weights
from vri_pyro.runs.named import named_configuration

UNTRUSTED = "ignore:no labels are trusted:UserWarning"


def _gaussian(count: int, classes: int = 5, dim: int = 20) -> Arrays:
    generator = np.random.default_rng(0)
    means = generator.standard_normal((classes, dim)) * 0.8
    y = np.arange(count) % classes
    x = (means[y] + generator.standard_normal((count, dim))).astype(np.float32)
    return Arrays(x[400:], y[400:], x[:400], y[:400], tuple(map(str, range(classes))))


def _configuration(method: str) -> Configuration:
    defaults = {"optimizer": {"init_args": {"momentum": 0.9}}, "loggers": [], "choose_network": False}
    return named_configuration(method, defaults, {}, epochs=12, quiet=True)


def _split(arrays: Arrays, rate: float = 0.4) -> Split:
    return make_split(arrays, Flip(rate) if rate else NoNoise(), 5, 0, None, seed=1)


def test_a_method_that_models_the_noise_gets_the_weight_if_there_is_noise() -> None:
    arrays = _gaussian(2900)
    candidates = {name: _configuration(name) for name in ("cross_entropy", "learned_transition")}
    choice = choose_method(candidates, arrays, _split(arrays), mean_and_std(arrays.x_train))
    assert choice.chosen[0] == "learned_transition"
    assert choice.weights["learned_transition"] > 0.8
    assert choice.scores["learned_transition"] > choice.scores["cross_entropy"] + 0.02


@pytest.mark.parametrize("concentration", [[1, 1, 1], [1, 3, 1]])
def test_weights_are_the_posterior_mean_by_independent_integration(concentration: list[int]) -> None:
    generator = np.random.default_rng(0)
    found = generator.normal(-1, 0.4, (30, 3))
    draws = generator.dirichlet(concentration, 200_000)
    likelihood = np.exp(np.log(np.exp(found) @ draws.T).sum(0))
    expected = likelihood @ draws / likelihood.sum()
    assert mixture_weights(found, concentration) == pytest.approx(expected, abs=0.02)
    two = mixture_weights(found[:, :2], np.ones(2))
    shares = np.linspace(0, 1, 2001)
    likelihood = np.exp(np.log(np.exp(found[:, :2]) @ np.stack([shares, 1 - shares])).sum(0))
    assert two[0] == pytest.approx(likelihood @ shares / likelihood.sum(), abs=0.02)


def test_a_few_labels_leave_weights_nearly_equal_and_many_decide() -> None:
    lead = np.array([[0.0, -0.3]])
    assert mixture_weights(np.repeat(lead, 3, 0), [1, 1])[0] < 0.6
    assert mixture_weights(np.repeat(lead, 3000, 0), [1, 1])[0] > 0.98
    assert mixture_weights(np.repeat(lead, 3000, 0), [1, 3])[0] > 0.98
    assert mixture_weights(np.array([[-800.0, -np.inf], [-900.0, -950.0]]), [1, 1])[0] > 0.7
    assert mixture_weights(np.zeros((5, 1)), [1]).tolist() == [1.0]


def test_every_network_counts_the_same_before_a_label_is_seen() -> None:
    assert mixture_weights(np.zeros((5, 2)), [3, 1]) == pytest.approx([0.75, 0.25], abs=0.02)
    arrays, scale = _gaussian(700), mean_and_std(_gaussian(700).x_train)
    candidates = {name: _configuration(name) for name in ("vri", "learned_transition", "elr")}
    candidates["learned_transition"] = replace(candidates["learned_transition"], networks=3)
    choice = choose_method(candidates, arrays, _split(arrays), scale)  # 275 noisy labels: no comparison
    assert choice.weights == {"vri": 0.25, "learned_transition": 0.75, "elr": 0.0}


def test_methods_of_little_weight_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, configuration = _gaussian(2900), _configuration("elr")
    fits = iter([HeldOutFit(np.full(400, low), 0.5) for low in (-1.0, -1.2, -3.0)])
    monkeypatch.setattr("vri_pyro.runs.method_choice.fit_held_out", lambda *a, **k: next(fits))
    candidates = dict.fromkeys(("second", "first", "third"), configuration)
    choice = choose_method(candidates, arrays, _split(arrays), mean_and_std(arrays.x_train))
    assert choice.chosen == ["second"]
    assert choice.weights == {"second": 1.0, "first": 0.0, "third": 0.0}
    assert choice.scales == pytest.approx(dict.fromkeys(candidates, 0.5))


def test_score_is_the_mean_over_the_held_out_parts_and_the_test_set_plays_no_part() -> None:
    arrays, scale = _gaussian(1000), mean_and_std(_gaussian(1000).x_train)
    split, configuration = _split(arrays), replace(_configuration("elr"), epochs=2)
    choice = choose_method({"elr": configuration}, arrays, split, scale)
    quiet = replace(configuration, evaluate_every=2)
    untested = replace(arrays, x_test=None, y_test=None)
    parts = [fit_held_out(quiet, untested, part, scale, scaled=True) for part in held_out_parts(split)]
    assert len(parts) == 3
    assert choice.scores["elr"] == np.concatenate([part.log_likelihood for part in parts]).mean()
    assert choice.scales["elr"] == pytest.approx(np.prod([part.scale for part in parts]) ** (1 / 3))


def test_held_out_parts_are_disjoint_shares_of_the_noisy_labels() -> None:
    arrays = _gaussian(1000)
    split = _split(arrays)
    parts = list(held_out_parts(split))
    held_out = np.concatenate([part.validation_indices for part in parts])
    assert len(np.unique(held_out)) == len(held_out) == 3 * int(0.15 * len(split.noisy_indices))
    for part in parts:
        assert np.array_equal(np.sort(np.r_[part.noisy_indices, part.validation_indices]), split.noisy_indices)
    (only,) = held_out_parts(_split(_gaussian(2900)))
    assert len(only.validation_indices) == int(0.15 * 2475)


def test_scaling_of_the_logits_can_only_raise_the_likelihood() -> None:
    arrays, scale = _gaussian(1000), mean_and_std(_gaussian(1000).x_train)
    part, configuration = next(held_out_parts(_split(arrays))), _configuration("elr")
    unscaled, scaled = (fit_held_out(configuration, arrays, part, scale, scaled=s) for s in (False, True))
    assert scaled.log_likelihood.mean() > unscaled.log_likelihood.mean()
    assert unscaled.scale == 1.0 != scaled.scale


@pytest.mark.filterwarnings(UNTRUSTED)
def test_the_estimator_weighs_methods_that_its_labels_allow() -> None:
    arrays = _gaussian(1000)
    options: dict[str, Any] = {"epochs": 1, "backbone": partial(MLP, hidden=())}
    with_trusted = VRIClassifier(**options).fit(arrays.x_train, arrays.y_train, trusted=range(50))
    without = VRIClassifier(**options).fit(arrays.x_train, arrays.y_train)
    assert with_trusted.method_choice_ is not None
    assert without.method_choice_ is not None
    assert list(with_trusted.method_choice_.weights) == ["vri", "learned_transition", "elr"]
    assert list(without.method_choice_.weights) == ["learned_transition", "elr"]
    for classifier in (with_trusted, without):
        assert sum(classifier.method_choice_.weights.values()) == pytest.approx(1)
        assert classifier.method_ == classifier.method_choice_.chosen[0]


def test_the_estimator_predicts_with_the_weighted_mean_of_its_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, weights, scales = _gaussian(1000), {"vri": 0.25, "elr": 0.75}, {"vri": 0.5, "elr": 2.0}
    choice = MethodChoice({"learned_transition": 0.0} | weights, {"learned_transition": 1.0} | scales, {})
    monkeypatch.setattr("vri_pyro.estimator.choose_method", lambda *arguments: choice)
    x, y, trusted = arrays.x_train, arrays.y_train, range(50)
    options: dict[str, Any] = {"epochs": 1, "backbone": partial(MLP, hidden=(8,))}
    mixed = VRIClassifier(**options).fit(x, y, trusted=trusted)
    expected = np.zeros((400, 5))
    for name, weight in weights.items():
        method: Any = name if name == "vri" else ELR(clean_weight=0.2)
        alone = VRIClassifier(method, **options).fit(x, y, trusted=trusted).predict_proba(arrays.x_test)
        raised = alone ** scales[name]
        expected += weight * raised / raised.sum(1, keepdims=True)
    np.testing.assert_allclose(mixed.predict_proba(arrays.x_test), expected, rtol=1e-4, atol=1e-6)
    assert mixed.method_ == "elr"
    assert mixed.run_.predictor.feature_dim == 16
    restored = pickle.loads(pickle.dumps(mixed))
    np.testing.assert_array_equal(restored.predict_proba(arrays.x_test), mixed.predict_proba(arrays.x_test))
    # label issues and calibration judge by the same mixture
    held_out = mixed._evidence.trusted.only_held_out()
    known = mixed.run_.split.held_out
    np.testing.assert_allclose(held_out.logits.softmax(-1).numpy(), mixed.predict_proba(x[known]), atol=1e-5)


@pytest.mark.filterwarnings(UNTRUSTED)
def test_nothing_is_compared_if_a_method_is_given_or_labels_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("vri_pyro.runs.method_choice.fit_held_out")
    arrays = _gaussian(700)
    given = VRIClassifier("elr", epochs=1).fit(arrays.x_train, arrays.y_train)
    assert (given.method_choice_, given.method_) == (None, "elr")
    few = VRIClassifier(epochs=1, backbone=partial(MLP, hidden=()))
    few.fit(arrays.x_train, arrays.y_train, trusted=range(25))  # 275 others
    assert few.method_choice_ is not None
    assert few.method_choice_.weights == {"vri": 0.25, "learned_transition": 0.75, "elr": 0.0}
    assert few.method_ == "learned_transition"
    untrusted = VRIClassifier(epochs=1, backbone=partial(MLP, hidden=())).fit(arrays.x_train, arrays.y_train)
    assert untrusted.method_choice_ is not None
    assert untrusted.method_choice_.weights == {"learned_transition": 1.0, "elr": 0.0}
    assert untrusted.method_ == "learned_transition"
