"""Prediction sets: their guarantee by simulation, against MAPIE, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vri_pyro.calibration import HeldOut, OrderedScores, PredictionSets, conformity_scores, prediction_sets
from vri_pyro.utils.errors import UserError

from .problems import coverage_of, noisy, pairs, predicted

NEW, TRUE = predicted(np.random.default_rng(9), 20_000)


def _trusted(count: int = 100, seed: int = 0, **options: Any) -> HeldOut:
    return HeldOut(*predicted(np.random.default_rng(seed), count, **options))


@pytest.mark.parametrize("options", [{}, {"score": "aps", "randomise": True}])
def test_coverage_over_calibrations_has_the_beta_distribution_of_the_theory(options: dict[str, Any]) -> None:
    found = [
        coverage_of(prediction_sets(_trusted(99, seed), 0.9, allow_empty=True, seed=seed, **options)(NEW), TRUE)
        for seed in range(300)
    ]
    assert stats.kstest(found, stats.beta(90, 10).cdf).pvalue > 0.01


def test_the_band_is_the_quantiles_of_that_distribution() -> None:
    sets = prediction_sets(_trusted(99), 0.9)
    assert sets.band(0.8) == pytest.approx(stats.beta(90, 10).ppf([0.1, 0.9]))


def test_sets_are_those_of_a_reference_written_out() -> None:
    held_out = _trusted(57)
    own = sorted(1 - row[label] for row, label in zip(held_out.probabilities, held_out.labels, strict=True))
    threshold = own[math.ceil(58 * 0.8) - 1]
    found = prediction_sets(held_out, 0.8, allow_empty=True)(NEW[:500])
    assert np.array_equal(found, 1 - NEW[:500] <= threshold)


def _overconfident(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Classifier of four classes that is right for 85% of the inputs, and sure of itself for all: down to 1e-17."""
    generator = np.random.default_rng(seed)
    true = generator.integers(4, size=count)
    logits = generator.uniform(-39, -10, (count, 4))
    right = generator.random(count) < 0.85
    logits[np.arange(count), np.where(right, true, (true + 1 + generator.integers(3, size=count)) % 4)] = 0
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True), true


def _left(row: np.ndarray, score: str) -> list[float]:
    """One minus the score of each class: its probability, or that of all less probable classes."""
    return row.tolist() if score == "lac" else [math.fsum(row[row < p]) for p in row]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("score", ["lac", "aps"])
def test_sets_of_an_overconfident_classifier_are_those_of_a_reference_written_out(
    score: str, coverage: float, dtype: Any
) -> None:
    p, labels = _overconfident(0, 200)
    new, true = (part[:2000] for part in _overconfident(1, 2000))
    p, new = p.astype(dtype), new.astype(dtype)
    own = sorted((_left(row, score)[label] for row, label in zip(p, labels, strict=True)), reverse=True)
    least = own[math.ceil(201 * coverage) - 1]
    expected = np.array([[left >= least for left in _left(row, score)] for row in new])
    expected[np.arange(2000), new.argmax(1)] = True
    sets = prediction_sets(HeldOut(p, labels), coverage, score=score)
    found = sets(new)
    assert (found != expected).mean() < 1e-3  # up to the rounding of logits
    assert coverage_of(found, true) > sets.band(0.999)[0]


@pytest.mark.parametrize("options", [{}, {"score": "aps", "randomise": True}])
@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_coverage_of_an_overconfident_classifier_has_the_distribution_of_the_theory(
    options: dict[str, Any], coverage: float
) -> None:
    new, true = _overconfident(1, 10_000)
    found = [
        coverage_of(
            prediction_sets(HeldOut(*_overconfident(seed, 99)), coverage, allow_empty=True, seed=seed, **options)(new),
            true,
        )
        for seed in range(1000, 1200)
    ]
    rank = math.ceil(100 * coverage)
    assert stats.kstest(found, stats.beta(rank, 100 - rank).cdf).pvalue > 0.01


def test_sets_of_tied_probabilities_do_not_depend_on_rounding() -> None:
    """Probabilities with few values, as those of a decision tree, whose sums are rounded."""
    generator = np.random.default_rng(0)
    leaves = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.3, 0.3, 0.3], [1 / 3, 1 / 3, 1 / 3, 0]])
    for score in ("lac", "aps"):
        shares = []
        for _ in range(200):
            p = leaves[generator.integers(3, size=1099)]
            true = (generator.random(len(p))[:, None] > p.cumsum(1)).sum(1).clip(max=3)
            sets = prediction_sets(HeldOut(p[:99], true[:99]), 0.9, score=score)
            again = sets(p[99:].astype(np.float32))
            assert np.array_equal(sets(p[99:]), again)
            shares.append(coverage_of(again, true[99:]))
        assert np.mean(shares) > 0.9


def test_most_sets_with_all_classes_are_a_warning() -> None:
    p, labels = _overconfident(0, 200)
    assert prediction_sets(HeldOut(p, labels), 0.9).warning("abcd") is None
    sets = prediction_sets(HeldOut(p, labels), 0.99, score="aps")
    share = sets(p).all(1).mean()
    assert share > 0.5
    assert sets.warning("abcd") == (
        f"{share:.0%} of the held-out examples have a set of all 4 classes, which excludes nothing: ask for less "
        "coverage, use the score 'lac', or train a better classifier."
    )


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("score", ["lac", "aps"])
def test_sets_are_those_of_mapie(score: str, coverage: float) -> None:
    mapie = pytest.importorskip("mapie.classification")
    held_out, new = _trusted(83), NEW[:400]

    class Predicted:
        """A classifier of scikit-learn whose inputs are the probabilities."""

        classes_ = np.arange(4)
        fit_ = True
        n_features_in_ = 4

        def fit(self, x: np.ndarray, y: np.ndarray) -> Predicted:
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return x.argmax(1)

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return x

        def __sklearn_is_fitted__(self) -> bool:
            return True

    theirs = mapie.SplitConformalClassifier(
        Predicted(), confidence_level=coverage, conformity_score=score, prefit=True, random_state=3
    ).conformalize(held_out.probabilities, held_out.labels)
    options = {} if score == "lac" else {"conformity_score_params": {"include_last_label": "randomized"}}
    expected = theirs.predict_set(new, **options)[1][..., 0]
    if score == "lac":
        found = prediction_sets(held_out, coverage, allow_empty=True)(new)
    else:  # with MAPIE's random numbers
        at, to = (1 - np.random.RandomState(3).uniform(size=len(rows)) for rows in (held_out.labels, new))
        own = conformity_scores(held_out.probabilities, score, at)[np.arange(83), held_out.labels, None]
        threshold = OrderedScores(own).threshold(np.ones((83, 1)), coverage).value
        found = conformity_scores(new, score, to) <= threshold
    assert np.array_equal(found, expected)


def test_a_set_has_at_least_the_most_probable_class_unless_it_may_be_empty() -> None:
    held_out = _trusted(200, distance=4.0)
    new, true = predicted(np.random.default_rng(1), 5000, distance=4.0)
    some = prediction_sets(held_out, 0.8, allow_empty=True)(new)
    assert coverage_of(some, true) == pytest.approx(0.8, abs=0.1)
    assert (some.sum(1) == 0).any()
    filled = prediction_sets(held_out, 0.8)(new)
    assert (filled.sum(1) >= 1).all()
    assert np.array_equal(filled[some.any(1)], some[some.any(1)])


def test_thresholds_by_class_give_each_class_the_coverage() -> None:
    generator = np.random.default_rng(0)
    skew = np.array([0.7, 0.1, 0.1, 0.1])
    shares = {False: [], True: []}  # type: dict[bool, list[list[float]]]
    for _ in range(100):
        p, true = predicted(generator, 600)
        p = p * skew / (p * skew).sum(1, keepdims=True)  # a classifier that favours the first class
        for by_class, found in shares.items():
            sets = prediction_sets(HeldOut(p[:300], true[:300]), 0.9, by_class=by_class, allow_empty=True)(p[300:])
            found.append([coverage_of(sets[true[300:] == k], true[300:][true[300:] == k]) for k in range(4)])
    marginal, conditional = (np.mean(shares[by_class], axis=0) for by_class in (False, True))
    assert marginal[0] > 0.95
    assert marginal[1:].max() < 0.9
    assert conditional.min() > 0.89
    assert conditional.max() < 0.93


def test_classes_with_too_few_labels_share_a_threshold() -> None:
    p, true = predicted(np.random.default_rng(0), 400)
    few = np.concatenate([np.flatnonzero(true == k)[:size] for k, size in enumerate((50, 50, 6, 6))])
    sets = prediction_sets(HeldOut(p[few], true[few]), 0.9, by_class=True)
    assert sets.pooled == (2, 3)
    assert sets.thresholds[2] == sets.thresholds[3] < math.inf
    assert sets.warning("abcd") == (
        "2 classes have too few held-out labels for a threshold of their own (c, d): they share one, so the "
        "coverage holds for them together only."
    )
    few = few[true[few] != 3]
    sets = prediction_sets(HeldOut(p[few], true[few]), 0.9, by_class=True)
    assert math.isinf(sets.thresholds[2])
    assert "they belong to every set" in str(sets.warning("abcd"))
    assert sets(p)[:, 2:].all()


def test_sets_do_not_depend_on_the_batches() -> None:
    sets = prediction_sets(_trusted(), 0.9, score="aps", randomise=True, seed=4)
    of_batch = sets.for_batches()
    parts = [of_batch(NEW[start : start + 7]) for start in range(0, 100, 7)]
    assert np.array_equal(np.concatenate(parts)[:100], sets(NEW[:105])[:100])


def test_deterministic_aps_covers_more_than_randomised() -> None:
    held_out = _trusted(500)
    sizes = [prediction_sets(held_out, 0.8, score="aps", randomise=r)(NEW).sum(1).mean() for r in (False, True)]
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("options", [{}, {"score": "aps", "randomise": True}, {"by_class": True}])
def test_noisy_labels_without_noise_are_trusted_labels(options: dict[str, Any]) -> None:
    trusted = _trusted(200)
    known = HeldOut(trusted.probabilities, trusted.labels, np.eye(4))
    ours, theirs = prediction_sets(known, 0.9, **options), prediction_sets(trusted, 0.9, **options)
    assert np.array_equal(ours.thresholds, theirs.thresholds)
    np.testing.assert_allclose(ours.labels, theirs.labels)


def _by_noisy_labels(count: int, repeats: int, transition: np.ndarray, **options: Any) -> list[PredictionSets]:
    found = []
    for seed in range(repeats):
        generator = np.random.default_rng(seed)
        p, true = predicted(generator, count)
        found.append(prediction_sets(HeldOut(p, noisy(generator, true, transition), transition), 0.9, **options))
    return found


def test_noisy_labels_give_sets_that_cover_the_true_classes() -> None:
    """In the mean over calibrations as asked for, with the stated spread, and smaller than the naive sets."""
    transition, empty = pairs(4, 0.4), {"allow_empty": True}
    fitted = _by_noisy_labels(1000, 200, transition, **empty)
    found = np.array([coverage_of(sets(NEW), TRUE) for sets in fitted])
    error = found.std() / math.sqrt(len(found))
    assert 0.9 - 2 * error < found.mean() < 0.92
    expected = np.mean([math.sqrt(0.09 / sets.labels[0]) for sets in fitted])
    assert found.std() == pytest.approx(expected, rel=0.25)
    generator = np.random.default_rng(0)
    p, true = predicted(generator, 1000)
    naive = prediction_sets(HeldOut(p, noisy(generator, true, transition)), 0.9, **empty)(NEW)
    assert coverage_of(naive, TRUE) > 0.95
    assert naive.sum(1).mean() > np.mean([sets(NEW).sum(1).mean() for sets in fitted]) + 0.5


def test_noisy_labels_give_each_class_its_coverage() -> None:
    fitted = _by_noisy_labels(2000, 60, pairs(4, 0.2), by_class=True, allow_empty=True)
    for number in range(4):
        members = np.flatnonzero(number == TRUE)
        found = [coverage_of(sets(NEW[members]), TRUE[members]) for sets in fitted]
        assert 0.89 < np.mean(found) < 0.93


def test_frequencies_correct_for_labels_drawn_in_equal_numbers() -> None:
    transition = np.array([[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    generator = np.random.default_rng(0)
    p, true = predicted(generator, 40_000)
    p[true == 1] = p[true == 1][:, [1, 0, 2, 3]]  # the classifier is bad at one class
    given = noisy(generator, true, transition)
    balanced = np.concatenate([np.flatnonzero(given == k)[:4000] for k in range(4)])
    shares = np.bincount(given) / len(given)
    held_out = HeldOut(p[balanced], given[balanced], transition, shares)
    assert coverage_of(prediction_sets(held_out, 0.8, allow_empty=True)(p), true) == pytest.approx(0.8, abs=0.015)
    without = HeldOut(p[balanced], given[balanced], transition)
    assert coverage_of(prediction_sets(without, 0.8, allow_empty=True)(p), true) < 0.7


def test_sets_widen_with_the_uncertainty_of_the_transition_matrix() -> None:
    generator = np.random.default_rng(0)
    p, true = predicted(generator, 2000)
    given = noisy(generator, true, pairs(4, 0.3))
    draws = np.stack([pairs(4, rate) for rate in np.linspace(0.2, 0.4, 21)])
    known = prediction_sets(HeldOut(p, given, pairs(4, 0.3)), 0.9).thresholds[0]
    unsure = HeldOut(p, given, draws)
    wide = prediction_sets(unsure, 0.9).thresholds[0]
    assert wide > known
    assert prediction_sets(unsure, 0.9, over_draws=1.0).thresholds[0] >= wide
    assert prediction_sets(unsure, 0.9, over_draws=0.5).thresholds[0] == pytest.approx(known, abs=0.05)


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 90, math.nan, math.inf])
def test_a_coverage_out_of_range_is_refused(coverage: float) -> None:
    with pytest.raises(UserError, match=r"coverage is .*; expected a.* value in \(0, 1\), such as 0.9$"):
        prediction_sets(_trusted(), coverage)


def test_other_bad_options_are_refused() -> None:
    with pytest.raises(TypeError, match=r"coverage is 'high'; expected a number, such as 0.9"):
        prediction_sets(_trusted(), "high")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="score is 'raps'; expected one of 'lac', 'aps'"):
        prediction_sets(_trusted(), score="raps")
    with pytest.raises(UserError, match="randomise is set but the score is 'lac'"):
        prediction_sets(_trusted(), randomise=True)
    with pytest.raises(UserError, match=r"over_draws is 0; expected a value in \(0, 1\]"):
        prediction_sets(_trusted(), over_draws=0)
    with pytest.raises(UserError, match=r"probabilities has shape \[3, 2\]; expected \[N, 4\], one column per class"):
        prediction_sets(_trusted())(np.full((3, 2), 0.5))


def test_too_few_trusted_labels_are_refused_with_the_number_needed() -> None:
    with pytest.raises(UserError) as caught:
        prediction_sets(_trusted(8), 0.9)
    assert str(caught.value) == (
        "prediction sets with coverage 0.9 need at least 9 trusted labels held out of training, but there are 8; hold "
        "out more, or ask for a coverage of at most 0.889"
    )
    assert prediction_sets(_trusted(9), 0.9).thresholds.max() < math.inf
    with pytest.raises(UserError, match="need at least 9 trusted labels of a class held out of training, but there"):
        prediction_sets(_trusted(12), 0.9, by_class=True)


@pytest.mark.parametrize("transition", [pairs(4, 0.5), np.full((4, 4), 0.25), pairs(4, 0.49)])
def test_noise_that_hides_the_classes_is_refused(transition: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    p, true = predicted(generator, 100)
    with pytest.raises(UserError, match=r"^100 noisy labels and this transition matrix tell less about the coverage"):
        prediction_sets(HeldOut(p, noisy(generator, true, transition), transition), 0.9)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            (np.empty((0, 3)), np.empty(0, int)),
            r"probabilities has shape \[0, 3\]; expected \[n, K\] with at least one",
        ),
        ((np.ones((2, 3)), np.zeros(2, int)), "the rows of probabilities are not probabilities"),
        ((np.full((2, 2), np.nan), np.zeros(2, int)), "the rows of probabilities are not probabilities"),
        ((np.full((2, 2), 0.5), np.zeros(3, int)), "labels has 3 labels for 2 examples"),
        ((np.full((2, 2), 0.5), np.full(2, 7)), "labels"),
        ((np.full((2, 2), 0.5), np.zeros(2, int), np.eye(3)), r"transition has shape \[3, 3\]; expected \[2, 2\] or"),
        ((np.full((2, 2), 0.5), np.zeros(2, int), np.ones((2, 2))), "the rows of transition are not probabilities"),
        ((np.full((2, 2), 0.5), np.zeros(2, int), np.eye(2), np.array([1.0, -1.0])), r"frequencies is \[1.0, -1.0\]"),
    ],
)
def test_held_out_labels_that_do_not_fit_are_refused(arguments: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        HeldOut(*arguments)


def test_the_sentence_names_labels_coverage_and_assumptions() -> None:
    assert prediction_sets(_trusted(99), 0.9).told == (
        "The sets contain the true class of at least 90% of new inputs, in the mean over calibrations. This one used "
        "99 trusted labels held out of training; in 95% of calibrations with as many, the coverage is between 83.4% "
        "and 95.0%, or above. It holds if new inputs are like these examples, with classes as frequent."
    )
    p, true = predicted(np.random.default_rng(0), 500)
    told = prediction_sets(HeldOut(p, true, pairs(4, 0.1)), 0.9, by_class=True).told
    assert told.startswith(
        "The sets asymptotically contain the true class of at least 90% of new inputs, of each class"
    )
    assert "which say as much about the coverage of the class with the fewest as" in told
    assert told.endswith("labels depend on the input only through its class, and the transition matrix is right.")
