"""Selections: which examples they choose, with which classifier, and that these are cleaner than the noisy set."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.data import DeviceData, Split, UniformExclusive
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods.base import Stage
from vri_pyro.runs.configuration import FineTuning, SplitSizes
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.selection import GaussianMixture, Selection, SmallLoss
from vri_pyro.utils.errors import UserError

from .spies import Spying, cross_entropy, sgd

Run = Callable[..., dict[str, Any]]
UNTRUSTED = SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=600)
WARM_UP = Stage(cross_entropy(), sgd(0.3), epochs=8)


def test_small_loss_takes_the_smallest() -> None:
    losses, labels = np.array([3.0, 0.1, 2.0, 0.2, 1.0]), np.array([0, 0, 1, 1, 2])
    assert sorted(SmallLoss(3).choose(losses, labels, 3)) == [1, 3, 4]


def test_balanced_small_loss_takes_the_smallest_of_every_class_as_given() -> None:
    losses = np.array([0.1, 0.2, 0.3, 0.4, 5.0, 6.0, 7.0, 8.0])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    assert sorted(SmallLoss(6, balanced=True).choose(losses, labels, 3)) == [0, 1, 4, 5, 7]  # class 2 has one example
    assert sorted(SmallLoss(4, balanced=True).choose(losses, labels, 3)) == [0, 1, 4, 7]  # remainder: class 0


def test_mixture_takes_the_lower_of_two_groups_whatever_their_scale() -> None:
    generator = np.random.default_rng(0)
    losses = np.concatenate([generator.normal(0.2, 0.05, 300), generator.normal(3.0, 0.4, 200)])
    labels = np.zeros(500, dtype=np.int64)
    for scale in (1.0, 1e-3, 1e3):
        np.testing.assert_array_equal(GaussianMixture().choose(scale * losses, labels, 2), np.arange(300))


def test_stricter_threshold_chooses_fewer_and_never_none() -> None:
    losses = np.random.default_rng(1).gamma(1.0, 1.0, 400)
    labels = np.zeros(400, dtype=np.int64)
    sizes = [len(GaussianMixture(threshold).choose(losses, labels, 2)) for threshold in (0.0, 0.5, 0.9, 1 - 1e-16)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 1


def test_mixture_chooses_all_of_equal_losses() -> None:
    assert len(GaussianMixture().choose(np.full(7, 0.5), np.zeros(7, dtype=np.int64), 2)) == 7


class InputAsLoss(Classifier):
    """Classifier whose loss for the label 0 equals its input."""

    num_classes = 2

    def forward(self, x: torch.Tensor) -> ClassifierOutput:
        loss = x[:, :1]
        return ClassifierOutput(torch.cat([-loss, torch.log1p(-torch.exp(-loss))], dim=1), x)


def _examples(losses: list[float]) -> DeviceData:
    x = np.array(losses, dtype=np.float32)[:, None]
    return DeviceData(x, np.zeros(len(x), dtype=np.int64), "cpu", np.zeros(1, np.float32), np.ones(1, np.float32))


def test_selection_returns_positions_of_noisy_examples_only() -> None:
    examples = _examples([0.1, 5.0, 0.2, 4.0, 0.3, 3.0])
    np.testing.assert_array_equal(SmallLoss(2)(InputAsLoss(), examples, np.array([1, 3, 4, 5])), [4, 5])


def test_non_finite_losses_are_never_chosen() -> None:
    examples = _examples([np.nan, 5.0, 0.2, np.nan])
    for selection in (SmallLoss(4), GaussianMixture(0.0)):
        assert set(selection(InputAsLoss(), examples, np.arange(4))) <= {1, 2}
    with pytest.raises(NonFiniteError, match="no loss is finite, so no examples can be selected"):
        SmallLoss(1)(InputAsLoss(), examples, np.array([0, 3]))


@pytest.mark.parametrize("selection", [SmallLoss(150), SmallLoss(150, balanced=True), GaussianMixture()])
def test_chosen_examples_are_cleaner_than_the_noisy_part_at_every_epoch(
    run: Run, folder: Path, selection: Selection
) -> None:
    method = Spying()
    summary = run(
        method=method,
        backbone=lambda shape, classes: MLP(shape, classes, hidden=(32,)),
        noise=UniformExclusive(0.4),
        split=UNTRUSTED,
        selection=selection,
        warm_up=WARM_UP,
        epochs=2,
        clean_batch_size=600,
    )
    split = Split.load(folder / "split.npz")
    assert split.true_labels is not None
    right = dict(zip(split.noisy_indices.tolist(), split.given_labels == split.true_labels, strict=True))
    for step in method.spy.seen:
        assert step.clean.index is not None
        share = float(np.mean([right[i] for i in step.clean.index.tolist()]))
        assert share > 0.9 > 1 - summary["split"]["realised_rate"] + 0.2


def test_selection_runs_before_each_epoch_of_the_main_stage_only(run: Run, folder: Path) -> None:
    first = Spying()
    first.needs_clean = False
    stages = {"warm_up": Stage(first, sgd(0.1), epochs=1), "fine_tuning": FineTuning(cross_entropy(), sgd(0.1))}
    run(method=Spying(), split=UNTRUSTED, selection=SmallLoss(100), epochs=3, **stages)
    assert all(len(step.clean.y) == 0 for step in first.spy.seen)
    with open(folder / "metrics.csv", newline="") as file:
        selected = [(row["stage"], row["selected"]) for row in csv.DictReader(file)]
    assert selected == [("warm-up", ""), *[("training", "100")] * 3, *[("fine-tuning", "")] * 10]


def test_selected_examples_depend_on_the_classifier(run: Run, tmp_path: Path) -> None:
    chosen = []
    for epochs in (1, 4):
        folder = tmp_path / str(epochs)
        run(split=UNTRUSTED, selection=SmallLoss(100), warm_up=WARM_UP, epochs=epochs, output=folder)
        chosen.append(set(load_checkpoint(folder / "checkpoints/last.pt")["pools"]["clean"].tolist()))
    assert chosen[0] != chosen[1]
    noisy = set(Split.load(tmp_path / "1" / "split.npz").noisy_indices.tolist())
    assert chosen[0] <= noisy


def test_selection_uses_the_moving_average_if_there_is_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    classifiers: list[Classifier] = []

    def choosing(self: SmallLoss, classifier: Classifier, *rest: Any) -> np.ndarray:
        classifiers.append(classifier)
        return Selection.__call__(self, classifier, *rest)

    monkeypatch.setattr(SmallLoss, "__call__", choosing, raising=False)
    method = Spying()
    run(method=method, split=UNTRUSTED, selection=SmallLoss(100), warm_up=WARM_UP, epochs=1, ema=0.9)
    assert classifiers[0] is not method.spy.classifier


def test_cross_entropy_needs_no_clean_set(run: Run) -> None:
    summary = run(split=UNTRUSTED)
    assert summary["split"]["clean"] == 0
    assert summary["results"]["last"] > 0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"method": Spying()}, "training needs clean examples but the split has none; set split.clean_per_class"),
        ({"method": cross_entropy("clean")}, "training needs clean examples but the split has none"),
        (
            {"fine_tuning": FineTuning(cross_entropy("clean"), sgd(0.1))},
            "fine-tuning needs clean examples but the split has none",
        ),
        (
            {"selection": SmallLoss(100), "split": SplitSizes(2, 0, 200)},
            "selection is set but the split has 20 clean examples; set split.clean_per_class to 0, or remove",
        ),
        (
            {"selection": SmallLoss(601)},
            "selection.size is 601 but there are 600 noisy examples; expected a value <= 600",
        ),
        (
            {"selection": SmallLoss(9, balanced=True)},
            "selection.size is 9 but a balanced selection has 10 classes; expected a value >= 10",
        ),
        (
            {"selection": SmallLoss(100), "method": cross_entropy("clean")},
            "selection chooses from the noisy set but the pool of training is clean; set it to noisy",
        ),
    ],
)
def test_impossible_combinations_are_refused_before_a_folder_is_made(
    run: Run, folder: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        run(**({"split": UNTRUSTED} | changes))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: SmallLoss(0), "selection.size is 0; expected a value >= 1"),
        (lambda: GaussianMixture(1.0), r"selection.threshold is 1.0; expected a value in \[0, 1\)"),
        (lambda: GaussianMixture(-0.1), r"selection.threshold is -0.1; expected a value in \[0, 1\)"),
    ],
)
def test_impossible_selections_are_refused(make: Callable[[], Selection], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make()
