"""Several processes that train one run, as started by ``torchrun``: their shares, agreements, and common end.

Everything here does nothing in a single process. Code of a user that has initialised ``torch.distributed`` for its
own purposes is a single process too, unless it enters :func:`started`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from vri_pyro.utils.errors import UserError

# The first process may work alone for a long time, as when it looks for duplicates among millions of images.
_TIMEOUT = timedelta(hours=12)
_JOINING = 600.0  # seconds until all processes must have been started
_FAREWELL = 10.0  # seconds that the first process, which may hold the store, waits for the others to ask who tells
# Parts of the messages with which Gloo and NCCL report that another process is gone.
_GONE = ("peer", "connection", "socket", "broken pipe", "timed out", "timeout", "nccl", "remote process")


class ProcessLost(RuntimeError):
    """Another process of the run ended, so this one cannot go on."""


class Share(NamedTuple):
    """The part of every batch that a process computes: consecutive examples, as equally many as possible.

    Attributes:
        rank: number of the process, from 0.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    def rows(self, total: int) -> slice:
        """Return the rows of this share among ``total`` rows, such as 34, 33 and 33 rows of 100 for 3 processes."""
        size, more = divmod(total, self.world_size)
        start = self.rank * size + min(self.rank, more)
        return slice(start, start + size + (self.rank < more))

    def size(self, total: int) -> int:
        """Return the number of rows of this share among ``total`` rows."""
        rows = self.rows(total)
        return rows.stop - rows.start


ALONE = Share()


@dataclass
class _Group:
    share: Share
    local_rank: int
    store: Any
    has_asked: bool = False  # whether may_tell was called
    is_broken: bool = False  # whether another process is lost


_group: _Group | None = None


def share() -> Share:
    """Return the share of this process; all rows in a single process."""
    return ALONE if _group is None else _group.share


def several() -> bool:
    """Return whether this process trains together with others."""
    return _group is not None


def is_first() -> bool:
    """Return whether this is the first process, which alone prints and writes files; true in a single process."""
    return share().rank == 0


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU; 0 in a single process."""
    return 0 if _group is None else _group.local_rank


def is_broken() -> bool:
    """Return whether another process of the run is lost, so that this one is ending: see :class:`ProcessLost`."""
    return _group is not None and _group.is_broken


def number_started() -> int:
    """Return how many processes ``torchrun`` started, whether or not they have joined; 1 without ``torchrun``."""
    return _number("WORLD_SIZE", 1, least=1)


def rank_started() -> int:
    """Return the number that ``torchrun`` gave this process, from 0."""
    return _number("RANK", 0)


@contextmanager
def started() -> Iterator[None]:
    """Context manager that joins the processes that ``torchrun`` started, and leaves them on exit.

    It reads the environment variables RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, and does nothing if
    WORLD_SIZE is 1 or not set. CPU tensors are exchanged by Gloo and CUDA tensors by NCCL.

    Raises:
        UserError: an environment variable is missing or no number, or not all processes meet within 10 minutes.
        ProcessLost: another process ended meanwhile.
    """
    if number_started() > 1:
        _join()
    try:
        yield
    finally:
        leave()


def _join() -> None:
    global _group
    import torch
    from torch import distributed

    rank, count = _rank_and_count()
    local = _number("LOCAL_RANK", rank)
    if torch.cuda.is_available() and local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    place = f"{os.environ['MASTER_ADDR']}:{_number('MASTER_PORT')}"
    try:
        with _signals_end_the_process():  # PyTorch waits without looking at signals
            store = next(distributed.rendezvous("env://", rank, count, timeout=timedelta(seconds=_JOINING)))[0]
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"process {rank + 1} of {count} did not meet the others at {place} ({_first_line(error)}); check "
            f"MASTER_ADDR and MASTER_PORT, and that all processes are started within {_JOINING:.0f} s"
        ) from error
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with loss_explained():
        _wait_for_all(store, count, place)
        store.set_timeout(_TIMEOUT)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_TIMEOUT)
    _group = _Group(Share(rank, count), local, store)


def _rank_and_count() -> tuple[int, int]:
    """Number of this process and number of all, from environment variables that torchrun sets."""
    count = number_started()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UserError(f"WORLD_SIZE is {count} but {missing[0]} is not set; start the processes with torchrun")
    if (rank := rank_started()) >= count:
        raise UserError(
            f"the environment variable RANK is {rank} for WORLD_SIZE {count}; expected 0 to {count - 1}, as torchrun "
            "sets it"
        )
    return rank, count


def _wait_for_all(store: Any, count: int, place: str) -> None:
    """Announce this process, and wait until all ``count`` processes have done so."""
    deadline, found = time.monotonic() + _JOINING, store.add("joined", 1)
    while found < count:
        if time.monotonic() > deadline:
            raise UserError(
                f"within {_JOINING:.0f} s, only {found} of {count} processes came to {place}; check that all were "
                "started"
            )
        time.sleep(0.01)
        found = store.add("joined", 0)


@contextmanager
def _signals_end_the_process() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the process, also within code that is not Python's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = {number: handler for number, handler in previous.items() if callable(handler)}
    for number in handled:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(".")


def leave() -> None:
    """Leave the other processes; from here on this is a single process.

    A first process that has called :func:`may_tell` waits until all others have called it, at most 10 seconds.
    """
    global _group
    if _group is not None:
        from torch import distributed

        left, _group = _group, None
        distributed.destroy_process_group()  # the others, if they wait for this one, are told that it is gone
        if left.has_asked and left.share.rank == 0:
            _wait_for_askers(left)


def _wait_for_askers(left: _Group) -> None:
    deadline = time.monotonic() + _FAREWELL
    with suppress(RuntimeError):
        while left.store.add("told", 0) < left.share.world_size and time.monotonic() < deadline:
            time.sleep(0.01)


def largest(value: int) -> int:
    """Return the largest value that a process gives; waits for all of them."""
    if not several():
        return value
    import torch
    from torch import distributed

    found = torch.tensor(value)
    with loss_explained():
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def from_first[T](make: Callable[[], T]) -> T:
    """Call ``make()`` in the first process only, and return its result, which must be picklable, in all of them."""
    if not several():
        return make()
    import torch
    from torch import distributed

    box = [make() if is_first() else None]
    with loss_explained():
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]  # type: ignore[return-value]


@contextmanager
def in_turn() -> Iterator[None]:
    """Context manager that the first process of every machine leaves before the others enter it.

    Where it downloads data or writes a cache, the others find them.
    """
    if local_rank() != 0:
        largest(0)
    yield
    if local_rank() == 0:
        largest(0)


def may_tell() -> bool:
    """Return whether this process tells the user why the run ended: the first one that asks, so that it is told once.

    A process that asks because another one is lost thus gives way to that one's own explanation, if there is any.
    """
    if _group is None:
        return True
    try:
        number = _group.store.add("told", 1)
        _group.has_asked = True
        return number == 1
    except RuntimeError:  # the process that held the store is lost
        return True


@contextmanager
def loss_explained() -> Iterator[None]:
    """Convert the errors of Gloo and NCCL about lost processes to :class:`ProcessLost`."""
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in _GONE):
            raise
        if _group is not None:
            _group.is_broken = True
        raise ProcessLost(
            "another process of this run ended, so all of them do; the last checkpoint is intact: repeat the command "
            "with --resume true, with any number of processes"
        ) from error


def _number(variable: str, default: int | None = None, least: int = 0) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal() or int(text) < least:
        raise UserError(
            f"the environment variable {variable} is {text!r}; expected a number from {least}, as torchrun sets it"
        )
    return int(text)
