"""Which epoch is kept as the best: the last of the greatest validation accuracy, of stages that may be chosen from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from vri_pyro.training.checkpoint import load_checkpoint

from .scripted import ACCURACY, CLASSES, STEPS, Constants, Scripted, stage, train, trainer


def _predicting(classifier: Constants, classes: list[int]) -> Scripted:
    """An algorithm after whose n-th epoch the classifier predicts the n-th of these classes."""

    def move(bias: Tensor, step: int) -> Tensor:
        return torch.nn.functional.one_hot(torch.tensor(classes[step // STEPS]), CLASSES).float()

    return Scripted(classifier, move)


def _best(path: Path, preparation: list[int], method: list[int], **options: int) -> tuple[int, int]:
    """The epoch that is kept as the best, and the class that its classifier predicts."""
    classifier = Constants()
    stages = [stage("training", _predicting(classifier, method), len(method))]
    if preparation:
        prepared = _predicting(classifier, preparation)
        stages.insert(0, stage("estimation", prepared, len(preparation), preparatory=True))
    run = trainer(path, stages, **options)
    rows = train(run)
    evaluated = [row["validation_accuracy"] for row in rows if "validation_accuracy" in row]
    if not options:
        assert evaluated == pytest.approx([ACCURACY[c] for c in preparation + method])
    found = load_checkpoint(run.folder.best)
    return found["epoch"], int(found["classifier"]["bias"].argmax())


def test_epoch_of_a_preparatory_stage_is_never_the_best(tmp_path: Path) -> None:
    assert _best(tmp_path, preparation=[2, 2], method=[0, 1, 0]) == (3, 1)


def test_of_equally_good_epochs_the_last_is_the_best(tmp_path: Path) -> None:
    assert _best(tmp_path, preparation=[], method=[0, 2, 1, 2, 0]) == (3, 2)


def test_accuracy_of_a_preparatory_stage_is_no_hurdle_for_the_stages_after_it(tmp_path: Path) -> None:
    assert _best(tmp_path, preparation=[2], method=[0]) == (1, 0)


@pytest.mark.parametrize("every", [2, 3])
def test_last_epoch_is_evaluated_whatever_the_interval(tmp_path: Path, every: int) -> None:
    """Epochs are evaluated after every so many of the run, and in the end."""
    last = _best(tmp_path, preparation=[], method=[0, 0, 0, 0, 1], evaluate_every=every)
    assert last == (4, 1)
