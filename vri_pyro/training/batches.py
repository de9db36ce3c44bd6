"""The batches of a stage, drawn from pools that may change before any epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import BatchPlan
from vri_pyro.data.batch import Batch
from vri_pyro.training.run_data import RunData
from vri_pyro.training.stages import BuiltStage
from vri_pyro.utils.errors import UserError


class Pools(NamedTuple):
    """The examples that the batches of a step are drawn from, as positions in the training examples.

    Attributes:
        noisy: of the noisy batch, int64 [n].
        clean: of the clean batch, int64 [m]; may be empty.
    """

    noisy: np.ndarray
    clean: np.ndarray


class StageBatches:
    """The noisy and the clean batch of each step, as a function of the seed, the step and the current pools.

    Without a clean set the clean batch is empty.

    Args:
        stage: whose pool and number of views to use.
        data: the data and their augmentation.
        batch_size, clean_batch_size: number of examples in the two batches.
        seed: of the order and the augmentation of the batches.

    Attributes:
        own: the stage's own pools.
        pools: the pools that batches are drawn from now.
    """

    def __init__(self, stage: BuiltStage, data: RunData, batch_size: int, clean_batch_size: int, seed: int) -> None:
        self.own = Pools(stage.pool, data.clean)
        self._stage, self._data = stage, data
        self._batch_size, self._clean_batch_size, self._seed = batch_size, clean_batch_size, seed
        self._use(self.own)

    def __call__(self, step: int) -> tuple[Batch, Batch]:
        """The noisy and the clean batch of a step of the run."""
        noisy = self._noisy(step)
        return noisy, Batch(noisy.x[:0], noisy.y[:0]) if self._clean is None else self._clean(step)

    def draw_from(self, pools: Pools) -> None:
        """Draw the following batches from ``pools``.

        Raises:
            UserError: there is no noisy example among them.
        """
        if len(pools.noisy) == 0:
            raise UserError(f"{self._stage.name} has chosen no example to train on; loosen what the method asks of one")
        self._use(pools)

    def clean_pass(self, purpose: str) -> BatchPlan:
        """Batches of the current clean pool from step 0 on, in an order of their own."""
        return BatchPlan(self.pools.clean, self._clean_batch_size, self._seed, purpose, self._data.clean_augmentation)

    def state_dict(self) -> dict[str, Tensor] | None:
        """The pools, where they are not the stage's own any more."""
        if self.pools is self.own:
            return None
        return {name: torch.from_numpy(np.array(pool)) for name, pool in self.pools._asdict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor] | None) -> None:
        """Restore the state of a :meth:`state_dict`."""
        if state is not None:
            self.draw_from(Pools(**{name: pool.numpy() for name, pool in state.items()}))

    def _use(self, pools: Pools) -> None:
        train, augmentation, views = self._data.train, self._data.augmentation, self._stage.views
        noisy = BatchPlan(pools.noisy, self._batch_size, self._seed, "noisy batches", augmentation, views)
        self.pools = pools
        self._noisy = train.sequence(noisy)
        self._clean = train.sequence(self.clean_pass("clean batches")) if len(pools.clean) else None
