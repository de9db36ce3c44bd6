"""A data set that stays on disk, and the worker processes that read and augment its batches ahead of time."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vri_pyro.data.augmentation import Augmentation, NoAugmentation
from vri_pyro.data.batch import Batch
from vri_pyro.data.batch_plan import BatchPlan
from vri_pyro.data.examples import BatchSequence, Examples
from vri_pyro.data.randomness import generator_for
from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.errors import UserError

# Batches that each worker keeps ready.
_AHEAD = 2


class StreamedData(Examples):
    """Inputs on disk with labels in memory; a worker makes whole batches, so that their number changes nothing.

    Args:
        images: what is read.
        y, device, mean, std, crop: see :class:`Examples`.
        workers: processes that read; with 0, reading happens when a batch is asked for.
    """

    def __init__(
        self,
        images: Streamed,
        y: np.ndarray,
        device: torch.device | str,
        mean: np.ndarray,
        std: np.ndarray,
        crop: Augmentation = NoAugmentation(),
        workers: int = 0,
    ) -> None:
        super().__init__(images, y, device, mean, std, crop)
        self._images, self._workers = images, workers
        if workers:
            # Workers are forked from a small server process; what it has imported, they need not import again.
            multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])

    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """See :class:`Examples`."""
        return _Prefetched(lambda start: self._read(plan, itertools.count(start)))

    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """See :class:`Examples`."""
        return self._read(_InOrder(indices, batch_size, self._crop), range(0, len(indices), batch_size))

    def listed(self, index: int) -> str:
        """See :class:`Examples`."""
        return self._images.listed(index)

    def _read(self, order: _Order, steps: Iterable[int]) -> Iterator[Batch]:
        on_gpu = self.device.type == "cuda"
        loader = DataLoader(
            _Batches(self._images, order),
            batch_size=None,
            sampler=steps,
            num_workers=self._workers,
            prefetch_factor=_AHEAD if self._workers else None,
            # A forked copy of a process that has threads can hang, and training has threads.
            multiprocessing_context="forkserver" if self._workers else None,
            pin_memory=on_gpu,
            worker_init_fn=_one_thread,
            # Otherwise it seeds its workers from the run's own random stream, which a resumed run would see moved.
            generator=torch.Generator(),
        )
        for made in loader:
            if isinstance(made, UserError):
                raise made
            views, index = made
            yield self._labelled([view.to(self.device, non_blocking=True) for view in views], self._on_device(index))


class _Prefetched:
    """Batches that come in order from a step on; a step out of order starts the workers anew."""

    def __init__(self, starting_at: Callable[[int], Iterator[Batch]]) -> None:
        self._starting_at = starting_at
        self._next: int | None = None
        self._batches: Iterator[Batch] = iter(())

    def __call__(self, step: int) -> Batch:
        if step != self._next:
            self._batches = self._starting_at(step)
        batch = next(self._batches)
        self._next = step + 1
        return batch


class _Order(Protocol):
    """What :class:`BatchPlan` and :class:`_InOrder` have in common."""

    def indices(self, step: int) -> np.ndarray: ...

    def augmented(self, images: Tensor, step: int) -> list[Tensor]: ...


@dataclass(frozen=True, eq=False)
class _InOrder:
    """The examples at some positions in chunks, each named by where it starts."""

    positions: np.ndarray
    size: int
    crop: Augmentation

    def indices(self, step: int) -> np.ndarray:
        return self.positions[step : step + self.size]

    def augmented(self, images: Tensor, step: int) -> list[Tensor]:
        return [self.crop(images, generator_for(0))]


class _Batches(Dataset):
    """Whole batches by step, made where this object is unpickled."""

    def __init__(self, images: Streamed, order: _Order) -> None:
        self._images, self._order = images, order

    def __getitem__(self, step: int) -> tuple[list[Tensor], Tensor] | UserError:
        indices = self._order.indices(step)
        try:
            images = torch.from_numpy(self._images[indices]).permute(0, 3, 1, 2).contiguous()
            return self._order.augmented(images, step), torch.from_numpy(indices)
        except UserError as error:
            return error  # raised in a worker, it would arrive wrapped in a traceback


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
