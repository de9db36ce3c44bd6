"""Noisy and clean batches of a stage, drawn from pools of examples that can change during the stage."""

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
from vri_pyro.utils.processes import share


class Pools(NamedTuple):
    """Positions of the training examples from which the batches are drawn.

    Attributes:
        noisy: positions for the noisy batches, int64 [n].
        clean: positions for the clean batches, int64 [m]; may be empty.
    """

    noisy: np.ndarray
    clean: np.ndarray


class StageBatches:
    """Noisy and clean batch of each step.

    The batches depend only on the seed, the step and the current pools. Without a clean set, the clean batches are
    empty.

    Args:
        stage: the stage; defines the pool and the number of views.
        data: the data and their augmentation.
        batch_size: number of examples in a noisy batch.
        clean_batch_size: number of examples in a clean batch.
        seed: seed of the order and the augmentation of the batches.

    Attributes:
        own: the initial pools of the stage.
        pools: the current pools.
    """

    def __init__(self, stage: BuiltStage, data: RunData, batch_size: int, clean_batch_size: int, seed: int) -> None:
        self.own = Pools(stage.pool, data.clean)
        self._stage, self._data = stage, data
        self._batch_size, self._clean_batch_size, self._seed = batch_size, clean_batch_size, seed
        self._use(self.own)

    def __call__(self, step: int) -> tuple[Batch, Batch]:
        """Return the noisy and the clean batch of a step; steps are numbered over the whole run, from 0."""
        noisy = self._noisy(step)
        return noisy, Batch(noisy.x[:0], noisy.y[:0]) if self._clean is None else self._clean(step)

    def draw_from(self, pools: Pools) -> None:
        """Draw subsequent batches from ``pools``.

        Raises:
            UserError: the noisy pool is empty.
        """
        if len(pools.noisy) == 0:
            raise UserError(
                f"{self._stage.name} selected no examples to train on; relax the selection criterion of its method"
            )
        self._use(pools)

    def clean_pass(self, purpose: str) -> BatchPlan:
        """Return a plan of batches from the current clean pool; ``purpose`` determines their order."""
        pool, draws = self.pools.clean, self._data.clean_draws
        if draws is not None and np.array_equal(pool, self._data.clean):
            pool = draws
        augmentation = self._data.clean_augmentation
        return BatchPlan(pool, self._clean_batch_size, self._seed, purpose, augmentation, share=share())

    def state_dict(self) -> dict[str, Tensor] | None:
        """Return the current pools; None if they are the initial pools of the stage."""
        if self.pools is self.own:
            return None
        return {name: torch.from_numpy(np.array(pool)) for name, pool in self.pools._asdict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor] | None) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        if state is not None:
            self.draw_from(Pools(**{name: pool.numpy() for name, pool in state.items()}))

    def _check_divisible(self, name: str, size: int) -> None:
        """Raise if a batch is too small for each process to have a share of it; there may be no clean set."""
        if 0 < size < share().world_size:
            raise UserError(
                f"the {name} batches of {self._stage.name} have {size} examples for {share().world_size} processes; "
                "start fewer processes, or use larger batches"
            )

    def _use(self, pools: Pools) -> None:
        train, augmentation, views = self._data.train, self._data.augmentation, self._stage.views
        noisy = BatchPlan(pools.noisy, self._batch_size, self._seed, "noisy batches", augmentation, views, share())
        self._check_divisible("noisy", min(len(pools.noisy), self._batch_size))
        self._check_divisible("clean", min(len(pools.clean), self._clean_batch_size))
        as_given = self._data.as_given if self._stage.as_given else None
        self.pools = pools
        self._noisy = (train if as_given is None else as_given).sequence(noisy)
        self._clean = train.sequence(self.clean_pass("clean batches")) if len(pools.clean) else None
