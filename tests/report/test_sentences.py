"""The sentences of the report are correct, explained, and omitted where they do not apply."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from vri_pyro.certification import equivalent_checks
from vri_pyro.diagnostics.calibration import calibration
from vri_pyro.diagnostics.collapse import Collapse
from vri_pyro.report import Drawing, Part, SeenRun, render
from vri_pyro.report.calibrated import BOTH, calibrated, side
from vri_pyro.report.confusions import confusions
from vri_pyro.report.figures import reliability
from vri_pyro.report.labels import labels
from vri_pyro.report.posterior import posterior
from vri_pyro.report.seen import POINT, SCALED
from vri_pyro.report.training import training
from vri_pyro.training.run_folder import RunFolder


def whole(part: Part | None) -> Part:
    assert part is not None
    return part


def collapsed(seen: SeenRun, site: str, **measures: Any) -> tuple[str, str]:
    """Return the verdict on a latent without collapse, except for the given measures."""
    judged = seen.posterior
    assert judged is not None
    well = {"posterior_std": 1.0, "kl": 1.0, "label_share": 0.5}
    found = replace(judged.collapse[site], **(well | measures))
    seen.__dict__["posterior"] = replace(judged, collapse={site: found})
    return whole(posterior(seen)).findings[0]


def test_label_that_is_ignored_is_ignored_by_the_latent_named() -> None:
    gate = Collapse("gate", 1.0, 1.0, 1.0, 1.0, np.ones(1), 0.0, 1, 0.0063)
    assert gate.verdict == "ignores the label: the label explains 0.63% of the variance of gate, below 1%"


@pytest.mark.parametrize(
    ("measures", "meaning"),
    [
        ({"posterior_std": 0.01}, "acts as a point estimate"),
        ({"kl": 0.04}, "carries no information beyond the prior"),
        ({"label_share": 0.001}, "is nearly the same for every given label"),
    ],
)
def test_collapse_is_poor_only_for_the_vector_and_is_explained(
    seen: SeenRun, measures: dict[str, float], meaning: str
) -> None:
    level, words = collapsed(seen, "v", **measures)
    assert level == "poor"
    assert words.endswith(f"(mean of 200 examples). It {meaning}; the accuracy above remains valid.")
    del seen.posterior
    level, words = collapsed(seen, "gate", **measures)
    assert level == "note"
    assert (
        f"The posterior of this scalar latent {meaning}, which is not a cause for concern; the accuracy above" in words
    )


def test_latents_without_collapse_are_good(seen: SeenRun) -> None:
    for site in ("v", "gate"):
        level, words = collapsed(seen, site)
        assert (level, words[-24:]) == ("good", " (mean of 200 examples).")
        del seen.posterior


def test_the_two_kl_divergences_of_a_latent_have_different_names(seen: SeenRun) -> None:
    part, judged = whole(posterior(seen)), seen.posterior
    assert judged is not None
    told = dict(part.facts)
    assert told["KL of v, last epoch"] == f"{seen.rows[-1]['kl/v']:.2f} nats"
    assert told["KL of v, after training"] == f"{judged.collapse['v'].kl:.2f} nats"
    assert "are computed after training, on 200 noisy examples" in part.notes[0]


def test_kind_of_validation_examples_is_stated(seen: SeenRun) -> None:
    count = len(seen.run.split.validation_indices)
    assert dict(training(seen).facts)["validation examples"] == f"{count} (clean labels)"
    seen.run.split = replace(seen.run.split, validation_from="noisy")
    part = training(seen)
    assert dict(part.facts)["validation examples"] == f"{count} (some labels may be wrong)"
    assert "clean" not in part.about
    seen.run.split = replace(seen.run.split, validation_from="clean", verified=False)
    assert dict(training(seen).facts)["validation examples"] == f"{count} (some labels may be wrong)"
    none = np.zeros(0, np.int64)
    seen.run.split = replace(seen.run.split, validation_indices=none, validation_labels=none)
    assert dict(training(seen).facts)["validation examples"] == "none"


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (
            85.0,
            "The test accuracy of the last epoch is 5.0 points lower than that of epoch 4, the best on the validation "
            "set: use the best checkpoint.",
        ),
        (81.5, None),
        (
            75.9,
            "The test accuracy of epoch 4, the best on the validation set, is 4.1 points lower than that of the last "
            "epoch: use the last checkpoint",
        ),
    ],
)
def test_difference_of_chosen_and_last_epoch_is_stated_in_both_directions(
    seen: SeenRun, chosen: float, words: str | None
) -> None:
    seen.results = {"last": 80.0, "last_10": 80.0, "chosen": chosen, "chosen_epoch": 3}
    told = [verdict for verdict in training(seen).verdicts if verdict.level == "fair"]
    assert len(told) == (words is not None)
    assert words is None or told[0].words.startswith(words)


def test_table_of_labels_is_mentioned_as_existing_only_if_it_exists(seen: SeenRun, tmp_path: Path) -> None:
    seen.run.folder.label_issues = tmp_path / "label_issues.csv"
    assert (
        "To write all noisy labels to label_issues.csv, run vri-pyro issues on the run folder." in labels(seen).notes[0]
    )
    seen.run.folder.label_issues.touch()
    assert labels(seen).notes[0].endswith("The file label_issues.csv in the run folder lists all noisy labels.")


def test_no_suspects_are_announced_if_no_label_is_suspicious(seen: SeenRun) -> None:
    assert labels(seen).notes[0].startswith("These labels are the most likely to be wrong: ")
    assert "At most 3 are shown of each pair of given and suggested class." in labels(seen).notes[0]
    seen.__dict__["issues"] = replace(seen.issues, suggested=seen.issues.given)
    part = labels(seen)
    assert part.suspects == []
    assert part.notes[0].startswith("No example is more likely to belong to another class than to its given class.")


def predicts(seen: SeenRun, logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Replace the predictions for the test set."""
    for name in ("predicted_under_prior", "calibrations"):
        seen.__dict__.pop(name, None)
    seen.__dict__["predicted_under_prior"] = None
    seen.__dict__["predicted"] = logits, labels


def part_about(seen: SeenRun, right: float, margin: float = 2.0, count: int = 1000) -> Part:
    """Return the section on calibration if a share ``right`` of ``count`` predictions is correct."""
    truth = torch.arange(count) % 10
    wrong = torch.arange(count) >= right * count
    predicts(seen, margin * one_hot((truth + wrong) % 10, 10).double(), truth)
    return whole(calibrated(seen))


def test_classifier_at_chance_is_not_called_well_calibrated(seen: SeenRun) -> None:
    for right in (0.0, 0.1, 0.11):
        part = part_about(seen, right, margin=0.1)
        level, words = part.verdicts[0]
        assert level == "poor"
        assert words.startswith(
            f"The classifier is at chance level: its accuracy on the 1000 test examples is {right:.1%}"
        )
        assert words.endswith("have an expected accuracy of 10.0%.")
        assert part.headline == [("calibration error", "cannot tell", "the classifier is at chance level")]
    assert part_about(seen, 0.14, margin=0.5).verdicts[0].words.startswith("The classifier is well calibrated")


@pytest.mark.parametrize(
    ("decided", "truth", "at_chance"),
    [
        ([0] * 950 + [1] * 50, [0] * 950 + [1] * 50, False),  # all correct
        ([0] * 880 + [1] * 120, [0] * 880 + [1] * 65 + [0] * 10 + [1] * 45, False),  # a rare class, mostly found
        ([0] * 1000, [0] * 950 + [1] * 50, True),  # never the rare class
        ([0, 1, 0, 1], [0, 1, 0, 1], False),  # few, all correct
        ([0] * 9 + [1], [0] * 10, False),  # a single class, where the test is undefined
    ],
)
def test_classifier_that_finds_a_rare_class_is_not_at_chance(
    seen: SeenRun, decided: list[int], truth: list[int], at_chance: bool
) -> None:
    predicts(seen, one_hot(torch.tensor(decided), 10).double() * 5, torch.tensor(truth))
    assert ("at chance level" in whole(calibrated(seen)).verdicts[0].words) == at_chance


def sampled(confidence: np.ndarray, right: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with the given confidences in one of two classes in turn, and labels with which some are right."""
    p, predicted = torch.tensor(confidence).clamp(0.501, 0.999), torch.arange(len(confidence)) % 2
    logits = torch.where(one_hot(predicted, 2).bool(), p.log()[:, None], (1 - p).log()[:, None])
    return logits, torch.where(torch.tensor(right), predicted, 1 - predicted)


@given(
    bins=st.lists(st.tuples(st.floats(0.51, 0.99), st.floats(0, 1), st.integers(5, 400)), min_size=1, max_size=6),
    temperature=st.floats(0.2, 5),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_words_of_the_calibration_verdict_agree_with_its_numbers(
    seen: SeenRun, monkeypatch: pytest.MonkeyPatch, bins: list[tuple[float, float, int]], temperature: float
) -> None:
    monkeypatch.setattr("vri_pyro.report.calibrated.reliability", lambda found: Drawing("", ""))  # which takes long
    confidence = np.concatenate([np.full(count, c) for c, _, count in bins])
    right = np.concatenate([np.arange(count) < round(accuracy * count) for _, accuracy, count in bins])
    predicts(seen, *sampled(confidence, right))
    seen.__dict__["temperature"] = temperature
    part = whole(calibrated(seen))
    (level, words), tile, found = part.verdicts[0], part.headline[0], seen.calibrations[POINT]
    if tile.value == "cannot tell":
        assert "at chance level" in words or "cannot be told" in words
        return
    assert tile.value == f"{found.ece:.1%}"
    assert f"The expected calibration error is {found.ece:.1%}" in words
    assert ("well calibrated" in words) == (level == "good") == (found.ece <= 0.05)
    if "is overconfident" in words:
        assert found.confidence > found.accuracy
    if "is underconfident" in words:
        assert found.confidence < found.accuracy
    if BOTH in words:
        assert 0.2 < found.overconfidence / found.ece < 0.8
    if "Dividing the logits" in words:
        assert found.ece - seen.calibrations[SCALED].ece >= 0.02
        assert seen.calibrations[SCALED].nll < found.nll
        assert ("is underconfident" if temperature > 1 else "is overconfident") not in words


def test_errors_that_cancel_in_the_mean_confidence_are_named_as_both(seen: SeenRun) -> None:
    # 300 predictions with confidence 0.6, of which 90% are correct, and 300 with 0.9, of which 60% are correct
    confidence, right = np.repeat([0.6, 0.9], 300), np.tile(np.arange(300), 2) < np.repeat([270, 180], 300)
    predicts(seen, *sampled(confidence, right))
    level, words = whole(calibrated(seen)).verdicts[0]
    assert level == "poor"
    assert words.startswith(
        "The classifier is over- and underconfident in different ranges: its mean confidence is 75.0% and its accuracy "
        "is 75.0%. The expected calibration error is 30.0% (good up to 5%, fair up to 10%). "
        "Over- and underconfidence partly cancel in the mean confidence."
    )


def test_calibration_of_few_examples_cannot_be_told(seen: SeenRun) -> None:
    right = np.arange(30) < 24
    predicts(seen, *sampled(np.full(30, 0.7), right))
    part = whole(calibrated(seen))
    assert part.headline == [("calibration error", "cannot tell", "too few test examples: 30")]
    assert part.verdicts[0].words.startswith(
        "Whether the classifier is calibrated cannot be told from 30 test examples: the expected calibration error is "
        "10.0%, and up to "
    )
    predicts(seen, *sampled(np.full(3000, 0.7), np.tile(right, 100)))
    assert whole(calibrated(seen)).headline == [("calibration error", "10.0%", "underconfident")]


def test_side_is_that_of_at_least_four_fifths_of_the_error() -> None:
    for over, expected in ((0.0, "underconfident"), (0.5, BOTH), (1.0, "overconfident")):
        confidence = torch.tensor([0.8] * 100)
        right = torch.arange(100) < (round(80 - 20 * (2 * over - 1)) if over != 0.5 else 80)
        if over == 0.5:
            confidence[:50], right = 0.6, torch.cat([torch.arange(50) < 45, torch.arange(50) < 25])
        found = calibration(torch.stack([confidence, 1 - confidence], 1), (~right).long())
        assert side(found) == expected


def test_temperature_with_little_effect_is_not_mentioned(seen: SeenRun) -> None:
    seen.__dict__["temperature"] = 0.5
    assert "Dividing the logits by 0.50" in part_about(seen, 0.9).verdicts[0].words
    seen.__dict__["temperature"] = 1.02
    assert "Dividing the logits" not in part_about(seen, 0.9).verdicts[0].words


def test_predictions_that_a_run_lacks_are_not_explained(seen: SeenRun) -> None:
    part = whole(calibrated(seen))
    assert [note.split(",")[0].split(" divides")[0] for note in part.notes] == [
        "The fitted temperature",
        "Under the prior",
    ]
    assert "compared with the true labels" in part.notes[1]
    seen.__dict__["temperature"] = seen.__dict__["predicted_under_prior"] = None
    del seen.calibrations
    part = whole(calibrated(seen))
    assert part.notes == []
    assert "prior" not in part.about


def test_confusions_of_predictions_are_listed(seen: SeenRun) -> None:
    part_about(seen, 0.5, count=20)
    assert ("0 predicted as 1", "50.0% of 2") in whole(confusions(seen)).facts


def test_bins_with_few_predictions_are_omitted_from_the_curve() -> None:
    confidence = torch.tensor([0.55] * 9 + [0.95] * 10, dtype=torch.float64)
    found = calibration(torch.stack([confidence, 1 - confidence], 1), torch.zeros(19, dtype=torch.int64))
    points = reliability({"classifier": found}).svg.count("<use")
    more = torch.cat([confidence, confidence[:1]])
    fuller = calibration(torch.stack([more, 1 - more], 1), torch.zeros(20, dtype=torch.int64))
    drawn = reliability({"classifier": fuller})
    assert drawn.svg.count("<use") == points + 1
    assert "fewer than 10 predictions (below the dotted line) are omitted from the curve" in drawn.caption


def draws_of_rate(seen: SeenRun, low: float, high: float, alike: bool = False, **changed: Any) -> None:
    """Replace the joint posterior by one with draws of the noise rate spread evenly from ``low`` to ``high``.

    The labels are wrong with probabilities from 0 to ``low + high``, or all with their mean if ``alike``. The
    classifier judges them and raises no warning.
    """
    joint = seen.issues.joint
    rates = torch.linspace(low, high, 200, dtype=torch.float64)
    wrong = np.full(len(joint.none), (low + high) / 2) if alike else np.linspace(0, low + high, len(joint.none))
    p = np.tile(wrong[:, None] / (joint.probabilities.shape[1] - 1), joint.probabilities.shape[1])
    p[:, 0] = 1 - wrong
    transition = joint.transition._replace(noise_rate=rates)
    joint = replace(joint, transition=transition, probabilities=p, none=np.zeros(len(wrong)))
    scores = seen.issues.scores | {"combined": torch.from_numpy(joint.wrong)}
    trusted = {"held_out": (0.9, 30), "learned_by_heart": False, "by_classifier": True, "noise_by_heads": False}
    seen.__dict__["issues"] = replace(seen.issues, joint=joint, scores=scores, **(trusted | changed))


def tiles(seen: SeenRun) -> dict[str, tuple[str, str]]:
    return {tile.name: (tile.value, tile.note) for tile in labels(seen).headline}


def test_noise_rate_with_a_useful_interval_is_told(seen: SeenRun) -> None:
    draws_of_rate(seen, 0.35, 0.45)
    value, note = tiles(seen)["wrong labels"]
    assert value == "40.0%"
    worth = equivalent_checks(*seen.issues.transition.noise_rate_interval(), len(seen.run.split.noisy_indices))
    told = f"95% interval 35.2% to 44.8%, as narrow as checking {worth} labels by hand"
    assert note == f"{told}; true rate {seen.wrong.mean():.1%}"
    level, words = labels(seen).verdicts[0]
    assert level == "note"
    assert words.startswith("An estimated 40.0% of the noisy labels are wrong (95% interval 35.2% to 44.8%; true rate ")


@pytest.mark.parametrize(
    ("rates", "changed", "why", "reason"),
    [
        ((0.2, 0.8), {}, "the interval is too wide", "The 95% interval of the estimate is wider than 20"),
        ((0.39, 0.41), {"accuracy": None}, "no clean labels were held out", "No trusted examples were held out"),
        ((0.01, 0.02), {"learned_by_heart": True}, "the classifier has memorised labels", "The classifier agrees with"),
        (
            (0.01, 0.02),
            {"accuracy": (0.15, 30)},
            "the predictions are hardly above chance",
            "The classifier is correct",
        ),
    ],
)
def test_noise_rate_in_doubt_is_told_in_small_print_only(
    seen: SeenRun, rates: tuple[float, float], changed: dict[str, Any], why: str, reason: str
) -> None:
    draws_of_rate(seen, *rates, **changed)
    value, note = tiles(seen)["wrong labels"]
    assert value == "cannot tell"
    assert note.startswith(f"{why}; 95% interval ")
    assert "by hand" not in note
    level, words = labels(seen).verdicts[0]
    assert level == "poor"
    assert words.startswith(f"How many labels are wrong cannot be told. {reason}")
    assert "An estimated" not in words
    suspects, note = tiles(seen)["suspect labels"]
    unreliable = "memorised" in why or "chance" in why
    assert (suspects == "cannot tell") == unreliable
    assert (f"They are unreliable, because {why}." in labels(seen).notes[0]) == unreliable


def test_few_suspects_among_many_wrong_labels_are_explained(seen: SeenRun) -> None:
    draws_of_rate(seen, 0.35, 0.45)
    explanation = ": most of the wrong labels cannot be identified one by one."
    assert explanation not in labels(seen).verdicts[0].words
    draws_of_rate(seen, 0.35, 0.45, alike=True)
    words = labels(seen).verdicts[0].words
    assert words.endswith(f" 0 of {len(seen.judged)} are more probably wrong than right{explanation}")


def without_test_set(seen: SeenRun, *dropped: str) -> SeenRun:
    """The run without its test set, and without the columns of metrics that start with a prefix."""
    run = copy(seen.run)
    run.test = None
    run.rows = [{name: value for name, value in row.items() if not name.startswith(dropped)} for row in seen.rows]
    run._folder = RunFolder(seen.run.folder.path)
    run.folder.summary = seen.run.folder.path / "none"
    without = SeenRun(run)
    without.__dict__ |= {name: seen.__dict__[name] for name in ("evidence", "issues", "posterior")}
    return without


def test_accuracy_without_test_set_is_that_on_the_validation_set(seen: SeenRun) -> None:
    seen = without_test_set(seen, "test_")
    last = next(row["validation_accuracy"] for row in reversed(seen.rows) if "validation_accuracy" in row)
    part, count = training(seen), len(seen.run.split.validation_indices)
    assert part.headline == [("validation accuracy", f"{last:.1f}%", f"last epoch ({len(seen.rows)}); no test set")]
    assert part.verdicts[0].words == (
        f"The validation accuracy after the last epoch is {last:.1f}%. There is no test set; these are the {count} "
        "validation examples."
    )
    part = whole(calibrated(seen))
    assert part.notes[0] == "There is no test set, so the clean validation examples are used."
    assert SCALED not in seen.calibrations  # the temperature is fitted on the same examples
    assert seen.calibrations[POINT].accuracy == pytest.approx(last / 100, abs=1e-6)
    assert "test" not in str(whole(confusions(seen)).drawings[0].caption)
    assert "Test accuracy" not in render([seen, without_test_set(seen, "test_")])


def test_run_without_test_and_validation_set_has_a_page(seen: SeenRun) -> None:
    seen = without_test_set(seen, "test_", "validation_")
    del seen.evidence, seen.issues  # which use the validation set
    none = np.zeros(0, np.int64)
    seen.run.split = replace(seen.run.split, validation_indices=none, validation_labels=none)
    assert training(seen).headline[0].value == "cannot tell"
    assert calibrated(seen) is None
    assert confusions(seen) is None
    assert "the run has neither test nor validation examples" in render([seen])
