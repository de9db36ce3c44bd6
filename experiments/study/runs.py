"""Runs: calls of ``vri-pyro fit``, named by setting, method and seed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vri_pyro.training.checkpoint import named_options

CONFIGS = Path(__file__).parents[1] / "configs"

Options = tuple[str, ...]


def config(name: str, *options: str) -> Options:
    """The options of ``configs/<name>.yaml``, and further ones after them."""
    return ("--config", str(CONFIGS / f"{name}.yaml"), *options)


@dataclass(frozen=True)
class Cell:
    """One method in one setting.

    Attributes:
        setting, method: their names in tables.
        options: of ``vri-pyro fit``, without the seed.
    """

    setting: str
    method: str
    options: Options


@dataclass(frozen=True)
class StudyRun(Cell):
    """A cell with one seed.

    Attributes:
        seed: of the split, the noise and everything random.
    """

    seed: int

    @property
    def place(self) -> Path:
        """Where the run's files are, below the study's folder."""
        return Path(_file_name(self.setting)) / _file_name(self.method) / f"seed{self.seed}"

    @property
    def name(self) -> str:
        """The run in a sentence."""
        return f"{self.method} ({self.setting}, seed {self.seed})"

    def given(self) -> dict[str, Any]:
        """The options by their full names, configurations read in, of files the name alone; later ones win.

        Defaults are not among them, so that an option that a later version adds makes no other run of this one.
        """
        found: dict[str, Any] = {}
        for name, value in zip(self.options[::2], self.options[1::2], strict=True):
            if name == "--config":
                found |= named_options(yaml.safe_load(Path(value).read_text()))
            else:
                found[name.removeprefix("--")] = yaml.safe_load(value)
        return without_folders(found)


def grid(settings: Mapping[str, Options], methods: Mapping[str, Options]) -> list[Cell]:
    """Every method in every setting; options of the method come after those of the setting."""
    return [
        Cell(setting, method, (*about, *how)) for setting, about in settings.items() for method, how in methods.items()
    ]


def runs_of(cells: Iterable[Cell], seeds: Iterable[int]) -> list[StudyRun]:
    """Every cell with every seed, seeds outermost, so that a study that is stopped has its cells equally often.

    Raises:
        ValueError: two cells would share their files.
    """
    cells = list(cells)
    places = [StudyRun(**vars(cell), seed=0).place for cell in cells]
    if twice := {str(place.parent) for place in places if places.count(place) > 1}:
        raise ValueError(f"several cells of the study would be kept in {sorted(twice)}; name them apart")
    return [StudyRun(**vars(cell), seed=seed) for seed in seeds for cell in cells]


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", name).strip("_")


def without_folders(value: Any) -> Any:
    """Options, nested as they may be, with the names alone of files whose paths are absolute: other machines differ."""
    if isinstance(value, Mapping):
        return {name: without_folders(one) for name, one in value.items()}
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def first_difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first option in which two runs differ, in words; None where they are one."""
    return next(_differences(was, now), None)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in {**was, **now}:
        before, after = was.get(name, "not set"), now.get(name, "not set")
        if before != after:
            yield f"{name} was {before}, now it is {after}"
