"""The moving average of the weights over several stages, against the recursion written out by hand."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vri_pyro.training.checkpoint import load_checkpoint

from .scripted import STEPS, Constants, Scripted, ScriptedSelection, stage, train, trainer

DECAY = 0.75


def _grow(bias: Tensor, step: int) -> Tensor:
    """Weights whose class 1 leads by ever more."""
    return bias + torch.tensor([0.0, 1.0 + step, 0.0])


def _by_hand(weights: list[Tensor]) -> Tensor:
    average = weights[0]
    for w in weights[1:]:
        average = DECAY * average + (1 - DECAY) * w
    return average


def test_average_of_the_second_stage_begins_at_the_weights_after_its_first_step(tmp_path: Path) -> None:
    classifier = Constants()
    weights: list[Tensor] = []

    def move(bias: Tensor, step: int) -> Tensor:
        weights.append(_grow(bias, step))
        return weights[-1]

    stages = [stage(name, Scripted(classifier, move), epochs=2) for name in ("warm-up", "training")]
    run = trainer(tmp_path, stages, ema=DECAY)
    train(run)
    assert len(weights) == 8
    expected = _by_hand(weights[2 * STEPS :])
    torch.testing.assert_close(run.ema.network.bias.detach(), expected)
    assert (expected - _by_hand(weights)).abs().max() > 0.1
    for path in (run.folder.last, run.folder.best):
        saved = load_checkpoint(path)
        torch.testing.assert_close(saved.get("state", saved)["classifier"]["bias"], expected)


def test_average_chooses_the_clean_set_and_is_what_the_next_stage_sees(tmp_path: Path) -> None:
    """Before its first step a stage sees what the stage before has been evaluated by."""
    classifier = Constants()
    weights: list[Tensor] = []

    def move(bias: Tensor, step: int) -> Tensor:
        weights.append(_grow(bias, step))
        return weights[-1]

    selection = ScriptedSelection([[0, 1], [2, 3]])
    second = Scripted(classifier, move)
    seen: list[Tensor] = []
    second.begin_training = lambda context: seen.append(context.classifier.bias.detach().clone())  # type: ignore[method-assign,assignment,func-returns-value]
    stages = [
        stage("warm-up", Scripted(classifier, move), epochs=1),
        stage("training", second, epochs=2, selection=selection),
    ]
    train(trainer(tmp_path, stages, ema=DECAY))
    of_warm_up, of_first_epoch = _by_hand(weights[:STEPS]), _by_hand(weights[STEPS : 2 * STEPS])
    torch.testing.assert_close(seen, [of_warm_up])
    torch.testing.assert_close([bias for bias, _ in selection.asked], [of_warm_up, of_first_epoch])
