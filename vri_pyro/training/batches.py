"""The batches of one phase, from pools that may change before any epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import BatchPlan
from vri_pyro.data.batch import Labelled
from vri_pyro.interfaces.training_context import Pools
from vri_pyro.training.phase import Material, Phase
from vri_pyro.utils.errors import UserError


class PhaseBatches:
    """A noisy and a clean batch for each step: functions of the seed, the step and the current pools.

    Without a clean set the clean batch holds no examples.

    Args:
        phase: whose pool and views they are of.
        material: the data and their augmentation.
        batch_size, clean_batch_size: examples of the two batches.
        seed: of the batches' order and augmentation.

    Attributes:
        own: the phase's own pools.
        pools: what batches are drawn from now.
    """

    def __init__(self, phase: Phase, material: Material, batch_size: int, clean_batch_size: int, seed: int) -> None:
        self.own = Pools(phase.pool, material.clean)
        self._phase, self._material = phase, material
        self._batch_size, self._clean_batch_size, self._seed = batch_size, clean_batch_size, seed
        self._use(self.own)

    def __call__(self, step: int) -> tuple[Labelled, Labelled]:
        """The noisy and the clean batch of a step of the run."""
        noisy = self._noisy(step)
        return noisy, Labelled(noisy.x[:0], noisy.y[:0]) if self._clean is None else self._clean(step)

    def draw_from(self, pools: Pools) -> None:
        """Draw the following batches from ``pools``.

        Raises:
            UserError: there is no noisy example among them.
        """
        if len(pools.noisy) == 0:
            raise UserError(f"{self._phase.name} has chosen no example to train on; loosen what the method asks of one")
        self._use(pools)

    def clean_pass(self, purpose: str) -> BatchPlan:
        """Batches of the current clean pool from step 0 on, in an order of their own."""
        return BatchPlan(
            self.pools.clean, self._clean_batch_size, self._seed, purpose, self._material.clean_augmentation
        )

    def state_dict(self) -> dict[str, Tensor] | None:
        """The pools where they are no longer the phase's own."""
        if self.pools is self.own:
            return None
        return {name: torch.from_numpy(np.array(pool)) for name, pool in self.pools._asdict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor] | None) -> None:
        """Take over the state of a :meth:`state_dict`."""
        if state is not None:
            self.draw_from(Pools(**{name: pool.numpy() for name, pool in state.items()}))

    def _use(self, pools: Pools) -> None:
        train, augmentation, views = self._material.train, self._material.augmentation, self._phase.views
        noisy = BatchPlan(pools.noisy, self._batch_size, self._seed, "noisy batches", augmentation, views)
        self.pools = pools
        self._noisy = train.sequence(noisy)
        self._clean = train.sequence(self.clean_pass("clean batches")) if len(pools.clean) else None
