"""A run that is stopped within an epoch of its second stage, and resumed by a trainer built anew."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vri_pyro.infer.schedules import Cosine
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.interruption import Interrupted

from .scripted import STEPS, Constants, Scripted, ScriptedSelection, Seen, stage, train, trainer

EPOCHS = 3


class Run:
    """Two stages with a moving average; the second draws from a choice of its own and moves at random.

    Args:
        path: the folder.
        stop_at: number of the second stage's step in which Ctrl-C is pressed.
    """

    def __init__(self, path: Path, stop_at: int | None = None) -> None:
        classifier = Constants()

        def move(bias: Tensor, step: int) -> Tensor:
            if step == stop_at:
                signal.raise_signal(signal.SIGINT)
            return bias + torch.randn(len(bias))

        self.first = Scripted(classifier, lambda bias, step: bias + 1)
        self.second = Scripted(classifier, move, chosen=torch.arange(9))
        self.selection = ScriptedSelection([[0, 1], [2, 3], [4, 5]])
        stages = [
            stage("warm-up", self.first, epochs=1),
            stage("training", self.second, epochs=EPOCHS, selection=self.selection),
        ]
        self.trainer = trainer(path, stages, schedule=Cosine(), clean=torch.arange(0).numpy(), ema=0.5)

    @property
    def seen(self) -> list[Seen]:
        return self.first.seen + self.second.seen


def _state(of: Trainer) -> Any:
    """The last checkpoint, with lists for tensors."""
    return _plain(load_checkpoint(of.folder.last))


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    if isinstance(state, list):
        return [_plain(value) for value in state]
    return state.tolist() if isinstance(state, Tensor) else state


@pytest.mark.parametrize("stop_at", range(EPOCHS * STEPS))
def test_rest_of_the_run_is_as_if_it_had_not_been_stopped(tmp_path: Path, stop_at: int) -> None:
    torch.manual_seed(0)
    whole = Run(tmp_path / "whole")
    rows = train(whole.trainer)

    torch.manual_seed(0)
    stopped = Run(tmp_path / "stopped", stop_at)
    with pytest.raises(Interrupted):
        train(stopped.trainer)
    torch.manual_seed(1)  # a new process
    resumed = Run(tmp_path / "stopped")
    resumed.trainer.load_state_dict(load_checkpoint(stopped.trainer.folder.last))
    resumed.selection.choices = whole.selection.choices[len(stopped.selection.asked) :]
    assert train(resumed.trainer) == rows

    assert stopped.seen + resumed.seen == whole.seen
    assert _state(resumed.trainer) == _state(whole.trainer)
    assert len(resumed.second.contexts) == 0  # the choice comes from the checkpoint
