"""Commands killed while they write.

A command is killed at a chosen moment of the writing of a file: when a part of it is written, before it is flushed to
the disk, before it is renamed, after that, and after the folder is flushed. Every file is then the previous one or the
new one, and the repeated command gives the same result as one that was never killed.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign._runs import RESUME, Outcome, command, damage, difference, new_folder, partial_files
from campaign.trial import Trial

# Each command with the files that it writes, and how many of its moments are tried.
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], int]] = {
    "issues": (("issues", "run"), ("run/label_issues.csv", "run/label_issues_transition.csv"), 10),
    "relabel": (
        ("relabel", "run", "--corrections", "corrections.csv", "--output", "corrected.npz"),
        ("corrected.npz",),
        5,
    ),
    "diagnose": (
        ("diagnose", "run", "--draws", "30", "--examples", "5"),
        ("run/posterior.nc",),
        5,
    ),
    "report": (("report", "run"), ("run/report.html", "run/summary.json"), 10),
    "export": (
        ("export", "run", "--format", "safetensors", "--output", "exported"),
        ("exported/model.safetensors", "exported/config.json", "exported/README.md"),
        5,
    ),
    "sweep": (
        ("sweep", "--config", "config.yaml", "--seeds", "0", "--output", "sweep", "--epochs", "1"),
        ("sweep/config.yaml", "sweep/sweep.csv", "sweep/seed_0/summary.json"),
        12,
    ),
}


@dataclass
class KilledAt:
    """Kills this process at a moment of writing; with None, lists the moments in the file ``moments``.

    Attributes:
        moment: number of the moment, from 0.
    """

    moment: int | None

    def __call__(self) -> None:
        """Patch the functions of the operating system that writing uses."""
        self.reached = 0
        self._flush, self._rename = os.fsync, os.replace
        os.fsync, os.replace = self._flushed, self._renamed  # type: ignore[assignment]

    def _flushed(self, descriptor: int) -> None:
        if os.path.isfile(name := os.readlink(f"/proc/self/fd/{descriptor}")) and name.endswith("printed"):
            return
        what = "folder" if os.path.isdir(name) else "file"
        if what == "file":
            self._at("a part is written", lambda: os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2))
        self._at(f"before the flush of the {what}")
        self._flush(descriptor)
        if what == "folder":
            self._at("after the flush of the folder")

    def _renamed(self, source: Any, target: Any) -> None:
        self._at(f"before the rename of {Path(target).name}")
        self._rename(source, target)
        self._at(f"after the rename of {Path(target).name}")

    def _at(self, moment: str, before: Callable[[], None] = lambda: None) -> None:
        if self.moment is None:
            with open("moments", "a") as file:
                file.write(f"{moment}\n")
        elif self.reached == self.moment:
            before()
            os.kill(os.getpid(), signal.SIGKILL)
        self.reached += 1


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Kill a run at 60 moments of writing, and the other commands at about 40."""
    whole = new_folder(folder, "whole")
    moments = _moments(whole, RESUME)
    for moment in _spread(len(moments), 2 if quick else 60):
        here = new_folder(folder, f"fit_{moment}")
        killed = command(here, *RESUME, prepare=KilledAt(moment))
        found = _not_killed(killed) or damage(here / "run")
        resumed = command(here, *RESUME)
        found = found or (resumed.printed if resumed.status else difference(here / "run", whole / "run"))
        yield Trial("fit", f"moment {moment}: {moments[moment]}", *_result(found, here))
    for name in ("relabel",) if quick else COMMANDS:
        yield from _others(folder, whole, name, 1 if quick else None)


def _others(folder: Path, whole: Path, name: str, most: int | None) -> Iterator[Trial]:
    arguments, files, count = COMMANDS[name]
    (whole / "corrections.csv").write_text(_corrections(whole / "run"))
    expected = Path(shutil.copytree(whole, folder / f"{name}_whole"))
    moments = _moments(expected, arguments)
    for moment in _spread(len(moments), most or count):
        here = Path(shutil.copytree(whole, folder / f"{name}_{moment}"))
        before = {file: _bytes(here / file) for file in files}
        killed = command(here, *arguments, prepare=KilledAt(moment))
        found = _not_killed(killed) or damage(here / "run")
        for file in files:
            if (now := _bytes(here / file)) not in (before[file], _bytes(expected / file)) and _same(file):
                found = found or f"{file} is neither the previous nor the new one ({len(now)} bytes)"
        if name == "relabel" and (here / files[0]).exists():
            repeated = Outcome(0, "")  # the command refuses to replace its result
        else:
            shutil.rmtree(here / "exported", ignore_errors=True)
            repeated = command(here, *arguments)
        found = found or (repeated.printed if repeated.status else damage(here / "run"))
        for file in files:
            if _same(file) and _bytes(here / file) != _bytes(expected / file):
                found = found or f"{file} differs after the command was repeated"
        yield Trial(name, f"moment {moment}: {moments[moment]}", *_result(found, here))


def _same(file: str) -> bool:
    """Whether the bytes of a file are the same in every run of the command."""
    return not file.endswith((".nc", ".html", "README.md", "summary.json"))


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _corrections(run: Path) -> str:
    import numpy as np

    noisy = np.load(run / "split.npz")["noisy_indices"][:3]
    return "index,corrected\n" + "".join(f"{index},{index % 10}\n" for index in noisy)


def _moments(here: Path, arguments: tuple[str, ...]) -> list[str]:
    """Run the command to its end and return the moments of its writing."""
    ended = command(here, *arguments, prepare=KilledAt(None))
    if ended.status:
        raise RuntimeError(ended.printed)
    moments = (here / "moments").read_text().splitlines()
    (here / "moments").unlink()
    return moments


def _spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` numbers below ``count``, evenly spread."""
    return sorted({round(index * (count - 1) / max(1, most - 1)) for index in range(most)})


def _not_killed(killed: Outcome) -> str:
    return "" if killed.status == -signal.SIGKILL else f"not killed, status {killed.status}: {killed.printed}"


def _result(found: str, here: Path) -> tuple[bool, str]:
    """Return whether nothing was found, and what was."""
    found = found or ", ".join(partial_files(here))
    shutil.rmtree(here)
    return not found, found
