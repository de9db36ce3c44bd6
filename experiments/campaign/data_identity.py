"""Data that change, move or leak under a run.

Every change of the data of a finished run is tried under every command that needs them, for feature vectors, images in
memory and streamed images. The command must refuse the data and say what has changed. The same data must be accepted
wherever they and the run folder are. Leaks are planted at random between the parts of random data: each must be found,
and data without a leak must not be taken for leaked.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from campaign.trial import Trial
from vri_pyro.cli.main import main
from vri_pyro.data import Arrays, NoNoise, make_split
from vri_pyro.data.content_keys import content_keys
from vri_pyro.data.duplicates import find_duplicates, without_duplicates
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

_TINY = """\
method:
  class_path: vri_pyro.methods.Bilevel
  init_args:
    model: vri_pyro.models.Rectification
    guide: {class_path: vri_pyro.guides.DiagonalNormal, init_args: {hidden: [8]}}
    outer_optimizer: {class_path: torch.optim.Adam, init_args: {lr: 1.0e-3}}
backbone: {class_path: vri_pyro.backbones.MLP, init_args: {hidden: [8]}}
epochs: 1
device: cpu
threads: 1
workers: 0
report: false
quiet: true
"""
_TRAIN, _TEST, _TRUSTED = 120, 24, 24
_CLASSES = ("ant", "bee", "cat")


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Yield the attempts; see the module."""
    for data in [_Vectors(folder)] if quick else [_Vectors(folder), _Images(folder), _Files(folder)]:
        with chdir(data.fitted()):
            yield from _changed(data, 3 if quick else None)
            yield from _moved(data, quick)
        shutil.rmtree(data.place)
    for seed in range(10 if quick else 1000):
        yield _changed_at_random(seed)
        yield _leak_at_random(seed)
        yield _no_leak_at_random(seed)


@dataclass(frozen=True)
class _Change:
    """A change of the data, and a part of the message that must name it."""

    name: str
    apply: Callable[[], None]
    message: str


class _Data:
    """A data set on disk, in its own working directory."""

    kind = ""
    name = "data.npz"

    def __init__(self, folder: Path) -> None:
        self.place = folder / self.kind
        self.place.mkdir()

    def write(self) -> None:
        raise NotImplementedError

    def changes(self) -> list[_Change]:
        raise NotImplementedError

    def options(self) -> list[str]:
        raise NotImplementedError

    def fitted(self) -> Path:
        """Train a run and return its working directory."""
        with chdir(self.place):
            Path("tiny.yaml").write_text(_TINY)
            Path("corrections.csv").write_text("index,label\n50,bee\n")
            self.write()
            status, told = _call(["fit", "--config", "tiny.yaml", *self.options(), "--output", "run"])
            if status:
                raise RuntimeError(told)
        return self.place


class _Vectors(_Data):
    kind = "vectors"

    def arrays(self) -> dict[str, Any]:
        generator, labels = np.random.default_rng(0), np.arange(_TRAIN + _TEST) % 3
        x = (generator.normal(size=(len(labels), 4)) + labels[:, None]).astype(np.float32)
        return self.named(x, labels)

    def named(self, x: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        train, test = slice(_TRAIN), slice(_TRAIN, None)
        trusted = {"clean_indices": np.arange(_TRUSTED), "classes": np.array(_CLASSES)}
        return trusted | {"x_train": x[train], "y_train": labels[train], "x_test": x[test], "y_test": labels[test]}

    def options(self) -> list[str]:
        return ["--data", "NpzFile", "--data.path", self.name]

    def write(self, **changes: Any) -> None:
        np.savez(self.name, **self.arrays() | changes)

    def changes(self) -> list[_Change]:
        found = self.arrays()
        x, y, classes = found["x_train"], found["y_train"], found["classes"]

        def at(key: str, positions: list[int], value: Any) -> dict[str, np.ndarray]:
            values = found[key].copy()
            values[positions] = value
            return {key: values}

        scaled = 255 - x if x.dtype == np.uint8 else x * 255
        mixed = np.random.default_rng(1).permutation(_TRAIN)
        tried: list[tuple[str, dict[str, Any], str]] = [
            ("a label", at("y_train", [60], 1), "1 of 120 training labels differ (example 60)"),
            ("a trusted label", at("y_train", [3], 1), "1 of 120 training labels differ (example 3)"),
            ("many labels", {"y_train": (y + 1) % 3}, "120 of 120 training labels differ"),
            ("an input", at("x_train", [7], 0), "1 of 120 training inputs differ (example 7)"),
            ("three inputs", at("x_train", [5, 70, 90], 0), "3 of 120 training inputs differ (example 5, example 70"),
            ("rescaled", {"x_train": scaled}, "all 120 training inputs differ, as after rescaling"),
            ("inputs reordered", {"x_train": x[mixed]}, "the training inputs are in another order"),
            ("examples reordered", {"x_train": x[mixed], "y_train": y[mixed]}, "together with their labels"),
            ("fewer examples", {"x_train": x[:-5], "y_train": y[:-5]}, "115 training examples instead of 120"),
            ("more examples", {"x_train": np.concatenate([x, x[:1]]), "y_train": [*y, 0]}, "121 training examples"),
            ("other shape", {key: found[key][:, :-1] for key in ("x_train", "x_test")}, "an input is "),
            ("classes reordered", {"classes": classes[::-1]}, "the classes are in another order (cat, bee, ant"),
            ("a class renamed", {"classes": [*classes[:2], "dog"]}, "the classes differ (missing: cat; new: dog)"),
            ("a class added", {"classes": [*classes, "dog"]}, "the classes differ (new: dog)"),
            ("a test input", at("x_test", [2], 0), "1 of 24 test inputs differ (example 2)"),
            ("a test label", at("y_test", [1], 0), "1 of 24 test labels differ (example 1)"),
            (
                "test set reordered",
                {key: found[key][::-1] for key in ("x_test", "y_test")},
                "test inputs are in another",
            ),
        ]
        return [_Change(name, lambda new=new: self.write(**new), message) for name, new, message in tried]


class _Images(_Vectors):
    kind = "images in memory"

    def arrays(self) -> dict[str, Any]:
        images = np.random.default_rng(0).integers(1, 256, (_TRAIN + _TEST, 6, 6, 3), dtype=np.uint8)
        return self.named(images, np.arange(len(images)) % 3)


class _Files(_Data):
    kind = "streamed images"
    name = "photos"

    def options(self) -> list[str]:
        return ["--data", "ImageFolder", "--data.path", self.name, "--data.size", "6"]

    def write(self) -> None:
        shutil.rmtree(self.name, ignore_errors=True)
        generator = np.random.default_rng(0)
        for part, count in (("noisy", _TRAIN - _TRUSTED), ("clean", _TRUSTED), ("test", _TEST)):
            for number in range(count):
                place = Path(self.name, part, _CLASSES[number % 3], f"{number:03d}.bmp")
                place.parent.mkdir(parents=True, exist_ok=True)
                _write_image(place, generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))

    def changes(self) -> list[_Change]:
        noisy, test = Path(self.name, "noisy"), Path(self.name, "test")
        first, second = noisy / "ant" / "000.bmp", noisy / "bee" / "001.bmp"
        black, larger = np.zeros((6, 6, 3), dtype=np.uint8), np.zeros((9, 9, 3), dtype=np.uint8)

        def swap() -> None:
            content = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(content)

        moved = noisy / "cat" / "000.bmp"
        return [
            _Change("other pixels", lambda: _write_image(first, black), "have other pixels (noisy/ant/000.bmp)"),
            _Change("other size", lambda: _write_image(first, larger), "files of another size (noisy/ant/000.bmp)"),
            _Change("two files swapped", swap, "2 of 120 training images looked at have other pixels"),
            _Change(
                "a label corrected", lambda: first.rename(moved) and None, "are new or renamed (noisy/cat/000.bmp)"
            ),
            _Change("a file removed", first.unlink, "1 of 120 training images are missing or renamed"),
            _Change("a file added", lambda: _write_image(moved, black), "1 of 121 training images are new or renamed"),
            _Change("a class added", lambda: _add_class(noisy), "the classes differ (new: dog)"),
            _Change(
                "a test image", lambda: _write_image(test / "ant" / "000.bmp", black), "test images looked at have"
            ),
        ]


def _write_image(place: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(place)


def _add_class(noisy: Path) -> None:
    (noisy / "dog").mkdir()
    _write_image(noisy / "dog" / "0.bmp", np.zeros((6, 6, 3), dtype=np.uint8))


def _commands(run: str) -> dict[str, list[str]]:
    return {
        "issues": ["issues", run, "--device", "cpu", "--output", "issues.csv"],
        "report": ["report", run, "--device", "cpu", "--output", "report.html"],
        "diagnose": ["diagnose", run, "--examples", "5", "--draws", "100", "--output", "posterior.nc"],
        "relabel": ["relabel", run, "--corrections", "corrections.csv", "--output", "new.npz"],
        "resume": ["fit", "--config", f"{run}/config.yaml", "--resume", "true"],
    }


def _changed(data: _Data, most: int | None) -> Iterator[Trial]:
    """Change the data in every way under every command, and write the same data again."""
    for change in data.changes()[:most]:
        data.write()
        change.apply()
        group = f"changed {data.kind} are refused and the change is named"
        for name, words in _commands("run").items():
            status, told = _call(words)
            refused = status == 2 and change.message in told and len(told.splitlines()) == 1
            yield Trial(group, f"{change.name}, {name}", refused, told)
        yield Trial(group, f"{change.name}, Run", *_opened(change.message))
    data.write()
    for name, words in _commands("run").items():
        Path("new.npz").unlink(missing_ok=True)
        status, told = _call(words)
        yield Trial(f"the same {data.kind} are accepted", f"written again, {name}", status == 0, told)


def _opened(message: str) -> tuple[bool, str]:
    try:
        Run("run")
    except UserError as error:
        return message in str(error), str(error)
    return False, "the run was opened"


def _moved(data: _Data, quick: bool) -> Iterator[Trial]:
    """Move the data, the run folder and the working directory."""
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    shutil.copytree("run", "intact")
    for number, (moves_data, moves_run, moves_self) in enumerate(np.ndindex(2, 2, 2)):
        if quick and number != 7:
            continue
        shutil.rmtree("run")
        shutil.copytree("intact", "run")  # a resumed run remembers the new place
        place, run = (
            Path("elsewhere/data" if moves_data else data.name),
            Path("elsewhere/renamed" if moves_run else "run"),
        )
        if moves_data:
            Path(data.name).rename(place)
        if moves_run:
            Path("run").rename(run)
        corrections = str(Path("corrections.csv").absolute())
        with chdir(elsewhere if moves_self else Path()):
            base = Path("..") if moves_self else Path()
            for name, words in _commands(os.path.relpath(data.place / run)).items():
                there = ["--data.path", str(base / place)] if moves_data else []
                Path("new.npz").unlink(missing_ok=True)
                words = [corrections if word == "corrections.csv" else word for word in words]
                group = f"moved {data.kind} and run folders are found"
                what = f"data {moves_data}, run {moves_run}, working directory {moves_self}, {name}"
                if moves_data:
                    status, told = _call(words)
                    yield Trial(group, f"{what}, without the new place", status == 2 and "--data.path" in told, told)
                status, told = _call([*words, *there])
                yield Trial(group, what, status == 0, told)
        if moves_data:
            place.rename(data.name)
        if moves_run:
            run.rename("run")


def _random_data(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    count = int(generator.integers(60, 400))
    x = generator.normal(size=(count, int(generator.integers(1, 8)))).astype(np.float32)
    return x, np.arange(count) % 3


def _arrays(x: np.ndarray, y: np.ndarray, test: int) -> Arrays:
    trusted = np.arange((len(x) - test) // 4)
    return Arrays(x[test:], y[test:], x[:test] if test else None, y[:test] if test else None, _CLASSES, None, trusted)


def _changed_at_random(seed: int) -> Trial:
    """Change some inputs and labels, and compare the message with their numbers."""
    generator = np.random.default_rng(seed)
    x, y = _random_data(generator)
    before = _arrays(x, y, 10)
    inputs, labels = (generator.choice(len(x) - 10, generator.integers(1, 20), replace=False) for _ in range(2))
    new_x, new_y = x.copy(), y.copy()
    new_x[10 + inputs] += 1
    new_y[10 + labels] = (new_y[10 + labels] + 1) % 3
    now = _arrays(new_x, new_y, 10)
    told = Fingerprint.of(before, x).differences(Fingerprint.of(now, new_x), now)
    count, first, second = len(x) - 10, min(inputs), min(labels)
    expected = [f"{len(inputs)} of {count} training inputs differ (example {first}"]
    expected += [f"{len(labels)} of {count} training labels differ (example {second}"]
    right = len(told) == 2 and all(clause.startswith(start) for clause, start in zip(told, expected, strict=True))
    return Trial("random changes are counted and named", f"seed {seed}", right, "; ".join(told))


def _leak_at_random(seed: int) -> Trial:
    """Copy examples between the parts, look for them and remove them."""
    generator = np.random.default_rng(seed)
    x, y = _random_data(generator)
    test = len(x) // 5
    split = make_split(_arrays(x, y, test), NoNoise(), None, 1, None, seed)
    sources = np.flatnonzero(np.isin(np.arange(len(x) - test), split.noisy_indices))
    copied = generator.choice(test, generator.integers(1, test + 1), replace=False)
    x[copied] = x[test + generator.choice(sources, len(copied), replace=False)]
    arrays = _arrays(x, y, test)
    keys = content_keys(arrays)
    found = find_duplicates(arrays, split, keys)
    (overlap,) = found.overlaps
    exact = (overlap.first, overlap.second) == ("test", "noisy") and set(overlap.members) == set(copied)
    error = (found.leaked is not None) == (len(copied) >= 0.9 * test)
    left = find_duplicates(arrays, without_duplicates(split, keys), keys).overlaps
    right = exact and error and overlap.beyond_chance and not left
    return Trial("planted leaks are found", f"seed {seed}: {len(copied)} of {test}", right, found.told(overlap))


def _no_leak_at_random(seed: int) -> Trial:
    """Draw tables with few distinct rows, some of them unevenly, whose duplicates are no leak."""
    generator = np.random.default_rng(seed)
    x, y = _random_data(generator)
    values = int(generator.integers(2, 5))
    table = np.floor(generator.random(x.shape) ** generator.integers(1, 3) * values).astype(np.float32)
    arrays = _arrays(table, y, len(x) // 5)
    found = find_duplicates(arrays, make_split(arrays, NoNoise(), None, 1, None, seed), content_keys(arrays))
    told = f"{found.repeated:.0%} repeated, leak {found.leaked is not None}"
    return Trial("duplicates by chance are no leak", f"seed {seed}", found.leaked is None, told)


def _call(words: list[str]) -> tuple[int, str]:
    """Run a command in this process; return its exit status and what it wrote to stderr."""
    errors = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(errors):
        status = main(words)
    return status, errors.getvalue().strip()
