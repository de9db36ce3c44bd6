"""Skipped updates of an ensemble, whose networks take every step together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from vri_pyro.infer.metrics import Metrics
from vri_pyro.training.ensemble import Ensemble, EnsembleAlgorithm

from .scripted import STEPS, Constants, Scripted, stage, train, trainer


class Skipping(Scripted):
    """Skips the steps of some numbers, as if they were not finite."""

    def __init__(self, classifier: Constants, skips: set[int]) -> None:
        super().__init__(classifier, _still)
        self.guard.max_skipped = 100
        self.skips = skips

    def step(self, *batches: object) -> Metrics:
        loss = torch.tensor(float("nan") if self.number in self.skips else 1.0)
        self.guard.admits({"loss": float(loss)})
        self.number += 1
        return {"loss": loss}


def _still(bias: Tensor, step: int) -> Tensor:
    return bias


def test_run_in_which_each_network_skips_other_steps_has_trained_and_is_a_result(tmp_path: Path) -> None:
    """The number of skipped steps is that of the network with the most; together they skip as many as there are."""
    epochs, skips = 2, [{0, 1}, {2, 3}]
    networks = [Constants() for _ in skips]
    members = [Skipping(network, of_it) for network, of_it in zip(networks, skips, strict=True)]
    algorithm = EnsembleAlgorithm(Ensemble(networks), members)
    run = trainer(tmp_path, [stage("training", algorithm, epochs)])
    assert epochs * STEPS == 4
    with pytest.warns(UserWarning, match=r"^2 updates were skipped"):
        rows = train(run)
    assert [row["skipped"] for row in rows] == [2, 2]
    assert algorithm.skipped == 2
