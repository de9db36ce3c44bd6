"""Full disks, lost permissions and folders, dead workers, and two processes in one folder.

Every failure gives one sentence that names the file or the folder. After it is repaired, the resumed run equals the one
that never failed.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from campaign._runs import RESUME, Outcome, command, damage, difference, finish, new_folder, partial_files, start
from campaign.trial import Trial
from vri_pyro.runs.run import Run


@dataclass
class FailsAt:
    """Lets a function of the operating system fail at a call, and ever after.

    Attributes:
        name: the function of ``os``.
        call: number of the call, from 1.
        code: the error.
    """

    name: str
    call: int
    code: int

    def __call__(self) -> None:
        """Patch the function."""
        original, calls = getattr(os, self.name), []

        def failing(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) >= self.call:
                raise OSError(self.code, os.strerror(self.code))
            return original(*arguments, **options)

        setattr(os, self.name, failing)


@dataclass
class LimitedTo:
    """Limits the size of a file, as on a full disk.

    Attributes:
        size: largest size, in bytes.
    """

    size: int

    def __call__(self) -> None:
        """Set the limit."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


@dataclass
class InStep:
    """Does something at a step of a run, as another user or process might.

    Attributes:
        step: number of the step, from 1.
        action: what is done in the working directory.
        privileged: whether an administrator may ignore the permissions of files, as usual.
    """

    step: int
    action: Callable[[], None]
    privileged: bool = True

    def __call__(self) -> None:
        """Patch the training."""
        from vri_pyro.training.trainer import Trainer

        if not self.privileged:
            obey_permissions()
        original, calls = Trainer._step, []

        def step(trainer: Trainer, *arguments: Any) -> None:
            calls.append(1)
            if len(calls) == self.step:
                self.action()
            original(trainer, *arguments)

        Trainer._step = step  # type: ignore[method-assign]


def obey_permissions() -> None:
    """Take this process the right of an administrator to ignore the permissions of files (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, in two words each
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def nothing() -> None:
    """Do nothing."""


def delete() -> None:
    """Delete the run folder."""
    shutil.rmtree("run")


def move() -> None:
    """Move the run folder."""
    os.rename("run", "moved")


def forbid() -> None:
    """Make the run folder read-only."""
    for folder in ("run", "run/checkpoints", "run/tensorboard"):
        os.chmod(folder, 0o555)


def kill_a_worker() -> None:
    """Kill a process that reads images, as the operating system does if memory runs out."""
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)


def wait() -> None:
    """Give other processes time, until this one is killed."""
    time.sleep(200)


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Try every fault."""
    whole = new_folder(folder, "whole")
    if (ended := command(whole, *RESUME)).status:
        raise RuntimeError(ended.printed)
    yield from _disks(folder, whole, quick)
    yield from _folders(folder, whole, (2,) if quick else (2, 7))
    if not quick:
        yield from _mounted(folder, whole)
        yield from _permissions(folder, whole)
        yield from _workers(folder)
        yield from _two_processes(folder, whole)


def _disks(folder: Path, whole: Path, quick: bool) -> Iterator[Trial]:
    """Fill the disk, or let it fail, at many moments of a run."""
    limits: list[tuple[str, Callable[[], None]]] = [
        (f"no file above {size} bytes", LimitedTo(size)) for size in (100, 300, 1000, 3000, 10_000, 30_000, 60_000)
    ]
    calls = [
        (f"{os.strerror(code)} in the call {call} of {name}", FailsAt(name, call, code))
        for name, codes in (("fsync", (errno.ENOSPC, errno.EIO)), ("replace", (errno.EDQUOT, errno.EACCES)))
        for number, call in enumerate((1, 2, 3, 5, 8, 13, 18, 23, 26))
        for code in [codes[number % 2]]
    ]
    for number, (what, prepare) in enumerate([*limits, *calls]):
        if quick and number != 9:
            continue
        here = new_folder(folder, f"disk_{number}")
        ended = command(here, *RESUME, prepare=prepare)
        found = _sentence(ended, 2, "cannot write run") if ended.status or number < len(limits) - 1 else ""
        yield Trial("full or failing disk", what, *_resumed(found, here, whole))


def _folders(folder: Path, whole: Path, steps: Sequence[int]) -> Iterator[Trial]:
    """Delete or move the run folder while the run is training."""
    for step in steps:
        here = new_folder(folder, f"deleted_{step}")
        ended = command(here, *RESUME, prepare=InStep(step, delete))
        found = _sentence(ended, 2, "run was deleted or moved while the run was training")
        found = found or ("an incomplete folder was left behind" if (here / "run").exists() else "")
        yield Trial("run folder deleted", f"in step {step}", *_resumed(found, here, whole))
        here = new_folder(folder, f"moved_{step}")
        ended = command(here, *RESUME, prepare=InStep(step, move))
        found = _sentence(ended, 2, "run was deleted or moved while the run was training")
        if not found:
            (here / "moved").rename(here / "run")
        yield Trial("run folder moved", f"in step {step}", *_resumed(found, here, whole))


def _mounted(folder: Path, whole: Path) -> Iterator[Trial]:
    """Run on a small file system that is full; left out where mounting is not permitted."""
    for size in (16, 64, 200):
        here = new_folder(folder, f"small_{size}")
        (here / "run").mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(here / "run")]
        if subprocess.run(mounting, capture_output=True, check=False).returncode:
            return
        try:
            ended = command(here, *RESUME)
            found = _sentence(ended, 2, "cannot write run") if ended.status else ""
            subprocess.run(["mount", "-o", "remount,size=10m", str(here / "run")], check=True)
            resumed = command(here, *RESUME)
            found = found or (resumed.printed if resumed.status else difference(here / "run", whole / "run"))
        finally:
            subprocess.run(["umount", str(here / "run")], check=True)
        yield Trial("small file system", f"{size} KiB, status {ended.status}", not found, found)


def _permissions(folder: Path, whole: Path) -> Iterator[Trial]:
    """Run as a user who cannot write, or who loses the permission."""
    for step in (2, 7):
        here = new_folder(folder, f"forbidden_{step}")
        ended = command(here, *RESUME, prepare=InStep(step, forbid, privileged=False))
        found = _sentence(ended, 2, "cannot write run")
        subprocess.run(["chmod", "-R", "u+rwX", str(here)], check=True)
        yield Trial("permissions lost", f"in step {step}", *_resumed(found, here, whole))
    here = new_folder(folder, "read_only_parent")
    (here / "printed").touch()
    here.chmod(0o555)
    ended = command(here, *RESUME, prepare=InStep(0, nothing, privileged=False))
    here.chmod(0o755)
    found = _sentence(ended, 2, "cannot write run")
    yield Trial("folder that cannot be written to", "a new run", not found, found)
    here = Path(shutil.copytree(whole, folder / "read_only_run"))
    subprocess.run(["chmod", "-R", "a-w", str(here / "run")], check=True)
    for arguments, status in ((RESUME, 0), (("issues", "run"), 2), (("issues", "run", "--output", "new.csv"), 0)):
        ended = command(here, *arguments, prepare=InStep(0, nothing, privileged=False))
        found = "" if ended.status == status == 0 else _sentence(ended, status, "cannot write run")
        yield Trial("folder that cannot be written to", " ".join(arguments), not found, found)
    subprocess.run(["chmod", "-R", "u+w", str(here / "run")], check=True)


def _workers(folder: Path) -> Iterator[Trial]:
    """Kill a process that reads images."""
    whole = _with_images(folder, "images_whole")
    ended = command(whole, *RESUME, *_IMAGES)
    if ended.status:
        raise RuntimeError(ended.printed)
    for step in (2, 5, 9):
        here = _with_images(folder, f"images_{step}")
        began = time.monotonic()
        ended = finish(here, start(here, (*RESUME, *_IMAGES), InStep(step, kill_a_worker)), 120)
        found = _sentence(ended, 1, "a worker process that reads images was killed")
        resumed = command(here, *RESUME, *_IMAGES)
        found = found or (resumed.printed if resumed.status else difference(here / "run", whole / "run"))
        name = f"in step {step}, ended {time.monotonic() - began:.0f} s later"
        yield Trial("worker killed", name, not found, found)


_IMAGES = (
    *("--data", "ImageFolder", "--data.path", "images", "--data.size", "8", "--noise", "NoNoise", "--workers", "2"),
    *("--split.clean_per_class", "2", "--split.validation_per_class", "1", "--split.noisy_size", "null"),
    *("--batch_size", "4", "--fine_tuning", "null", "--epochs", "3"),
)


def _with_images(parent: Path, name: str) -> Path:
    here = new_folder(parent, name)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    for number, image in enumerate(pixels):
        path = here / "images" / f"class_{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return here


def _two_processes(folder: Path, whole: Path) -> Iterator[Trial]:
    """Start several processes on one folder."""
    here = new_folder(folder, "two")
    first = start(here, RESUME, InStep(6, wait))
    _until(here / "run" / "checkpoints" / "last.pt")
    (folder / "second").mkdir()
    second = command(folder / "second", "fit", "--config", "../two/config.yaml", "--output", "../two/run", *RESUME[3:])
    found = _sentence(second, 2, f"is in use by process {first.pid} on ")
    yield Trial("two processes in one folder", "the second run is refused", not found, found)
    Run(here / "run")  # raises if it is refused
    yield Trial("two processes in one folder", "a reader is not refused", True)
    os.kill(first.pid or 0, signal.SIGKILL)
    finish(here, first)
    yield Trial("two processes in one folder", "the lock dies with its holder", *_resumed("", here, whole))
    for number in range(5):
        here = new_folder(folder, f"together_{number}")
        for other in range(3):
            (folder / f"other_{number}_{other}").mkdir()
        rest = ("fit", "--config", f"../{here.name}/config.yaml", "--output", f"../{here.name}/run", *RESUME[3:])
        processes = [(one, start(one, rest)) for one in folder.glob(f"other_{number}_*")]
        ended = [finish(one, process) for one, process in processes]
        refused = [one for one in ended if one.status]
        found = next((text for one in refused if (text := _sentence(one, 2, "is in use by process"))), "")
        found = found or ("all were refused" if len(refused) == 3 else "")
        yield Trial("three processes at once", f"{len(refused)} refused", *_resumed(found, here, whole))
    here = new_folder(folder, "sweeps")
    sweep = ("sweep", "--config", "config.yaml", "--seeds", "0", "--output", "sweep")
    first = start(here, sweep, InStep(6, wait))
    _until(here / "sweep" / "seed_0" / "checkpoints" / "last.pt")
    shutil.copy(here / "config.yaml", folder / "second" / "config.yaml")
    second = command(folder / "second", *sweep[:-1], "../sweeps/sweep")
    found = _sentence(second, 2, f"is in use by process {first.pid} on ")
    first.kill()
    finish(here, first)
    again = command(here, *sweep)
    found = found or (again.printed if again.status else damage(here / "sweep" / "seed_0"))
    yield Trial("two processes in one folder", "the second sweep is refused", not found, found)


def _until(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path} did not appear")
        time.sleep(0.01)


def _sentence(ended: Outcome, status: int, text: str) -> str:
    """Return what is wrong with the end of a command; empty if it has this status and one sentence with the text."""
    lines = [line for line in ended.printed.splitlines() if not line.startswith(("nothing to resume", "warning: "))]
    if ended.status == status and len(lines) == 1 and lines[0].startswith("error: ") and text in lines[0]:
        return ""
    return f"status {ended.status}: {ended.printed}"


def _resumed(found: str, here: Path, whole: Path) -> tuple[bool, str]:
    """Resume a run; return whether nothing was found before and after, and what was."""
    resumed = command(here, *RESUME)
    found = found or (resumed.printed if resumed.status else difference(here / "run", whole / "run"))
    found = found or ", ".join(partial_files(here))
    return not found, found
