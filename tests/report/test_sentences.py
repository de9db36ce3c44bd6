"""The sentences of the report are correct, explained, and omitted where they do not apply."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from vri_pyro.diagnostics.calibration import calibration
from vri_pyro.diagnostics.collapse import Collapse
from vri_pyro.report import Part, SeenRun
from vri_pyro.report.figures import reliability
from vri_pyro.report.labels import labels
from vri_pyro.report.posterior import posterior
from vri_pyro.report.predictions import predictions
from vri_pyro.report.training import training
from vri_pyro.runs.run import Run


@pytest.fixture
def seen(folder: Path) -> SeenRun:
    return SeenRun(Run(folder))


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
    return whole(posterior(seen)).verdicts[0]


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
    assert labels(seen).notes[0].startswith("Shown below are the labels that are most likely wrong, at most 3")
    seen.__dict__["issues"] = replace(seen.issues, suggested=seen.issues.given)
    part = labels(seen)
    assert part.suspects == []
    assert part.notes[0].startswith("No example is more likely to belong to another class than to its given class.")


def part_about(seen: SeenRun, right: float, margin: float = 2.0, count: int = 1000) -> Part:
    """Return the section on predictions if a share ``right`` of ``count`` predictions is correct."""
    truth = torch.arange(count) % 10
    wrong = torch.arange(count) >= right * count
    seen.__dict__["test_under_prior"] = None
    seen.__dict__["test"] = margin * one_hot((truth + wrong) % 10, 10).double(), truth
    return predictions(seen)


def test_classifier_at_chance_is_not_called_well_calibrated(seen: SeenRun) -> None:
    for right in (0.0, 0.1, 0.11):
        level, words = part_about(seen, right, margin=0.1).verdicts[0]
        assert level == "poor"
        assert words.startswith(
            f"The classifier is at chance level: its accuracy on the 1000 test examples is {right:.1%}"
        )
        assert words.endswith("have an expected accuracy of 10.0%.")
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
    seen.__dict__["test_under_prior"] = None
    seen.__dict__["test"] = one_hot(torch.tensor(decided), 10).double() * 5, torch.tensor(truth)
    assert ("at chance level" in predictions(seen).verdicts[0].words) == at_chance


def test_temperature_with_little_effect_is_not_mentioned(seen: SeenRun) -> None:
    seen.__dict__["temperature"] = 0.5
    assert "Dividing the logits by 0.50" in part_about(seen, 0.9).verdicts[0].words
    seen.__dict__["temperature"] = 1.02
    assert "Dividing the logits" not in part_about(seen, 0.9).verdicts[0].words


def test_predictions_that_a_run_lacks_are_not_explained(seen: SeenRun) -> None:
    part = predictions(seen)
    assert [note.split(",")[0].split(" divides")[0] for note in part.notes] == [
        "The fitted temperature",
        "Under the prior",
    ]
    assert "compared with the true labels" in part.notes[1]
    seen.__dict__["temperature"] = seen.__dict__["test_under_prior"] = None
    part = predictions(seen)
    assert part.notes == []
    assert "prior" not in part.about


def test_confusions_of_predictions_are_listed(seen: SeenRun) -> None:
    assert ("0 predicted as 1", "50.0% of 2") in part_about(seen, 0.5, count=20).facts


def test_bins_with_few_predictions_are_omitted_from_the_curve() -> None:
    confidence = torch.tensor([0.55] * 9 + [0.95] * 10, dtype=torch.float64)
    found = calibration(torch.stack([confidence, 1 - confidence], 1), torch.zeros(19, dtype=torch.int64))
    points = reliability({"classifier": found}).svg.count("<use")
    more = torch.cat([confidence, confidence[:1]])
    fuller = calibration(torch.stack([more, 1 - more], 1), torch.zeros(20, dtype=torch.int64))
    drawn = reliability({"classifier": fuller})
    assert drawn.svg.count("<use") == points + 1
    assert "fewer than 10 predictions (below the dotted line) are omitted from the curve" in drawn.caption
