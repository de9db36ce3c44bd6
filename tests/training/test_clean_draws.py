"""Clean batches of a run whose clean set has corrected labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.backbones import MLP
from vri_pyro.data import Arrays, DeviceData, Flip, Split, make_split
from vri_pyro.guides import Hierarchical
from vri_pyro.methods import ELR, GLC, EstimatedBilevel, NoisyCrossEntropy
from vri_pyro.methods.base import Method, Pool, Stage
from vri_pyro.models import HierarchicalRectification
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.training.batches import Pools, StageBatches
from vri_pyro.training.run_data import RunData
from vri_pyro.training.stages import MAIN, CleanSource, build_stages

from .spies import Spying


@pytest.fixture
def data() -> RunData:
    x, y = np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 2
    train = DeviceData(x, y, "cpu", np.zeros(2), np.ones(2))
    clean, draws = np.array([1, 3, 4]), np.array([1, 3, 4, 4])
    return RunData(train, train, clean, np.array([0]), clean_draws=draws)


def positions(batches: StageBatches, steps: int) -> list[int]:
    return sorted(int(index) for step in range(steps) for index in batches(step)[1].index)  # type: ignore[union-attr]


def test_repeated_examples_are_drawn_more_often(data: RunData) -> None:
    stage: Any = SimpleNamespace(name="training", pool=np.arange(5, 20), views=1, as_given=False)
    assert positions(StageBatches(stage, data, 5, 2, seed=0), 2) == [1, 3, 4, 4]
    assert positions(StageBatches(stage, data, 5, 100, seed=0), 1) == [1, 3, 4, 4]


def test_repeats_survive_a_resume_with_another_noisy_pool(data: RunData) -> None:
    stage: Any = SimpleNamespace(name="training", pool=np.arange(5, 20), views=1, as_given=False)
    first, second = (StageBatches(stage, data, 5, 2, seed=0) for _ in range(2))
    first.draw_from(first.pools._replace(noisy=np.arange(10, 20)))
    second.load_state_dict(first.state_dict())
    assert positions(first, 2) == positions(second, 2) == [1, 3, 4, 4]
    second.draw_from(Pools(stage.pool, np.array([7, 8])))  # a selection has chosen another clean set
    assert positions(second, 1) == [7, 8]


def test_only_methods_that_model_the_noise_see_the_labels_of_before_a_review(data: RunData) -> None:
    before = 1 - data.train.y.numpy()
    reviewed = replace(data, as_given=data.train.with_labels(before))
    labels = {}
    for as_given in (False, True):
        stage: Any = SimpleNamespace(name="training", pool=np.arange(20), views=1, as_given=as_given)
        noisy, clean = StageBatches(stage, reviewed, 20, 2, seed=0)(0)
        assert torch.equal(clean.y, data.train.y[clean.index])
        labels[as_given] = noisy.y[noisy.index.argsort()]  # type: ignore[union-attr]
    assert torch.equal(labels[False], data.train.y)
    assert torch.equal(labels[True], torch.from_numpy(before))


def test_stages_that_estimate_the_noise_are_marked() -> None:
    labels = np.arange(60) % 3
    arrays = Arrays(np.eye(60, 2, dtype=np.float32), labels, None, None, ("a", "b", "c"))
    split = make_split(arrays, Flip(0.4), 3, 0, None, seed=0)
    classifier = MLP((2,), 3)
    sgd = partial(torch.optim.SGD, lr=0.1)

    def marks(method: Method) -> dict[str, bool]:
        stages = build_stages({MAIN: (Stage(method, sgd), CleanSource())}, classifier, split, 2)
        return {stage.name: stage.as_given for stage in stages}

    assert marks(ELR()) == {"training": False}
    # The batches of GLC's second stage mix noisy and clean examples, which need their new labels.
    assert marks(GLC()) == {"estimation": True, "training": False}
    adam = partial(torch.optim.Adam, lr=1e-3)
    pair = (HierarchicalRectification, Hierarchical, adam)
    assert marks(EstimatedBilevel(*pair, estimation=NoisyCrossEntropy())) == {"estimation": True, "training": True}


@pytest.mark.parametrize("pool", ["noisy", "clean"])
def test_run_on_a_corrected_split_sees_every_class_equally_often(
    run: Callable[..., dict[str, Any]], folder: Path, tmp_path: Path, pool: Pool
) -> None:
    run(epochs=1)
    split = Split.load(folder / "split.npz")
    split.corrected(split.noisy_indices[:18], np.zeros(18, dtype=int)).save(
        tmp_path / "new.npz"
    )  # 20 labels of class 0
    method = Spying(pool)
    run(epochs=1, split=SplitSizes(file=tmp_path / "new.npz"), method=method, output=tmp_path / "other")
    for step in method.spy.seen:
        batch = step.noisy if pool == "clean" else step.clean
        counts = np.bincount(batch.y.numpy(), minlength=10)
        assert counts.max() <= 20  # of a batch of 50 or 100
        assert (counts > 0).all()


def test_reviewed_examples_stay_in_the_noisy_batches_with_their_new_labels(
    run: Callable[..., dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    run(epochs=1)
    split = Split.load(folder / "split.npz")
    reviewed, removed = split.noisy_indices[:18], split.noisy_indices[18:20]
    new = split.corrected(np.concatenate([reviewed, removed]), np.array([3] * 18 + [-1] * 2))
    new.save(tmp_path / "new.npz")
    method = Spying()
    run(epochs=1, split=SplitSizes(file=tmp_path / "new.npz"), method=method, output=tmp_path / "other", batch_size=33)
    assert len(method.spy.seen) == 198 // 33
    batches = [step.noisy for step in method.spy.seen]
    labels = {int(index): int(y) for batch in batches for index, y in zip(batch.index, batch.y, strict=True)}  # type: ignore[arg-type]
    assert labels.keys() == set(new.noisy_indices.tolist()) | set(reviewed.tolist())
    assert {labels[index] for index in reviewed.tolist()} == {3}
