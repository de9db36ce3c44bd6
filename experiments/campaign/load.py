"""Load: memory, files, processes and threads over long, large and many runs.

Every attempt runs in a forked process, so that its memory and its files are its own. Times are wall-clock times with
the process's CPU time beside them.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_wine

from campaign._isolation import Outcome, isolated
from campaign.trial import Trial
from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP
from vri_pyro.data import Digits, ImageFolder, NpzFile, Source, Table
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.report import SeenRun, record, write_page
from vri_pyro.runs.building import load_data
from vri_pyro.runs.configuration import Configuration, SplitSizes
from vri_pyro.runs.experiment import Experiment
from vri_pyro.runs.named import named_configuration
from vri_pyro.training.loggers import Logger
from vri_pyro.training.run_folder import Row, RunFolder
from vri_pyro.utils.interruption import Interrupted

_MEGABYTE = 1e6
_LARGEST_SLOPE = 1.0  # megabytes per 1,000 steps: 5 MB over the whole run
_LARGEST_SLOPE_OF_RUNS = 0.5  # megabytes per run
_SECONDS_TO_START, _MEMORY_TO_START = 30.0, 1024.0  # for 500,000 rows, seconds and megabytes
_SECONDS_OF_A_PAGE = 60.0


class Scale(NamedTuple):
    """Sizes of the attempts.

    Attributes:
        steps: number of steps between two readings of the memory.
        readings: number of readings of the memory.
        warm_up: number of readings to leave out before them.
        rows: number of rows of large tables.
        classes, examples: size of the data of a page.
        runs: number of runs in one process.
    """

    steps: int
    readings: int
    warm_up: int
    rows: int
    classes: int
    examples: int
    runs: int


_FULL = Scale(steps=250, readings=20, warm_up=4, rows=500_000, classes=100, examples=50_000, runs=30)
_QUICK = Scale(steps=5, readings=4, warm_up=1, rows=2_000, classes=3, examples=300, runs=4)


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Yield the outcome of every attempt."""
    scale = _QUICK if quick else _FULL
    pictures = _pictures(folder / "photos", 400)
    attempts: list[tuple[str, str, Callable[[Path], str]]] = [
        ("memory over 5,000 steps", "resident", lambda place: _slope(Digits(), place, scale, 0)),
        ("500,000 rows", "table of image files", lambda place: _large_table(place, scale)),
        ("500,000 rows", "arrays of 32 features", lambda place: _large_arrays(place, scale)),
        ("memory over 5,000 steps", "streamed, 2 workers", lambda place: _slope(pictures, place, scale, 2)),
        ("report page", "100 classes, 50,000 examples", lambda place: _page(place, scale)),
        ("what is left behind", "a run with workers", lambda place: _left(lambda: _run(pictures, place, workers=2))),
        ("what is left behind", "a run with an error", lambda place: _left(lambda: _failing(pictures, place))),
        ("what is left behind", "an interrupted run", lambda place: _left(lambda: _interrupted(pictures, place))),
        ("many runs", "30 runs in one process", lambda place: _many(place, scale)),
        ("threads", "three VRIClassifiers at once", lambda place: _classifiers_at_once()),
        ("threads", "a run and a VRIClassifier at once", lambda place: _run_at_once(place)),
    ]
    if quick:
        attempts = attempts[:3]  # the others start worker processes or train longer
    for number, (group, name, attempt) in enumerate(attempts):
        place = folder / str(number)
        place.mkdir()
        outcome = isolated(lambda attempt=attempt, place=place: _outcome(attempt, place), 1800, 20)  # type: ignore[misc]
        yield Trial(group, name, outcome.ending == "survived", f"{outcome.ending}: {outcome.message}")


def _outcome(attempt: Callable[[Path], str], place: Path) -> Outcome:
    torch.set_num_threads(1)
    tempfile.tempdir = str(place / "temporary")
    os.mkdir(tempfile.tempdir)
    began, cpu = time.monotonic(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = attempt(place)
    except AssertionError as error:
        return Outcome("broken", str(error))
    return Outcome("survived", f"{told} ({time.monotonic() - began:.1f} s, CPU {time.process_time() - cpu:.1f} s)")


def _check(sound: bool, told: str) -> str:
    if not sound:
        raise AssertionError(told)
    return told


# Readings of the process.


def resident() -> float:
    """Return the resident memory of this process in megabytes."""
    return _status("VmRSS")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / _MEGABYTE
    raise ValueError(f"/proc/self/status has no {name}")


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Yield a function that returns by how many megabytes the memory has been above that at the beginning."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()
    yield lambda: _status("VmHWM") - before


def slope(values: list[float]) -> tuple[float, float]:
    """Return the least-squares slope of equidistant values per step, and its standard error."""
    x = np.arange(len(values)) - (len(values) - 1) / 2
    y = np.array(values) - np.mean(values)
    found = float(x @ y / (x @ x))
    residual = y - found * x
    return found, float(np.sqrt(residual @ residual / (len(x) - 2) / (x @ x)))


def holdings() -> dict[str, list[str]]:
    """Return what this process holds: open files, threads, child processes, shared memory and temporary files."""
    gc.collect()  # the queues to worker processes hold semaphores, and are parts of reference cycles
    files = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            files.append(os.readlink(f"/proc/self/fd/{number}"))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "open files": sorted(re.sub(r"\d+", "", file) for file in files if "/proc/" not in file),
        "threads": [str(len(os.listdir("/proc/self/task")))],
        "child processes": sorted(children),
        "shared memory": sorted(name for name in os.listdir("/dev/shm") if str(os.getpid()) in name),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
    }


# Runs.


class _Readings(Logger):
    """Reads the memory after every epoch, and can interrupt the run."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.values: list[float] = []
        self.interrupt_after = interrupt_after

    def start(self, folder: RunFolder, rows: Any) -> None:
        """See :class:`Logger`."""

    def log(self, row: Row) -> None:
        """See :class:`Logger`."""
        self.values.append(resident())
        if len(self.values) == self.interrupt_after:
            os.kill(os.getpid(), signal.SIGINT)

    def close(self) -> None:
        """See :class:`Logger`."""


def _configuration(source: Source, place: Path, lr: float = 0.05, **fields: Any) -> Configuration:
    defaults: dict[str, Any] = {"optimizer": {"init_args": {"lr": lr}}, "loggers": []}
    fields = {
        "backbone": lambda shape, classes: MLP(shape, classes, hidden=(16,)),
        "output": place / "run",
        "data": source,
        "quiet": True,
        "device": "cpu",
        "threads": 1,
    } | fields
    return named_configuration("vri", defaults, {}, **fields)


def _run(source: Source, place: Path, **fields: Any) -> list[dict[str, Any]]:
    """Train a run in a folder of its own; return its metrics."""
    fields = {"epochs": 2, "batch_size": 20, "clean_batch_size": 4, "output": tempfile.mkdtemp(dir=place)} | fields
    experiment = Experiment(_configuration(source, place, **fields))
    experiment.run("{}", "")
    return [dict(row) for row in experiment.folder.read_metrics()]


def _failing(source: Source, place: Path) -> None:
    with suppress(NonFiniteError):
        _run(source, place, workers=2, lr=1e30, epochs=3)
        raise AssertionError("the run had no error")


def _interrupted(source: Source, place: Path) -> None:
    with suppress(Interrupted):
        _run(source, place, workers=2, epochs=20, loggers=[_Readings(interrupt_after=2)])
        raise AssertionError("the run was not interrupted")


def _pictures(folder: Path, count: int) -> ImageFolder:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        place = folder / f"class {number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return ImageFolder(folder, size=8, verified=True)


# Attempts.


def _slope(source: Source, place: Path, scale: Scale, workers: int) -> str:
    """Train for several thousand steps and fit a line to the memory."""
    readings = _Readings()
    split = SplitSizes(noisy_size=scale.steps)  # with batches of one example, as many steps per epoch
    fields = {"batch_size": 1, "clean_batch_size": 2, "split": split, "workers": workers, "loggers": [readings]}
    _run(source, place, epochs=scale.readings + scale.warm_up, **fields)
    found, error = slope(readings.values[-scale.readings :])
    per_thousand = 1000 / scale.steps
    told = f"{found * per_thousand:+.3f} MB per 1,000 steps, standard error {error * per_thousand:.3f}"
    limit = _LARGEST_SLOPE if scale is _FULL else 1000
    return _check((found - 2 * error) * per_thousand < limit, f"{told}; limit {limit}")


def _started(configuration: Configuration, scale: Scale) -> str:
    """Load and split the data; check time and memory."""
    with peak_memory() as peak:
        began, cpu = time.monotonic(), time.process_time()
        arrays, split = load_data(configuration)
        seconds, used = time.monotonic() - began, time.process_time() - cpu
        told = f"{len(arrays.y_train):,} rows: {seconds:.1f} s, CPU {used:.1f} s, {peak():.0f} MB beyond the imports"
        sound = min(seconds, used) <= _SECONDS_TO_START and peak() <= _MEMORY_TO_START and len(split.noisy_indices) > 0
    return _check(sound and len(arrays.y_train) == scale.rows, told)


def _large_table(place: Path, scale: Scale) -> str:
    rows = (f"images/{number:07d}.jpg,class {number % 100}\n" for number in range(scale.rows))
    with open(place / "table.csv", "w") as file:
        file.write("path,label\n")
        file.writelines(rows)
    return _started(_configuration(Table(place / "table.csv", verified=True), place), scale)


def _large_arrays(place: Path, scale: Scale) -> str:
    x = np.random.default_rng(0).normal(size=(scale.rows, 32)).astype(np.float32)
    np.savez(place / "arrays.npz", x_train=x, y_train=np.arange(scale.rows) % 10)
    del x
    return _started(_configuration(NpzFile(place / "arrays.npz", verified=True), place), scale)


def _page(place: Path, scale: Scale) -> str:
    """Train on vectors for an epoch, and write the page."""
    generator = np.random.default_rng(0)
    y = np.arange(scale.examples) % scale.classes
    x = generator.normal(size=(scale.classes, 16))[y] + 0.5 * generator.normal(size=(scale.examples, 16))
    np.savez(place / "arrays.npz", x_train=x.astype(np.float32), y_train=y)
    configuration = _configuration(NpzFile(place / "arrays.npz", verified=True), place, epochs=1, batch_size=500)
    experiment = Experiment(configuration)
    experiment.run("{}", "")
    assert experiment.trained is not None
    began, cpu = time.monotonic(), time.process_time()
    seen = SeenRun(experiment.trained)
    record(seen)
    write_page([seen], place / "page.html")
    seconds, used = time.monotonic() - began, time.process_time() - cpu
    size = (place / "page.html").stat().st_size / _MEGABYTE
    return _check(min(seconds, used) <= _SECONDS_OF_A_PAGE, f"page of {size:.1f} MB: {seconds:.1f} s, CPU {used:.1f} s")


def _left(action: Callable[[], object]) -> str:
    """Compare what the process holds before and after an action; a first one fills caches."""
    action()
    before = holdings()
    action()
    after = holdings()
    changed = [f"{name} {before[name]} before, {after[name]} after" for name in before if before[name] != after[name]]
    return _check(not changed, "; ".join(changed) or "nothing")


def _many(place: Path, scale: Scale) -> str:
    """Train many short runs in this process."""
    memory, held = [], []
    for _ in range(scale.runs):
        _run(Digits(), place, epochs=1)
        memory.append(resident())
        held.append(holdings())
    late = scale.runs // 3  # the first runs fill caches
    found, error = slope(memory[late:])
    limit = _LARGEST_SLOPE_OF_RUNS if scale is _FULL else 100
    told = f"{found:+.3f} MB per run, standard error {error:.3f}, limit {limit}"
    kept = {
        name: (len(held[late][name]), len(held[-1][name])) for name in held[0] if held[late][name] != held[-1][name]
    }
    return _check(found - 2 * error < limit and not kept, f"{told}; what grew: {kept or 'nothing'}")


def _fitted(method: str, seed: int) -> np.ndarray:
    x, y = load_wine(return_X_y=True)
    y[::5] = (y[::5] + 1) % 3
    fitted = VRIClassifier(method=method, epochs=10, random_state=seed).fit(x, y, trusted=range(1, 178, 6))
    return np.concatenate([fitted.predict_proba(x).ravel(), fitted.label_issues_["score"]])


def _together(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make calls at once, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def _classifiers_at_once() -> str:
    calls = [lambda: _fitted("vri", 0), lambda: _fitted("elr", 1), lambda: _fitted("vri", 2)]
    alone = [call() for call in calls]
    same = [np.array_equal(one, other) for one, other in zip(alone, _together(calls), strict=True)]
    return _check(all(same), f"bit for bit as alone: {same}")


def _run_at_once(place: Path) -> str:
    calls: list[Callable[[], Any]] = [lambda: _run(Digits(), place), lambda: _fitted("vri", 0)]
    (metrics, scores), (metrics_too, scores_too) = [call() for call in calls], _together(calls)
    same = [_timeless(metrics) == _timeless(metrics_too), np.array_equal(scores, scores_too)]
    return _check(all(same), f"bit for bit as alone: {same}")


def _timeless(rows: list[dict[str, Any]]) -> str:
    return repr([{name: value for name, value in row.items() if "second" not in name} for row in rows])
