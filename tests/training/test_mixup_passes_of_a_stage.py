"""When the mixup passes of a stage come that is not the first of its run, and which examples they mix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vri_pyro.training.clean_mixup import CleanMixup

from .scripted import CLEAN, SIZE, STEPS, Constants, Scripted, ScriptedSelection, stage, train, trainer


class Mixing(Scripted):
    """Notes the inputs of its supervised steps, and how many other steps came before."""

    def __init__(self, classifier: Constants) -> None:
        super().__init__(classifier, lambda bias, step: bias)
        self.mixed: list[tuple[int, float]] = []

    def supervised_step(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        assert len(x) == 1
        self.mixed.append((len(self.seen), x.item()))
        return torch.tensor(1.0)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_passes_are_counted_from_the_stages_own_beginning_and_mix_what_is_selected_now(
    tmp_path: Path, before: int
) -> None:
    """Of one example nothing but itself can be mixed, so each pass shows which one it is."""
    classifier = Constants()
    method = Mixing(classifier)
    selection = ScriptedSelection([[5], [6], [7], [8], [9]])
    stages = [stage("training", method, epochs=5, selection=selection, clean_mixup=CleanMixup(every=2))]
    if before:
        stages.insert(0, stage("warm-up", Scripted(classifier, lambda bias, step: bias), epochs=before))
    rows = train(trainer(tmp_path, stages, clean=CLEAN[:0]))
    assert [steps for steps, _ in method.mixed] == [2 * STEPS, 4 * STEPS]
    assert [x for _, x in method.mixed] == pytest.approx([6 / (SIZE - 1), 8 / (SIZE - 1)])
    with_pass = [number for number, row in enumerate(rows) if "clean_mixup_loss" in row]
    assert with_pass == [before + 1, before + 3]
