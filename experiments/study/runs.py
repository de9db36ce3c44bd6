"""Runs of a study: calls of ``vri-pyro fit``, identified by setting, method and seed."""

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
    """Return the options that load ``configs/<name>.yaml``, followed by further options."""
    return ("--config", str(CONFIGS / f"{name}.yaml"), *options)


def recorded(name: str, *options: str) -> Options:
    """Return the options of a configuration as it was when the records of the studies were made.

    In the configurations of the paper, the prior then had the default's widths, and not those of the paper. In that of
    the default, q(T) started at the prior.
    """
    return ("--config", str(Path(__file__).parent / "recorded" / f"{name}.yaml"), *options)


@dataclass(frozen=True)
class Cell:
    """One method in one setting.

    Attributes:
        setting, method: names in tables.
        options: options of ``vri-pyro fit`` without the seed.
    """

    setting: str
    method: str
    options: Options


@dataclass(frozen=True)
class StudyRun(Cell):
    """A cell with one seed.

    Attributes:
        seed: seed of the split, the noise and all other random draws.
    """

    seed: int

    @property
    def place(self) -> Path:
        """Path of the run folder relative to the study's folder."""
        return Path(_file_name(self.setting)) / _file_name(self.method) / f"seed{self.seed}"

    @property
    def name(self) -> str:
        """Name of the run for messages."""
        return f"{self.method} ({self.setting}, seed {self.seed})"

    def given(self) -> dict[str, Any]:
        """Return the options by their full names; later options override earlier ones.

        Configuration files are read and absolute paths are reduced to file names. Defaults are not included, so that a
        new option of a later version does not change the identity of the run.
        """
        found: dict[str, Any] = {}
        for name, value in zip(self.options[::2], self.options[1::2], strict=True):
            if name == "--config":
                found |= named_options(yaml.safe_load(Path(value).read_text()))
            else:
                found[name.removeprefix("--")] = yaml.safe_load(value)
        return without_folders(found)


def grid(settings: Mapping[str, Options], methods: Mapping[str, Options]) -> list[Cell]:
    """Return a cell for every method in every setting; options of the method override those of the setting."""
    return [
        Cell(setting, method, (*about, *how)) for setting, about in settings.items() for method, how in methods.items()
    ]


def runs_of(cells: Iterable[Cell], seeds: Iterable[int]) -> list[StudyRun]:
    """Return a run for every cell and seed.

    The seeds are the outer loop, so that a stopped study has about equally many runs of each cell.

    Raises:
        ValueError: if two cells map to the same folder.
    """
    cells = list(cells)
    places = [StudyRun(**vars(cell), seed=0).place for cell in cells]
    if twice := {str(place.parent) for place in places if places.count(place) > 1}:
        raise ValueError(f"several cells of the study map to the same folder {sorted(twice)}; give them other names")
    return [StudyRun(**vars(cell), seed=seed) for seed in seeds for cell in cells]


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", name).strip("_")


def without_folders(value: Any) -> Any:
    """Reduce absolute paths in nested options to file names, because folders differ between machines."""
    if isinstance(value, Mapping):
        return {name: without_folders(one) for name, one in value.items()}
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def first_difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Describe the first option in which two runs differ; None if there is no difference."""
    return next(_differences(was, now), None)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in {**was, **now}:
        before, after = was.get(name, "not set"), now.get(name, "not set")
        if before != after:
            yield f"{name} was {before}, is now {after}"
