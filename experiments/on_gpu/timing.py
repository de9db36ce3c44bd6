"""Time and memory of a step on a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import torch

Step = Callable[[], object]


def milliseconds(step: Step, device: torch.device, count: int) -> float:
    """Median time of a step over ``count`` steps, after three to warm up: by CUDA events, or by the clock on a CPU."""
    for _ in range(3):
        step()
    if device.type != "cuda":
        return median(_by_the_clock(step) for _ in range(count))
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    return median(before.elapsed_time(after) for before, after in pairwise(events))


def _by_the_clock(step: Step) -> float:
    began = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - began)


def added_mebibytes(step: Step, device: torch.device) -> float | None:
    """Peak of the allocated CUDA memory in a step minus that before it; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
