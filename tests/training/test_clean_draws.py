"""Clean batches of a run whose clean set has corrected labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vri_pyro.data import DeviceData, Split
from vri_pyro.methods.base import Pool
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.training.batches import Pools, StageBatches
from vri_pyro.training.run_data import RunData

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
    stage: Any = SimpleNamespace(name="training", pool=np.arange(5, 20), views=1)
    assert positions(StageBatches(stage, data, 5, 2, seed=0), 2) == [1, 3, 4, 4]
    assert positions(StageBatches(stage, data, 5, 100, seed=0), 1) == [1, 3, 4, 4]


def test_repeats_survive_a_resume_with_another_noisy_pool(data: RunData) -> None:
    stage: Any = SimpleNamespace(name="training", pool=np.arange(5, 20), views=1)
    first, second = (StageBatches(stage, data, 5, 2, seed=0) for _ in range(2))
    first.draw_from(first.pools._replace(noisy=np.arange(10, 20)))
    second.load_state_dict(first.state_dict())
    assert positions(first, 2) == positions(second, 2) == [1, 3, 4, 4]
    second.draw_from(Pools(stage.pool, np.array([7, 8])))  # a selection has chosen another clean set
    assert positions(second, 1) == [7, 8]


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
