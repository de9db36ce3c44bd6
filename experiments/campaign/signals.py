"""Signals at every stage of a command.

SIGINT and SIGTERM, once and twice, while modules are imported, while the data are loaded, in training and while the
report is written. The exit status says which signal it was, there is one sentence and no traceback, and the resumed
run equals the one that was never stopped. A run that is suspended by SIGSTOP goes on after SIGCONT.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign._runs import EXPERIMENTS, RESUME, Outcome, command, damage, difference, finish, new_folder, start
from campaign.trial import Trial

INT, TERM = signal.SIGINT, signal.SIGTERM
SAVED = "stopped and saved; resume with: "
AT_ONCE = "stopped immediately; "


@dataclass
class SignalsAt:
    """Sends signals to its process when a function is called.

    Attributes:
        module, owner, name: the function; an empty owner means the module.
        call: number of the call, from 1.
        numbers: the signals, in order.
    """

    module: str
    owner: str
    name: str
    call: int
    numbers: tuple[int, ...]

    def __call__(self) -> None:
        """Patch the function."""
        module = __import__(self.module, fromlist=["_"])
        owner = getattr(module, self.owner) if self.owner else module
        original, calls = getattr(owner, self.name), []

        def signalled(*arguments: object, **options: object) -> object:
            calls.append(1)
            if len(calls) == self.call:
                for number in self.numbers:
                    signal.raise_signal(number)
            return original(*arguments, **options)

        setattr(owner, self.name, signalled)


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Send signals at chosen and at random moments."""
    whole = new_folder(folder, "whole")
    if (ended := command(whole, *RESUME)).status:
        raise RuntimeError(ended.printed)
    for number, (group, prepare, status, sentence) in enumerate(_chosen()):
        if quick and number not in (0, 5):
            continue
        here = new_folder(folder, f"chosen_{number}")
        ended = command(here, *RESUME, prepare=prepare)
        found = _checked(ended, {status}, sentence) or _resumed(here, whole)
        yield Trial(group, f"{prepare.name}, call {prepare.call}: {_named(prepare.numbers)}", not found, found)
    if not quick:
        yield from _report(folder)
        yield from _random(folder, whole)
        yield from _suspended(folder, whole)
        yield from _imports(folder)


def _chosen() -> Iterator[tuple[str, SignalsAt, int, str]]:
    loading = ("vri_pyro.data", "Digits", "load")
    for numbers, status in (((INT,), 130), ((TERM,), 143)):
        yield "while the data are loaded", SignalsAt(*loading, 1, numbers), status, AT_ONCE
    step = ("vri_pyro.training.trainer", "Trainer", "_step")
    sequences: tuple[tuple[tuple[int, ...], int, str], ...] = (
        ((INT,), 130, SAVED),
        ((TERM,), 143, SAVED),
        ((TERM, TERM), 143, SAVED),
        ((INT, TERM), 130, SAVED),
        ((INT, INT), 130, AT_ONCE),
        ((TERM, INT), 130, AT_ONCE),
    )
    for numbers, status, sentence in sequences:
        for call in (1, 6):
            yield "in training", SignalsAt(*step, call, numbers), status, sentence
    for name in ("_end_epoch", "_evaluated", "save"):
        for numbers, status in (((INT,), 130), ((TERM,), 143)):
            yield (
                "between the epochs",
                SignalsAt("vri_pyro.training.trainer", "Trainer", name, 2, numbers),
                status,
                SAVED,
            )
    saving = ("vri_pyro.training.trainer", "", "save_checkpoint")
    yield "between the epochs", SignalsAt(*saving, 3, (INT, INT)), 130, AT_ONCE


def _report(folder: Path) -> Iterator[Trial]:
    """Send signals while the report is written: the run is complete, and its page is whole or not there."""
    for number, status in ((INT, 130), (TERM, 143)):
        here = new_folder(folder, f"report_{status}")
        prepare = SignalsAt("vri_pyro.report", "", "write_page", 1, (number,))
        ended = command(here, *RESUME, "--report", "true", prepare=prepare)
        found = _checked(ended, {status}, AT_ONCE) or damage(here / "run")
        again = command(here, *RESUME, "--report", "true")
        found = found or (again.printed if again.status else damage(here / "run"))
        found = found or ("" if (here / "run" / "report.html").exists() else "there is no report")
        yield Trial("while the report is written", _named((number,)), not found, found)


def _random(folder: Path, whole: Path) -> Iterator[Trial]:
    """Send signals at random moments, also in start-up."""
    moments = random.Random(0)
    began = time.monotonic()
    command(new_folder(folder, "timed"), *RESUME)
    duration = time.monotonic() - began
    for number in range(40):
        here = new_folder(folder, f"random_{number}")
        numbers = tuple(moments.choice((INT, TERM)) for _ in range(moments.randint(1, 2)))
        process = start(here, RESUME)
        share = moments.random()
        while not (here / "printed").exists():  # until the process has become one of its own
            time.sleep(0.01)
        time.sleep(max(0.1, share * duration))
        for one in numbers:
            if process.is_alive():
                os.kill(process.pid or 0, one)
            time.sleep(moments.choice((0, 0.02)))
        ended = finish(here, process)
        found = "" if ended.status == 0 else _checked(ended, {130, 143}, "stopped ")
        found = found or _resumed(here, whole)
        yield Trial("at a random moment", f"{number}: {_named(numbers)} after {share:.0%}", not found, found)


def _suspended(folder: Path, whole: Path) -> Iterator[Trial]:
    for number in range(3):
        here = new_folder(folder, f"suspended_{number}")
        process = start(here, RESUME)
        time.sleep(0.5 + 0.4 * number)
        os.kill(process.pid or 0, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(process.pid or 0, signal.SIGCONT)
        ended = finish(here, process)
        found = ended.printed if ended.status else difference(here / "run", whole / "run")
        yield Trial("suspended and continued", str(number), not found, found)


def _imports(folder: Path) -> Iterator[Trial]:
    """Stop a new interpreter while it imports modules."""
    for number, delay in ((one, wait) for wait in (0.3, 1.0, 2.0, 4.0) for one in (INT, TERM)):
        here = new_folder(folder, f"imports_{number}_{delay}")
        arguments = [sys.executable, "-m", "vri_pyro.cli", *RESUME]
        environment = os.environ | {"PYTHONPATH": str(EXPERIMENTS.parent)}
        process = subprocess.Popen(
            arguments, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        time.sleep(delay)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=300)
        found = _checked(Outcome(process.returncode, printed), {128 + number}, "stopped ")
        yield Trial("while modules are imported", f"{_named((number,))} after {delay} s", not found, found)


def _checked(ended: Outcome, statuses: set[int], sentence: str) -> str:
    if ended.status not in statuses:
        return f"status {ended.status}: {ended.printed}"
    lines = ended.printed.splitlines()
    return "" if len(lines) == 1 and lines[0].startswith(sentence) else ended.printed or "nothing was printed"


def _resumed(here: Path, whole: Path) -> str:
    found = damage(here / "run") if (here / "run").exists() else ""
    resumed = command(here, *RESUME)
    return found or (resumed.printed if resumed.status else difference(here / "run", whole / "run"))


def _named(numbers: tuple[int, ...]) -> str:
    return " then ".join(signal.Signals(number).name for number in numbers)
