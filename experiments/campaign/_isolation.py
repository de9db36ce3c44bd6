"""Run an attempt in a forked process with limits on time and memory, so that a crash or a hang is an outcome."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    """How an attempt ended.

    Attributes:
        ending: "status N" for a command, "returned" or the name of an exception for a call, or how the process died.
        message: what was printed to stderr, the message of the exception, or the value that was returned.
        user_error: whether the exception is the documented one for bad input.
    """

    ending: str
    message: str
    user_error: bool = False


def isolated(attempt: Callable[[], Outcome], seconds: float = 30.0, gigabytes: float = 6.0) -> Outcome:
    """Return the outcome of an attempt in a forked process.

    Args:
        attempt: the attempt; its outcome is returned unless the process dies.
        seconds: the process is killed after this time.
        gigabytes: address space that the process may reserve in addition to its own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _limit_memory(gigabytes)
        try:
            found = attempt()
        except BaseException as error:
            found = Outcome(f"escaped {type(error).__name__}", str(error))
        os.write(writing, json.dumps(found).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    content = _read(reading, time.monotonic() + seconds)
    os.close(reading)
    if content is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if content is None:
        return Outcome(f"no end after {seconds:.0f} s", "")
    if os.WIFSIGNALED(status):
        return Outcome(f"killed by {signal.Signals(os.WTERMSIG(status)).name}", "")
    return Outcome(*json.loads(content)) if content else Outcome("process ended", "")


def _limit_memory(gigabytes: float) -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limit = used + int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(pipe: int, deadline: float) -> bytes | None:
    """Read until the other end is closed; None if that takes too long."""
    parts = []
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([pipe], [], [], left)[0]:
            break
        if not (part := os.read(pipe, 65536)):
            return b"".join(parts)
        parts.append(part)
    return None
