"""The learning rate of every step, and the examples of its batches, over several stages."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from vri_pyro.data import BatchPlan
from vri_pyro.infer.schedules import Cosine, LinearWarmUp

from .scripted import BATCH, CLEAN, NOISY, STEPS, Constants, Scripted, ScriptedSelection, stage, train, trainer


def _still(bias: torch.Tensor, step: int) -> torch.Tensor:
    return bias


def test_each_stage_has_its_own_rate_and_schedule_over_its_own_epochs(tmp_path: Path) -> None:
    classifier = Constants()
    first, second, third = (Scripted(classifier, _still, rate) for rate in (0.5, 0.2, 0.1))
    warm_up = LinearWarmUp(Cosine(), epochs=1.0, start=0.5)
    stages = [
        stage("first", first, epochs=2),
        stage("second", second, epochs=3, schedule=warm_up),
        stage("third", third, epochs=1),
    ]
    rows = train(trainer(tmp_path, stages, schedule=Cosine()))

    def cosine(done: float, epochs: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * done / epochs))

    assert [seen.rate for seen in first.seen] == pytest.approx([0.5 * cosine(n / STEPS, 2) for n in range(4)])
    # A line over the first epoch, then a cosine over the two that are left.
    line, rest = [0.5, 0.75], [cosine(n / STEPS, 2) for n in range(4)]
    assert [seen.rate for seen in second.seen] == pytest.approx([0.2 * factor for factor in line + rest])
    assert [seen.rate for seen in third.seen] == pytest.approx([0.1 * cosine(n / STEPS, 1) for n in range(2)])
    last_of_each_epoch = [seen.rate for one in (first, second, third) for seen in one.seen[1::STEPS]]
    assert [row["learning_rate"] for row in rows] == pytest.approx(last_of_each_epoch)


def test_batches_go_on_with_the_runs_step_from_one_stage_to_the_next(tmp_path: Path) -> None:
    classifier = Constants()
    algorithms = [Scripted(classifier, _still) for _ in range(2)]
    train(trainer(tmp_path, [stage(str(n), one, epochs=2) for n, one in enumerate(algorithms)]))
    noisy = BatchPlan(NOISY, BATCH, 3, "noisy batches")
    clean = BatchPlan(CLEAN, 4, 3, "clean batches")
    seen = algorithms[0].seen + algorithms[1].seen
    assert [step.noisy for step in seen] == [noisy.indices(n).tolist() for n in range(8)]
    assert [step.clean for step in seen] == [clean.indices(n).tolist() for n in range(8)]


def test_algorithms_choice_lasts_for_its_stage_while_the_selection_is_made_anew(tmp_path: Path) -> None:
    """The selection chooses from the stage's own pool; the algorithm's choice limits the noisy batches alone."""
    classifier = Constants()
    chosen = list(range(10))
    method = Scripted(classifier, _still, chosen=torch.tensor(chosen))
    after = Scripted(classifier, _still)
    selection = ScriptedSelection([[0, 2], [11, 13], [15, 17]])
    stages = [stage("training", method, epochs=3, selection=selection), stage("after", after, epochs=3)]
    rows = train(trainer(tmp_path, stages, clean=CLEAN[:0]))

    assert [asked for _, asked in selection.asked] == [NOISY.tolist()] * 3
    assert {p for step in method.seen for p in step.noisy} <= set(chosen)
    for epoch, choice in enumerate(selection.choices):
        for step in method.seen[epoch * STEPS : (epoch + 1) * STEPS]:
            assert sorted(step.clean) == choice
    assert [row.get("selected") for row in rows] == [2, 2, 2, None, None, None]
    (context,) = method.contexts
    assert context.noisy.tolist() == NOISY.tolist()
    assert context.clean.tolist() == selection.choices[0]
    assert {p for step in after.seen for p in step.noisy} - set(chosen)
    assert all(step.clean == [] for step in after.seen)


def test_classifier_counts_as_trained_after_the_runs_first_stage(tmp_path: Path) -> None:
    classifier = Constants()
    algorithms = [Scripted(classifier, _still) for _ in range(3)]
    train(trainer(tmp_path, [stage(str(n), one, epochs=1) for n, one in enumerate(algorithms)]))
    assert [[context.trained for context in one.contexts] for one in algorithms] == [[False], [True], [True]]
    assert all(context.seed == 3 for one in algorithms for context in one.contexts)
