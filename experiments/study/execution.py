"""Doing runs: in worker processes that stay, one thread each, with what is kept of a run written when it ends."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console

from study.records import Record, Store
from study.runs import StudyRun
from vri_pyro.cli.main import main
from vri_pyro.infer.bilevel import StructuralZeroWarning
from vri_pyro.training.run_folder import RunFolder

_STOPPED = 130


@dataclass(frozen=True)
class Workshop:
    """How and where runs are done.

    Attributes:
        store: what keeps their records.
        scratch: folder of the run folders; a run that was killed goes on from its own.
        curves: metrics whose course over the epochs is kept.
        measure: what else is to be kept of a run, computed from its folder when it ends.
        keep: whether run folders stay.
        device: as for ``vri-pyro fit``.
    """

    store: Store
    scratch: Path
    curves: Sequence[str] = ("test_accuracy",)
    measure: Callable[[RunFolder], dict[str, Any]] | None = None
    keep: bool = False
    device: str = "auto"

    def do(self, run: StudyRun) -> Outcome:
        """Do one run, or go on with it, and keep its record; what goes wrong is said on stderr."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StructuralZeroWarning)  # the record has them
                return self.perform(run)
        except Exception as error:
            print(f"error: {run.name}: {type(error).__name__}: {error}", file=sys.stderr)
            return Outcome(1, None)

    def perform(self, run: StudyRun) -> Outcome:
        """Do one run and keep its record; a study whose runs are no calls of ``vri-pyro fit`` has its own."""
        folder = RunFolder(self.scratch / run.place)
        resumed = folder.last.exists()
        began, began_cpu = time.perf_counter(), time.process_time()
        fixed = ["--seed", str(run.seed), "--output", str(folder.path), "--resume", "true", "--quiet", "true"]
        fixed += ["--report", "false"]
        status = main(["fit", *run.options, *fixed, "--threads", "1", "--device", self.device])
        if status:
            return Outcome(status, None)
        took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}
        record = self._record(folder) | {name: None if resumed else round(value, 2) for name, value in took.items()}
        self.store.write(run, record)
        if not self.keep:
            shutil.rmtree(folder.path)
        return Outcome(0, record["results"]["last"])

    def _record(self, folder: RunFolder) -> Record:
        summary = folder.read_summary()
        del summary["noise"]  # the configuration has it, without the folders of this machine
        rows = folder.read_metrics()
        config = yaml.safe_load(folder.config.read_text())
        return {
            **summary,
            "curves": {
                name: [row.get(name) for row in rows] for name in self.curves if any(name in row for row in rows)
            },
            "measured": self.measure(folder) if self.measure else {},
            "config": {name: value for name, value in config.items() if name not in ("output", "quiet", "threads")},
        }


class Outcome(NamedTuple):
    """What became of a run: the command's exit status, and the last test accuracy in percent."""

    status: int
    accuracy: float | None


def run_all(runs: Sequence[StudyRun], workshop: Workshop, jobs: int = 1) -> list[StudyRun]:
    """Do the runs that were not done yet; one that fails stops no other.

    Args:
        runs: what to run, in this order.
        workshop: how and where.
        jobs: processes; with one, everything happens in this process.

    Returns:
        The runs that failed; their messages stand on stderr.

    Raises:
        UserError: a run was done before with other options, or the table of records is damaged.
        KeyboardInterrupt: somebody stopped the study; runs in the making have been saved.
    """
    waiting = workshop.store.missing(runs)
    console, failed = Console(), []
    if done := len(runs) - len(waiting):
        console.print(f"{done} of {len(runs)} runs are done already", highlight=False)
    outcomes = _in_turn(waiting, workshop) if jobs == 1 else _in_parallel(waiting, workshop, jobs)
    for number, (run, outcome) in enumerate(outcomes, done + 1):
        if outcome.status == _STOPPED:
            raise KeyboardInterrupt
        if outcome.status:
            failed.append(run)
        shown = "failed" if outcome.status else f"{outcome.accuracy:.1f}"
        console.print(f"{number:>4}/{len(runs)} {run.name}: {shown}", highlight=False, soft_wrap=True)
    return failed


def _in_turn(runs: Sequence[StudyRun], workshop: Workshop) -> Iterator[tuple[StudyRun, Outcome]]:
    return ((run, workshop.do(run)) for run in runs)


def _in_parallel(runs: Sequence[StudyRun], workshop: Workshop, jobs: int) -> Iterator[tuple[StudyRun, Outcome]]:
    # Spawned, because a forked child inherits PyTorch's threads in an undefined state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, max(1, len(runs))), mp_context=context, initializer=_become_worker)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    futures = {pool.submit(workshop.do, run): run for run in runs}
    try:
        for future in as_completed(futures):
            yield futures[future], _outcome(futures[future], future)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _stop_workers()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, previous)


def _stop_workers() -> None:
    """Ask runs in the making to save themselves; asked again, a worker that has taken a further run stops too."""
    while workers := multiprocessing.active_children():
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(0.5)


def _become_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run in the making has a handler of its own


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _outcome(run: StudyRun, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "a worker process died, perhaps for want of memory; start the study again"
        print(f"error: {run.name}: {reason}", file=sys.stderr)
        return Outcome(1, None)
