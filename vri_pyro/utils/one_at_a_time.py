"""A lock for training and sampling, whose random state and settings PyTorch and Pyro share between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps

_LOCK = threading.RLock()


def one_at_a_time[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Let calls from several threads run one after the other, so that each gives the result that it gives alone.

    PyTorch's default random generator, Pyro's handlers and its validation setting belong to the process. Calls of
    different functions with this decorator exclude each other too; a call inside another one of the same thread does
    not wait.
    """

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _LOCK:
            return function(*args, **kwargs)

    return alone
