"""``report.html``: one self-contained page about a run, or about several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vri_pyro.diagnostics.importance import UNRELIABLE
from vri_pyro.report.figures import curves
from vri_pyro.report.labels import labels
from vri_pyro.report.part import Drawing, Part
from vri_pyro.report.posterior import posterior
from vri_pyro.report.predictions import as_numbers, calibrations, predictions
from vri_pyro.report.seen import SeenRun
from vri_pyro.report.setting import setting
from vri_pyro.report.training import of, training
from vri_pyro.report.transitions import transitions
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

PARTS = (training, labels, transitions, posterior, predictions, setting)


@dataclass(frozen=True)
class Section:
    """One part of the page, about all runs.

    Attributes:
        title, about: of the part.
        cells: the part of each run, in their order; None for a run that has no such part.
    """

    title: str
    about: str
    cells: list[Part | None]


def write_page(runs: Sequence[SeenRun], path: Path) -> None:
    """Write the page about some runs.

    Args:
        runs: at least one; several stand side by side.
        path: of the page.

    Raises:
        UserError: there is no run, one is there twice, or the page cannot be written.
    """
    check([run.run.folder.path for run in runs])
    write_atomically(path, render(runs).encode(errors="backslashreplace"))  # of file names that are no UTF-8


def check(folders: Sequence[Path]) -> None:
    """Make sure that there is a page to make of some run folders.

    Raises:
        UserError: there is none, or one is there twice.
    """
    if not folders:
        raise UserError("a page is asked for and no run is named; name at least one run folder")
    first: dict[Path, Path] = {}
    for folder in folders:
        if (same := first.get(folder.resolve())) is not None:
            raise UserError(f"{same} and {folder} are the same run; name each run once")
        first[folder.resolve()] = folder


def render(runs: Sequence[SeenRun]) -> str:
    """The page as HTML, with everything that it shows."""
    names, sections = _names(runs), []
    for make in PARTS:
        cells = [make(run) for run in runs]
        if first := next((cell for cell in cells if cell is not None), None):
            sections.append(Section(first.title, first.about, cells))
    environment = Environment(
        loader=PackageLoader("vri_pyro.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    verdicts = [[verdict for cell in cells for verdict in cell.verdicts] for cells in _by_run(sections)]
    return environment.get_template("page.html").render(
        names=names,
        sections=sections,
        verdicts=verdicts,
        headlines=_headlines(sections),
        together=_together(names, runs),
    )


def record(run: SeenRun) -> None:
    """Add to a finished run's ``summary.json`` what the page says: calibration, label noise, posterior."""
    if not run.summary:
        return
    low, high = run.issues.transition.noise_rate_interval()
    found: dict[str, Any] = {
        "calibration": {name: as_numbers(one) for name, one in calibrations(run).items()},
        "temperature": run.temperature,
        "label_noise": {
            "rate": float(run.issues.transition.noise_rate.mean()),
            "interval": [low, high],
            "of_no_class": float(run.issues.posterior[:, -1].mean()),
            **{f"auroc_{name}": one.auroc for name, one in run.detections.items()},
        },
    }
    if judged := run.posterior:
        found["posterior"] = {
            "examples": judged.k_hat.size,
            **({} if judged.points else {"k_hat_above_0.7": float((judged.k_hat > UNRELIABLE).mean())}),
            **{site: judged.of_latent(site) for site in judged.collapse},
        }
    run.run.folder.write_summary(run.summary | found)


def _names(runs: Sequence[SeenRun]) -> list[str]:
    """A name for each run that no other has."""
    names = [run.name for run in runs]
    folders = [run.run.folder.path for run in runs]
    told = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    # A folder may be named by its name alone, which may be that of another folder behind a link.
    return told if len(set(told)) == len(told) else [str(folder.resolve()) for folder in folders]


def _by_run(sections: Sequence[Section]) -> list[list[Part]]:
    """The parts that each run has."""
    return [[part for part in parts if part is not None] for parts in zip(*(s.cells for s in sections), strict=True)]


def _headlines(sections: Sequence[Section]) -> dict[str, list[str]]:
    """The headline figures by name, a value a run; a dash where a run has none."""
    found = [{fact.name: fact.value for part in parts for fact in part.headline} for parts in _by_run(sections)]
    names = dict.fromkeys(name for one in found for name in one)
    return {name: [one.get(name, "–") for one in found] for name in names}  # noqa: RUF001


def _together(names: Sequence[str], runs: Sequence[SeenRun]) -> Drawing | None:
    """The test accuracies of several runs in one figure."""
    if len(runs) < 2:
        return None
    shown = {name: of(run.rows, {"": "test_accuracy"})[""] for name, run in zip(names, runs, strict=True)}
    return curves(shown, "test accuracy (%)", "Test accuracy after each epoch.")
