"""The method that VRIClassifier chooses from the data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP
from vri_pyro.data import Arrays, Flip, NoNoise, Split, make_split, mean_and_std
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.held_out import held_out_likelihood, held_out_parts
from vri_pyro.runs.method_choice import choose_method
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


def test_a_method_that_models_the_noise_is_chosen_if_there_is_noise() -> None:
    arrays = _gaussian(2900)
    candidates = {name: _configuration(name) for name in ("cross_entropy", "learned_transition")}
    choice = choose_method(candidates, arrays, _split(arrays), mean_and_std(arrays.x_train))
    assert choice.chosen == "learned_transition"
    assert choice.scores["learned_transition"] > choice.scores["cross_entropy"] + 0.02


def test_the_first_candidate_is_chosen_unless_another_is_better_by_a_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrays, rises = _gaussian(2900), np.tile([0.0, 1.0], 50)
    configuration = _configuration("elr")
    for shift, chosen in ((-0.46, "first"), (-0.44, "second")):  # the mean is 0.5 + shift, its standard error 0.05
        likelihoods = iter([np.zeros(100), rises + shift])
        monkeypatch.setattr("vri_pyro.runs.method_choice.held_out_likelihood", lambda *a, **k: next(likelihoods))  # noqa: B023
        candidates = {"first": configuration, "second": configuration}
        assert choose_method(candidates, arrays, _split(arrays), mean_and_std(arrays.x_train)).chosen == chosen


def test_score_is_the_mean_over_the_held_out_parts_and_the_test_set_plays_no_part() -> None:
    arrays, scale = _gaussian(1000), mean_and_std(_gaussian(1000).x_train)
    split, configuration = _split(arrays), replace(_configuration("elr"), epochs=2)
    scored = choose_method({"elr": configuration}, arrays, split, scale).scores["elr"]
    quiet = replace(configuration, evaluate_every=2)
    untested = replace(arrays, x_test=None, y_test=None)
    parts = [held_out_likelihood(quiet, untested, part, scale, scaled=True) for part in held_out_parts(split)]
    assert len(parts) == 3
    assert scored == np.concatenate(parts).mean()


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
    unscaled, scaled = (held_out_likelihood(configuration, arrays, part, scale, scaled=s) for s in (False, True))
    assert scaled.mean() > unscaled.mean()


@pytest.mark.filterwarnings(UNTRUSTED)
def test_the_estimator_chooses_between_methods_that_its_labels_allow() -> None:
    arrays = _gaussian(1000)
    options: dict[str, Any] = {"epochs": 1, "backbone": partial(MLP, hidden=())}
    with_trusted = VRIClassifier(**options).fit(arrays.x_train, arrays.y_train, trusted=range(50))
    without = VRIClassifier(**options).fit(arrays.x_train, arrays.y_train)
    assert with_trusted.method_choice_ is not None
    assert without.method_choice_ is not None
    assert list(with_trusted.method_choice_.scores) == ["learned_transition", "vri", "elr"]
    assert list(without.method_choice_.scores) == ["learned_transition", "elr"]
    for classifier in (with_trusted, without):
        assert classifier.method_ == classifier.method_choice_.chosen


@pytest.mark.filterwarnings(UNTRUSTED)
def test_nothing_is_chosen_if_a_method_is_given_or_labels_are_few() -> None:
    arrays = _gaussian(700)
    given = VRIClassifier("elr", epochs=1).fit(arrays.x_train, arrays.y_train)
    assert (given.method_choice_, given.method_) == (None, "elr")
    few = VRIClassifier(epochs=1, backbone=partial(MLP, hidden=()))
    few.fit(arrays.x_train, arrays.y_train, trusted=range(25))  # 275 others
    assert (few.method_choice_, few.method_) == (None, "vri")
