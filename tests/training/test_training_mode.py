"""The classifier is in training mode in every step, whatever mode it was handed over in."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .scripted import STEPS, Constants, Scripted, stage, train, trainer


def test_steps_see_a_classifier_in_training_mode_that_was_evaluated_before(tmp_path: Path) -> None:
    classifier = Constants()
    modes: list[bool] = []

    def move(bias: Tensor, step: int) -> Tensor:
        modes.append(classifier.training)
        return bias

    run = trainer(tmp_path, [stage("training", Scripted(classifier, move), epochs=2)])
    classifier.eval()
    train(run)
    assert modes == [True] * (2 * STEPS)
