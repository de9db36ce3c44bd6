"""A data set streamed from disk, with worker processes that prefetch and augment its batches."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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

# Batches that each worker prefetches.
_AHEAD = 2


class StreamedData(Examples):
    """Inputs streamed from disk, with labels in memory.

    Each worker process makes whole batches, so the number of workers does not affect the batches.

    Args:
        images: the images to read.
        y, device, mean, std, crop: see :class:`~vri_pyro.data.examples.Examples`.
        workers: number of worker processes; with 0, images are read in the main process when a batch is requested.
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

    def sequence(self, plan: BatchPlan) -> BatchSequence:
        """See :class:`Examples`."""
        return _Prefetched(lambda start: self._read(plan, itertools.count(start)))

    def in_order(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """See :class:`Examples`."""
        return self._read(_InOrder(indices, batch_size, self._crop), range(0, len(indices), batch_size))

    def listed(self, index: int) -> str:
        """See :class:`Examples`."""
        return self._images.listed(index)

    def file(self, index: int) -> str | None:
        """See :class:`Examples`."""
        return self._images.file(index)

    def _read(self, order: _Order, steps: Iterable[int]) -> Iterator[Batch]:
        for made in _items(_loader(_Batches(self._images, order), steps, self._workers, self.device.type == "cuda")):
            if isinstance(made, UserError):
                raise made
            views, index = made
            yield self._labelled([view.to(self.device, non_blocking=True) for view in views], self._on_device(index))


def read_batches(
    images: Streamed, batch_size: int, workers: int = 0
) -> Iterator[tuple[np.ndarray, Sequence[tuple[int, str]]]]:
    """Read all images in order; an unreadable image does not stop the reading.

    Args:
        images: the images to read.
        batch_size: number of images per batch.
        workers: number of worker processes; with 0, images are read in this process.

    Yields:
        the images of a batch, uint8 [n, H, W, C], and the position in the batch and the error message of each
        unreadable image, whose pixels are zero.
    """
    loader = _loader(_Readable(images, batch_size), range(0, len(images), batch_size), workers)
    for batch, unreadable in _items(loader):
        yield batch.numpy(), unreadable


def _loader(dataset: Dataset, steps: Iterable[int], workers: int, pin_memory: bool = False) -> DataLoader:
    """Return a loader of the items of ``dataset`` at the given steps; each item is a whole batch."""
    if workers:
        # Workers are forked from a small server process and inherit the modules that it has preloaded.
        multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        # Forking a process with threads can deadlock, and training has threads.
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=pin_memory,
        worker_init_fn=_one_thread,
        # By default the loader seeds its workers from the global random stream, and so advances it; a resumed run
        # would then see different random numbers.
        generator=torch.Generator(),
    )


def _items(loader: DataLoader) -> Iterator[Any]:
    """Yield the items of a loader; a worker that dies raises the same error at any moment.

    If it dies while it sends an item, the loader raises the error of the connection.
    """
    try:
        yield from loader
    except (ConnectionError, EOFError) as error:
        raise RuntimeError("DataLoader worker exited while it sent a batch") from error


class _Prefetched:
    """Batches prefetched in order of the steps; a request for any other step restarts the workers at that step."""

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
    """The common interface of :class:`~vri_pyro.data.batch_plan.BatchPlan` and :class:`_InOrder`."""

    def indices(self, step: int) -> np.ndarray: ...

    def read(self, step: int) -> np.ndarray: ...

    def augmented(self, images: Tensor, step: int) -> list[Tensor]: ...


@dataclass(frozen=True, eq=False)
class _InOrder:
    """Chunks of the examples at given positions; the start of a chunk serves as its step."""

    positions: np.ndarray
    size: int
    crop: Augmentation

    def indices(self, step: int) -> np.ndarray:
        return self.positions[step : step + self.size]

    def read(self, step: int) -> np.ndarray:
        return self.indices(step)

    def augmented(self, images: Tensor, step: int) -> list[Tensor]:
        return [self.crop(images, generator_for(0))]


class _Batches(Dataset):
    """Map-style data set whose items are whole batches, indexed by step; each worker has a copy."""

    def __init__(self, images: Streamed, order: _Order) -> None:
        self._images, self._order = images, order

    def __getitem__(self, step: int) -> tuple[list[Tensor], Tensor] | UserError:
        try:
            images = torch.from_numpy(self._images[self._order.read(step)]).permute(0, 3, 1, 2).contiguous()
            return self._order.augmented(images, step), torch.from_numpy(self._order.indices(step))
        except UserError as error:
            return error  # an error raised in a worker would reach the main process wrapped in a traceback


class _Readable(Dataset):
    """Map-style data set of the batches of :func:`read_batches`, indexed by their first image."""

    def __init__(self, images: Streamed, batch_size: int) -> None:
        self._images, self._batch_size = images, batch_size

    def __getitem__(self, start: int) -> tuple[Tensor, list[tuple[int, str]]]:
        indices = range(start, min(start + self._batch_size, len(self._images)))
        batch, unreadable = np.zeros((len(indices), *self._images.shape[1:]), dtype=np.uint8), []
        for position, index in enumerate(indices):
            try:
                batch[position] = self._images.read(index)
            except UserError as error:
                unreadable.append((position, str(error)))
        return torch.from_numpy(batch), unreadable


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
