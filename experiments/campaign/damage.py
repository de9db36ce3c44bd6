"""Run folders with flipped bits and truncated files.

At random places in every file of a run folder, a bit is flipped or the rest of the file is cut off. Each reader of the
folder then gives an error that names the file, or the same result as with the intact file.
"""

from __future__ import annotations

import random
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from campaign._runs import RESUME, command, difference, equal, new_folder, outputs
from campaign.trial import Trial
from vri_pyro.report import SeenRun
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

Reader = Callable[[Path], Any]
FILES = (
    "config.yaml",
    "inputs.json",
    "split.npz",
    "metrics.csv",
    "summary.json",
    "checkpoints/last.pt",
    "checkpoints/best.pt",
    "posterior.nc",
    "label_issues.csv",
    "tensorboard/events",
)
# The files that each reader reads; the others are tried at every tenth place.
READ_BY = {
    "Run": ("config.yaml", "inputs.json", "split.npz", "checkpoints/last.pt"),
    "Predictor": ("config.yaml", "inputs.json", "checkpoints/last.pt"),
    "Predictor of the best epoch": ("config.yaml", "checkpoints/best.pt"),
    "report's reader": ("metrics.csv", "summary.json"),
}
# The commands that open a run, and every how many places they are tried, since they take seconds.
COMMANDS = {
    "issues": ("issues", "run", "--output", "issues.csv"),
    "diagnose": ("diagnose", "run", "--draws", "30", "--examples", "5", "--output", "posterior.nc"),
    "report": ("report", "run", "--output", "report.html"),
    "export": ("export", "run", "--format", "safetensors", "--output", "exported"),
}
SUMMARY = ("results", "split", "noise", "skipped", "structural_zeros", "made_by")
_EVERY_RESUME, _EVERY_OTHER, _EVERY_COMMAND = 10, 10, 100


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Damage every file at 100 places."""
    torch.set_num_threads(1)
    finished, unfinished = _finished(folder, quick), _unfinished(folder)
    readers = {name: (read, read(finished / "run")) for name, read in _readers().items()}
    for file in FILES:
        if (intact := _path(finished / "run", file)) is None:
            continue  # quick: the commands that write these files have not run
        for number in range(1 if quick else 100):
            change, content = _damaged(intact.read_bytes(), f"{file} {number}")
            for name, (read, expected) in readers.items():
                if file not in READ_BY[name] and (number % _EVERY_OTHER or name.startswith("Predictor")):
                    continue
                found = _attempt(finished / "run", file, content, read, expected)
                yield Trial(f"{name}: {file}", change, not found.startswith("!"), found)
            if number % _EVERY_RESUME == 0 and not quick:
                yield _resumed(folder, finished, unfinished, file, number)
            if number % _EVERY_COMMAND == 0 and not quick:
                yield from _commands(folder, finished, file, content, change)


def _readers() -> dict[str, Reader]:
    def seen(run: Path) -> Any:
        opened = SeenRun(Run(run))
        # A flipped bit in the name of the checksum adds a key, and changes nothing.
        return opened.rows, {name: opened.summary.get(name) for name in SUMMARY}, opened.results

    return {
        "Run": outputs,
        "report's reader": seen,
        "Predictor": lambda run: _probabilities(Predictor(run)),
        "Predictor of the best epoch": lambda run: _probabilities(Predictor(run, "best")),
    }


def _probabilities(predictor: Predictor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 8, 8, 1), generator=generator, dtype=torch.uint8).numpy()
    return torch.from_numpy(predictor.predict(images))


def _finished(folder: Path, quick: bool) -> Path:
    here = new_folder(folder, "finished")
    wanted = [RESUME, *([] if quick else [("diagnose", "run", "--draws", "30", "--examples", "5"), ("issues", "run")])]
    for arguments in wanted:
        if (ended := command(here, *arguments)).status:
            raise RuntimeError(ended.printed)
    return here


def interrupt_in_the_second_epoch() -> None:
    """Make this process interrupt its run after six steps."""
    from vri_pyro.training.trainer import Trainer

    step, taken = Trainer._step, []

    def stopping(self: Trainer, *arguments: Any) -> None:
        step(self, *arguments)
        taken.append(1)
        if len(taken) == 6:
            signal.raise_signal(signal.SIGINT)

    Trainer._step = stopping  # type: ignore[method-assign]


def _unfinished(folder: Path) -> Path:
    here = new_folder(folder, "unfinished")
    if (ended := command(here, *RESUME, prepare=interrupt_in_the_second_epoch)).status != 130:
        raise RuntimeError(ended.printed)
    return here


def _path(run: Path, file: str) -> Path | None:
    """Return the path of a file; the name of the events has the time in it."""
    found = sorted(run.glob("tensorboard/*")) if file == "tensorboard/events" else [run / file]
    return found[0] if found and found[0].exists() else None


def _damaged(content: bytes, seed: str) -> tuple[str, bytes]:
    """Flip a bit or cut the rest off, at a random place."""
    chance = random.Random(seed)
    place = chance.randrange(len(content))
    if chance.random() < 0.3:
        return f"cut off after {place} bytes", content[:place]
    bit = chance.randrange(8)
    flipped = bytes([content[place] ^ (1 << bit)])
    return f"bit {bit} of byte {place}", content[:place] + flipped + content[place + 1 :]


def _attempt(run: Path, file: str, content: bytes, read: Reader, expected: Any) -> str:
    """Read a damaged folder; return what was seen, beginning with "!" if it is not as documented."""
    path = _path(run, file)
    assert path is not None
    intact = path.read_bytes()
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "the same result" if equal(read(run), expected) else "!another result, in silence"
    except Exception as error:
        path_named = Path(getattr(error, "path", "")).name == path.name
        named = path_named or path.name in str(error) or (isinstance(error, ValueError) and _names(file, str(error)))
        one = "" if isinstance(error, ValueError) or path_named else "!"
        return f"{one if named else '!'}{type(error).__name__}: {error}"
    finally:
        path.write_bytes(intact)


def _names(file: str, message: str) -> bool:
    """Whether a message is about a file that it does not name: an option of config.yaml, such as the path of data."""
    return file == "config.yaml" and "data" in message


def _resumed(folder: Path, finished: Path, unfinished: Path, file: str, number: int) -> Trial:
    here = Path(shutil.copytree(unfinished, folder / "resumed"))
    path = _path(here / "run", file)
    change, found, group = "not there", "the same result", f"fit --resume: {file}"
    if path is not None:
        change, content = _damaged(path.read_bytes(), f"{file} {number} resumed")
        path.write_bytes(content)
        arguments = ("fit", "--config", "run/config.yaml", "--output", "run", "--resume", "true")
        ended = command(here, *arguments)
        if ended.status:
            named = path.name in ended.sentence and ended.status == 2
            found = ended.sentence if named else f"!status {ended.status}: {ended.printed}"
        elif differs := difference(here / "run", finished / "run"):
            found = f"!{differs}"
    shutil.rmtree(here)
    return Trial(group, change, not found.startswith("!"), found)


def _commands(folder: Path, finished: Path, file: str, content: bytes, change: str) -> Iterator[Trial]:
    for name, arguments in COMMANDS.items():
        here = Path(shutil.copytree(finished, folder / "opened"))
        path = _path(here / "run", file)
        assert path is not None
        path.write_bytes(content)
        ended = command(here, *arguments)
        survived = ended.status == 0 or (ended.status == 2 and path.name in ended.sentence)
        summary = RunFolder(here / "run").summary
        lost = "" if file == "summary.json" or summary.exists() else "summary.json is lost"
        shutil.rmtree(here)
        detail = lost or ("opened" if ended.status == 0 else ended.sentence or ended.printed)
        yield Trial(f"{name}: {file}", change, survived and not lost, detail)
