"""Run folders with files that are readable but wrong.

Every file is valid in its format but lacks a part, has a value of another type or belongs to another run. The error
names the file; there is no traceback.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from campaign._runs import RESUME, command, new_folder
from campaign.trial import Trial
from vri_pyro.report import SeenRun
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run

Edit = Callable[[Any], Any]
_RESUME = ("fit", "--config", "run/config.yaml", "--output", "run", "--resume", "true")
#: readers in this process, and commands
READERS: dict[str, Callable[[Path], Any]] = {
    "Run": Run,
    "Predictor": Predictor,
    "report's reader": lambda run: SeenRun(Run(run)),
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "fit --resume": _RESUME,
    "issues": ("issues", "run"),
    "diagnose": ("diagnose", "run", "--draws", "30", "--examples", "5"),
    "report": ("report", "run"),
    "export": ("export", "run", "--format", "safetensors", "--output", "exported"),
    "relabel": ("relabel", "run", "--corrections", "corrections.csv", "--output", "corrected.npz"),
    "predict": ("predict", "run", "new.npy", "--output", "predictions.csv"),
}


def without(*names: str) -> Edit:
    """Remove a nested key."""

    def edit(content: Any) -> Any:
        inside = content
        for name in names[:-1]:
            inside = inside[name]
        del inside[names[-1]]
        return content

    return edit


def having(value: Any, *names: str) -> Edit:
    """Set a nested key."""

    def edit(content: Any) -> Any:
        inside = content
        for name in names[:-1]:
            inside = inside[name]
        inside[names[-1]] = value
        return content

    return edit


def _other_shapes(saved: Any) -> Any:
    for name in ("classifier", "average"):
        part = saved["state"][name]
        for key, value in (part or {}).items():
            if isinstance(value, torch.Tensor) and value.ndim == 2:
                part[key] = torch.zeros(3, 5)
    return saved


def edits() -> dict[tuple[str, str], Edit]:
    """Return the edits by file and description."""
    last, best = "checkpoints/last.pt", "checkpoints/best.pt"
    found: dict[tuple[str, str], Edit] = {
        ("config.yaml", "a list"): lambda _: ["epochs", 4],
        ("config.yaml", "text"): lambda _: "epochs",
        ("config.yaml", "empty"): lambda _: None,
        ("config.yaml", "another number of epochs"): having(5, "epochs"),
        ("config.yaml", "an unknown option"): having(1, "epoch"),
        ("config.yaml", "another network"): having([17], "backbone", "init_args", "hidden"),
        ("config.yaml", "a number for a class"): having(3, "method"),
        ("inputs.json", "a list"): lambda _: [1],
        ("inputs.json", "nine classes"): having([str(k) for k in range(9)], "classes"),
        ("inputs.json", "numbers as classes"): having(list(range(10)), "classes"),
        ("inputs.json", "no classes"): having([], "classes"),
        ("inputs.json", "a shape of two sizes"): having([8, 8], "shape"),
        ("inputs.json", "a shape of text"): having(["1", "8", "8"], "shape"),
        ("inputs.json", "an unknown dtype"): having("uint9", "dtype"),
        ("inputs.json", "two means"): having([0.1, 0.2], "mean"),
        ("inputs.json", "a mean of text"): having(["0.1"], "mean"),
        ("summary.json", "a list"): lambda _: [1],
        ("summary.json", "a number as results"): having(5, "results"),
        ("summary.json", "an accuracy as text"): having("90", "results", "last"),
        ("summary.json", "no last accuracy"): without("results", "last"),
        ("summary.json", "no number of noisy labels"): without("split", "noisy"),
        ("split.npz", "floats as indices"): lambda a: a | {"noisy_indices": a["noisy_indices"].astype(float)},
        ("split.npz", "text as labels"): lambda a: a | {"given_labels": a["given_labels"].astype(str)},
        ("split.npz", "a label too many"): lambda a: a | {"given_labels": np.append(a["given_labels"], 0)},
        ("split.npz", "a label out of range"): lambda a: a | {"given_labels": a["given_labels"] + 5},
        ("split.npz", "nine classes"): lambda a: a | {"num_classes": np.array(9)},
        ("split.npz", "other sizes"): lambda a: a | {"num_train": np.array(5000)},
        ("split.npz", "text as the number of classes"): lambda a: a | {"num_classes": np.array("ten")},
        ("metrics.csv", "no columns"): lambda _: "\n",
        ("metrics.csv", "another table"): lambda _: "a,b\n1,2\n",
        (last, "another object"): lambda _: [1, 2],
        (last, "another configuration type"): having(3, "config"),
        (last, "a list as state"): having([], "state"),
        (last, "weights of other shapes"): _other_shapes,
        (last, "progress of another type"): having(3, "state", "progress"),
        (last, "text as the epoch"): having("three", "state", "progress", "epoch"),
        (last, "a number as rows"): having(3, "state", "progress", "rows"),
        (last, "rows of another type"): having([1, 2], "state", "progress", "rows"),
        (last, "rows without values"): having([{}, {}], "state", "progress", "rows"),
        (last, "no stages"): having([], "state", "stages"),
        (last, "empty stages"): having([{}, {}], "state", "stages"),
        (last, "a random state of another type"): having(torch.zeros(3), "state", "random"),
        (best, "no classifier"): without("state", "classifier"),
    }
    for key in ("shape", "dtype", "classes", "mean", "std"):
        found["inputs.json", f"without {key}"] = without(key)
    for key in ("results", "split"):
        found["summary.json", f"without {key}"] = without(key)
    for key in ("noisy_indices", "given_labels", "clean_labels", "noise", "seed", "num_train"):
        found["split.npz", f"without {key}"] = without(key)
    for key in ("format", "config", "state"):
        found[last, f"without {key}"] = without(key)
    for key in ("progress", "stages", "classifier", "average", "pools", "random"):
        found[last, f"state without {key}"] = without("state", key)
    return found


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Edit the files of a finished run, and open it with every reader."""
    finished = new_folder(folder, "finished")
    if (ended := command(finished, *RESUME)).status:
        raise RuntimeError(ended.printed)
    noisy = np.load(finished / "run" / "split.npz")["noisy_indices"]
    (finished / "corrections.csv").write_text(f"index,corrected\n{noisy[0]},1\n")
    np.save(finished / "new.npy", np.zeros((2, 8, 8, 1), dtype=np.uint8))
    for number, ((file, what), edit) in enumerate(edits().items()):
        if quick and number % 15:
            continue
        here = Path(shutil.copytree(finished, folder / "edited"))
        _write(here / "run" / file, edit(_read(here / "run" / file)))
        for name, read in READERS.items():
            yield Trial(name, f"{file}: {what}", *_opened(read, here / "run", file))
        for place, (name, arguments) in enumerate(COMMANDS.items()):
            if not quick and (name == "fit --resume" or place == number % len(COMMANDS)):
                ended = command(here, *arguments)
                named = Path(file).name in ended.sentence and ended.status == 2
                detail = ended.sentence or f"status {ended.status}: {ended.printed}"
                yield Trial(name, f"{file}: {what}", ended.status == 0 or named, detail)
        shutil.rmtree(here)


def _opened(read: Callable[[Path], Any], run: Path, file: str) -> tuple[bool, str]:
    """Open a folder; return whether it works or raises an error that names the file, and what was seen."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(run)
    except Exception as error:
        named = Path(file).name in str(error) or Path(getattr(error, "path", "")).name == Path(file).name
        clear = isinstance(error, ValueError) or hasattr(error, "path")
        return named and clear, f"{type(error).__name__}: {error}"
    return True, "opened"


def _read(path: Path) -> Any:
    if path.suffix == ".yaml":
        return yaml.safe_load(path.read_text())
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        del content["sha256"]  # as a program would that writes such a file
        return content
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True)
    return path.read_text()


def _write(path: Path, content: Any) -> None:
    if path.suffix == ".yaml":
        path.write_text(yaml.safe_dump(content))
    elif path.suffix == ".json":
        path.write_text(json.dumps(content))
    elif path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".pt":
        torch.save(content, path)
    else:
        path.write_text(content)
