"""Execution of runs in this process or in worker processes with one thread each."""

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
from contextlib import contextmanager
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

_STOPPED = 130, 143  # exit statuses of the command after SIGINT and SIGTERM
# What a run imports; the last two by its first optimiser and its logger.
_IMPORTED = ["vri_pyro.cli.fit", "vri_pyro.runs.building", "torch._dynamo", "torch.utils.tensorboard"]


@dataclass(frozen=True)
class Workshop:
    """Executes runs and stores their records.

    Attributes:
        store: table of the records.
        scratch: parent of the run folders; an interrupted run resumes from its folder.
        curves: metrics whose values at every epoch are stored.
        measure: function that computes further results from the folder of a finished run; None for no further results.
        keep: whether to keep the run folders.
        device: device option of ``vri-pyro fit``.
    """

    store: Store
    scratch: Path
    curves: Sequence[str] = ("test_accuracy",)
    measure: Callable[[RunFolder], dict[str, Any]] | None = None
    keep: bool = False
    device: str = "auto"

    def do(self, run: StudyRun) -> Outcome:
        """Execute or resume a run and store its record; errors are printed to stderr."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StructuralZeroWarning)  # the record lists the structural zeros
                return self.perform(run)
        except Exception as error:
            print(f"error: {run.name}: {type(error).__name__}: {error}", file=sys.stderr)
            return Outcome(1, None)

    def perform(self, run: StudyRun) -> Outcome:
        """Execute a run and store its record.

        Studies whose runs are not calls of ``vri-pyro fit`` override this method.
        """
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
        del summary["noise"]  # contains paths of this machine; the configuration describes the noise as well
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
    """Outcome of a run: exit status of the command, and test accuracy in percent after the last epoch."""

    status: int
    accuracy: float | None


def run_all(runs: Sequence[StudyRun], workshop: Workshop, jobs: int = 1) -> list[StudyRun]:
    """Execute the runs that have no record yet; a failed run does not stop the others.

    Args:
        runs: runs in order of execution.
        workshop: executes the runs and stores their records.
        jobs: number of worker processes; with 1, the runs are executed in this process.

    Returns:
        The failed runs; their error messages are printed to stderr.

    Raises:
        UserError: if a run has a record with different options, or the table of records is damaged.
        KeyboardInterrupt: if the study was stopped; unfinished runs have saved a checkpoint.
    """
    waiting = workshop.store.missing(runs)
    console, failed = Console(), []
    if done := len(runs) - len(waiting):
        console.print(f"{done} of {len(runs)} runs are already done", highlight=False)
    outcomes = _in_turn(waiting, workshop) if jobs == 1 else _in_parallel(waiting, workshop, jobs)
    for number, (run, outcome) in enumerate(outcomes, done + 1):
        if outcome.status in _STOPPED:
            raise KeyboardInterrupt
        if outcome.status:
            failed.append(run)
        shown = "failed" if outcome.status else f"{outcome.accuracy:.1f}"
        console.print(f"{number:>4}/{len(runs)} {run.name}: {shown}", highlight=False, soft_wrap=True)
    return failed


def _in_turn(runs: Sequence[StudyRun], workshop: Workshop) -> Iterator[tuple[StudyRun, Outcome]]:
    return ((run, workshop.do(run)) for run in runs)


def _in_parallel(runs: Sequence[StudyRun], workshop: Workshop, jobs: int) -> Iterator[tuple[StudyRun, Outcome]]:
    with worker_pool(min(jobs, max(1, len(runs)))) as pool:
        futures = {pool.submit(workshop.do, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], _outcome(futures[future], future)


@contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end if this one is interrupted or terminated.

    They are forked from a process with the imports done, which has computed nothing: a child of this process would
    inherit PyTorch's threads in an undefined state.

    Raises:
        KeyboardInterrupt: on SIGINT and SIGTERM, after the processes have ended.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_become_worker)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _stop_workers()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, previous)


def _stop_workers() -> None:
    """Terminate the workers; their runs save a checkpoint.

    The signal is repeated because a worker may have started another run after the first signal.
    """
    while workers := multiprocessing.active_children():
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(0.5)


def _become_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a run installs its own handler while it trains


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _outcome(run: StudyRun, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "a worker process died, possibly because memory ran out; restart the study to resume"
        print(f"error: {run.name}: {reason}", file=sys.stderr)
        return Outcome(1, None)
