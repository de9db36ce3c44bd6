"""Runs of methods with several stages, or with a state per example."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.data import Split, UniformExclusive
from vri_pyro.diagnostics.run_posterior import outputs_of
from vri_pyro.guides import LabelCorrection
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.label_issues.evidence import evidence_of
from vri_pyro.methods import (
    BOME,
    ELR,
    EMLC,
    GLC,
    L2RW,
    PES,
    SOP,
    ConfidentLearning,
    DivideMix,
    LearnedTransition,
    Mixup,
)
from vri_pyro.methods.base import Method
from vri_pyro.models import CorrectedCrossEntropy
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.runs.experiment import Experiment
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.interruption import Interrupted

from .spies import sgd

Run = Callable[..., dict[str, Any]]


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_glc_pretrains_on_noisy_labels_and_then_trains_on_both(run: Run, folder: Path) -> None:
    run(method=GLC(estimation_epochs=2), epochs=3)
    assert [row["stage"] for row in _rows(folder)] == ["estimation"] * 2 + ["training"] * 3
    state = load_checkpoint(folder / "checkpoints/last.pt")["stages"][1]
    assert sorted(state["trusted"].tolist()) == sorted(Split.load(folder / "split.npz").clean_indices)
    torch.testing.assert_close(state["transition"].sum(-1), torch.ones(10))
    assert not torch.equal(state["transition"], torch.eye(10))


def test_confident_learning_prunes_wrong_labels_more_than_right_ones(run: Run, folder: Path) -> None:
    run(
        method=ConfidentLearning(folds=3),
        epochs=15,
        noise=UniformExclusive(0.3),
        split=SplitSizes(clean_per_class=2, validation_per_class=2, noisy_size=600),
        backbone=lambda shape, classes: MLP(shape, classes, hidden=(32,)),
    )
    rows = _rows(folder)
    assert [row["stage"] for row in rows] == [f"fold {1 + n // 15}" for n in range(45)] + ["training"] * 15
    split = Split.load(folder / "split.npz")
    assert split.true_labels is not None
    wrong = split.given_labels != split.true_labels
    kept = np.isin(split.noisy_indices, load_checkpoint(folder / "checkpoints/last.pt")["pools"]["noisy"])
    assert float(rows[-1]["kept"]) == pytest.approx(kept.mean())
    assert 0.5 < kept.mean() < 0.9
    assert wrong[kept].mean() < 0.1 < 0.7 < wrong[~kept].mean()


@pytest.mark.parametrize(
    ("method", "at"),
    [
        (ELR, 6),
        (SOP, 6),
        *((LearnedTransition, at) for at in (3, 8)),
        *((GLC, at) for at in (3, 8, 9)),
        *((lambda: ConfidentLearning(folds=2), at) for at in (3, 8, 13, 18)),
        *((lambda: DivideMix(early_epochs=1), at) for at in (6, 8, 13, 17)),
        *((lambda: PES(1, 1, 1), at) for at in (3, 4, 6, 10, 14)),
        (lambda: EMLC(sgd(0.1)), 6),
        (lambda: BOME(CorrectedCrossEntropy, LabelCorrection, sgd(0.1), inner_steps=1), 6),
    ],
)
def test_resumed_run_gives_the_same_results(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Callable[[], Method], at: int
) -> None:
    changes = {
        "epochs": 2,
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        "backbone": lambda shape, classes: MLP(shape, classes, hidden=(8,), dropout=0.2),
        "networks": 2 if isinstance(method(), DivideMix) else 1,
    }
    run(method=method(), output=tmp_path / "whole", **changes)
    descend, taken = Algorithm.descend_along, iter(range(1, 1000))

    def stopping(self: Algorithm, *arguments: Any) -> Any:
        done = descend(self, *arguments)
        if next(taken) == at:
            signal.raise_signal(signal.SIGINT)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Algorithm, "descend_along", stopping)
        with pytest.raises(Interrupted):
            run(method=method(), **changes)
    run(method=method(), resume=True, **changes)
    whole, resumed = (load_checkpoint(one / "checkpoints/last.pt") for one in (tmp_path / "whole", folder))
    assert resumed["progress"]["rows"] == whole["progress"]["rows"]
    torch.testing.assert_close(resumed["stages"], whole["stages"], rtol=0, atol=0)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_networks_of_an_ensemble_are_cross_validated_together(run: Run, folder: Path, ema: float | None) -> None:
    run(method=ConfidentLearning(folds=2), epochs=2, networks=2, ema=ema)
    *folds, pruned = load_checkpoint(folder / "checkpoints/last.pt")["stages"]
    predicted = [[member["probabilities"] for member in fold["members"]] for fold in folds]
    assert [[tuple(p.shape) for p in fold] for fold in predicted] == [[(100, 10)] * 2] * 2
    assert all(torch.equal(*fold) for fold in predicted)
    assert torch.equal(*(member["kept"] for member in pruned["members"]))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_networks_of_an_ensemble_share_one_transition_estimate(run: Run, folder: Path, ema: float | None) -> None:
    run(method=GLC(), epochs=2, networks=2, ema=ema, optimizer=sgd(0.5))
    _, main = load_checkpoint(folder / "checkpoints/last.pt")["stages"]
    first, second = (member["transition"] for member in main["members"])
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.eye(10))


def test_dividemix_ignores_wrong_labels_more_than_right_ones(run: Run, folder: Path) -> None:
    run(
        method=DivideMix(early_epochs=8, clean_weight=0.0),
        networks=2,
        epochs=4,
        noise=UniformExclusive(0.3),
        split=SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=600),
        backbone=lambda shape, classes: MLP(shape, classes, hidden=(32,)),
    )
    assert [row["stage"] for row in _rows(folder)] == ["early training"] * 8 + ["training"] * 4
    split = Split.load(folder / "split.npz")
    assert split.true_labels is not None
    wrong = torch.from_numpy(split.given_labels != split.true_labels)
    state = load_checkpoint(folder / "checkpoints/last.pt")["stages"][1]
    for member in state["members"]:
        labelled = member["right"][split.noisy_indices] > 0.5
        assert wrong[labelled].float().mean() < 0.1 < 0.6 < wrong[~labelled].float().mean()


def test_pes_trains_in_four_stages_and_drops_wrong_labels_more_than_right_ones(run: Run, folder: Path) -> None:
    run(
        method=PES(8, 4, 2, refinement_optimizer=partial(torch.optim.Adam, lr=1e-2), clean_weight=0.0),
        epochs=3,
        noise=UniformExclusive(0.3),
        split=SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=600),
        backbone=lambda shape, classes: MLP(shape, classes, hidden=(32,)),
    )
    stages = ["whole network"] * 8 + ["last layers"] * 4 + ["last layer"] * 2 + ["training"] * 3
    assert [row["stage"] for row in _rows(folder)] == stages
    split = Split.load(folder / "split.npz")
    assert split.true_labels is not None
    wrong = split.given_labels != split.true_labels
    kept = np.isin(split.noisy_indices, load_checkpoint(folder / "checkpoints/last.pt")["pools"]["noisy"])
    assert wrong[kept].mean() < 0.1 < 0.6 < wrong[~kept].mean()


@pytest.mark.parametrize("clean_per_class", [0, 2])
def test_dividemix_uses_clean_examples_only_as_labelled_ones(run: Run, folder: Path, clean_per_class: int) -> None:
    method = DivideMix(1, pool="noisy_and_clean" if clean_per_class else "noisy", clean_weight=0.0)
    split = SplitSizes(clean_per_class=clean_per_class, validation_per_class=0, noisy_size=200)
    run(method=method, networks=2, epochs=1, split=split, ema=0.9)
    trusted = Split.load(folder / "split.npz").clean_indices
    for member in load_checkpoint(folder / "checkpoints/last.pt")["stages"][1]["members"]:
        assert (member["right"][trusted] == 1).all()
    assert len(trusted) == 10 * clean_per_class


def test_dividemix_with_one_network_raises_before_training(run: Run) -> None:
    with pytest.raises(UserError, match="set networks to 2"):
        run(method=DivideMix(), epochs=1)


def test_teacher_of_emlc_sees_the_inputs_after_the_run(experiment: Callable[..., Experiment]) -> None:
    built = experiment(method=EMLC(sgd(0.1)), epochs=1)
    built.run("epochs: 1\n", "seed: 0")
    assert built.trained is not None
    indices = built.trained.split.noisy_indices[:20]
    output, y = outputs_of(built.trained, indices)
    assert output.inputs is not None
    torch.testing.assert_close(built.trained.guide(output, y).sum(-1), torch.ones(20))
    assert evidence_of(built.trained, indices, draws=3).logits.shape == (20, 10)


@pytest.mark.parametrize("method", [Mixup, ELR, SOP, PES, ConfidentLearning])
def test_method_without_a_clean_weight_trains_without_clean_examples(run: Run, method: Callable[..., Method]) -> None:
    split = SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=200)
    assert run(method=method(clean_weight=0.0), epochs=1, split=split)["split"]["clean"] == 0


@pytest.mark.parametrize(
    "method", [GLC(), L2RW(), EMLC(sgd(0.1)), ELR(clean_weight=1.0)], ids=["GLC", "L2RW", "EMLC", "clean weight"]
)
def test_method_that_needs_clean_examples_raises_without_them(run: Run, method: Method) -> None:
    split = SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=200)
    with pytest.raises(UserError, match="needs clean examples but the split has none"):
        run(method=method, epochs=1, split=split)
