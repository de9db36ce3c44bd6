"""Stopping on Ctrl-C (SIGINT) or SIGTERM: gracefully in training, at once elsewhere."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from vri_pyro.utils.processes import is_broken, largest, several

STOPPED = "stopped immediately; files saved earlier are intact"


class Interrupted(Exception):
    """Raised when a stop request ends a run; its state has been saved.

    Args:
        message: what has happened, for the user.
        number: the signal that requested the stop.

    Attributes:
        status: exit status for the process, 130 for SIGINT and 143 for SIGTERM, as in a shell.
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number
        self.status = 128 + number


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM where Ctrl-C raises ``KeyboardInterrupt``; see :func:`stops_raise`."""

    status = 128 + signal.SIGTERM


@dataclass
class StopRequest:
    """A flag that is set when a stop is requested.

    Attributes:
        made: whether a stop was requested; set by a signal at any time.
        agreed: whether all processes that train together have agreed to stop, on the request of at least one.
        number: the signal that requested it.
    """

    made: bool = False
    agreed: bool = False
    number: int = signal.SIGINT

    def agree(self) -> bool:
        """Make the request of one process that of all processes that train together, and return :attr:`agreed`.

        Waits for all processes. A signal that arrives meanwhile counts at the next call, in all of them.
        """
        if found := largest(self.number if self.made else 0):
            self.agreed, self.number = True, found
        return self.agreed

    def check(self) -> None:
        """Raise :class:`Interrupted` if a stop is agreed; to be called once the state is saved."""
        if self.agreed:
            raise Interrupted(number=self.number)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a stop request; a second SIGINT raises ``KeyboardInterrupt``, as usual.

    A second SIGTERM has no effect, because a stop by Ctrl-C may be followed by the SIGTERM of a parent process. Nor has
    a second SIGINT if several processes train together, because torchrun passes on the SIGINT that Ctrl-C sends. The
    caller checks the request at points where it can stop safely. Outside the main thread, no signal handler is
    installed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if not request.made:
            request.made, request.number = True, number
        before = previous[signal.SIGINT]
        if not several():
            signal.signal(signal.SIGINT, before if callable(before) else signal.default_int_handler)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def stops_raise() -> Iterator[StopRequest]:
    """Let SIGTERM raise :class:`Terminated`, so that a terminated command cleans up as after Ctrl-C.

    While it cleans up, another SIGINT or SIGTERM ends the process at once. Once another process of the run is lost,
    SIGTERM has no effect: this one is ending, and torchrun sends SIGTERM while it says why. The yielded request says
    whether there was a signal, since code that catches ``KeyboardInterrupt``, such as an import, can raise another
    exception instead.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if is_broken() and number == signal.SIGTERM:
            return
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, _leave)
        request.made, request.number = True, number
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # as in the background of a script
            signal.signal(number, stop)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def ignore_stops() -> None:
    """Ignore SIGINT and SIGTERM, while a command that has been stopped says so."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(128 + number)
