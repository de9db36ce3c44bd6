"""Graceful stop on Ctrl-C (SIGINT) or SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Raised when a stop request ends a run; its state has been saved."""


class StopRequest:
    """A flag that is set when a stop is requested.

    Attributes:
        made: whether a stop was requested.
    """

    def __init__(self) -> None:
        self.made = False


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a stop request; a second SIGINT raises ``KeyboardInterrupt``, as usual.

    The caller checks the request at points where it can stop safely. Outside the main thread, no signal handler is
    installed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.made = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
