"""Rendering of ``report.html``, a self-contained HTML page on one run or a comparison of several runs."""

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
    """A section of the page, with one part for each run.

    Attributes:
        title, about: heading and introduction of the section.
        cells: the parts in the order of the runs; None for a run without this part.
    """

    title: str
    about: str
    cells: list[Part | None]


def write_page(runs: Sequence[SeenRun], path: Path) -> None:
    """Write the report on one or several runs.

    Args:
        runs: at least one run; several runs are compared side by side.
        path: path of the HTML file.

    Raises:
        UserError: there is no run, a run occurs twice, or the file cannot be written.
    """
    check([run.run.folder.path for run in runs])
    write_atomically(path, render(runs).encode(errors="backslashreplace"))  # file names may be invalid UTF-8


def check(folders: Sequence[Path]) -> None:
    """Check the run folders of a report.

    Args:
        folders: run folders.

    Raises:
        UserError: there is no run folder, or two of them are the same folder.
    """
    if not folders:
        raise UserError("a report needs at least one run; name at least one run folder")
    first: dict[Path, Path] = {}
    for folder in folders:
        if (same := first.get(folder.resolve())) is not None:
            raise UserError(f"{same} and {folder} are the same run; name each run only once")
        first[folder.resolve()] = folder


def render(runs: Sequence[SeenRun]) -> str:
    """Render the report on one or several runs as self-contained HTML."""
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
    """Add the report's values to the ``summary.json`` of a finished run; do nothing for an unfinished run.

    The keys ``calibration``, ``temperature``, ``label_noise`` and, for methods with latents, ``posterior`` are added or
    replaced.

    Raises:
        UserError: the file cannot be written.
    """
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
    """Return a unique name for each run: the name of its folder, or the path if names coincide."""
    names = [run.name for run in runs]
    folders = [run.run.folder.path for run in runs]
    unique = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    # The path of one folder, if it is relative, may equal the resolved name of another.
    return unique if len(set(unique)) == len(unique) else [str(folder.resolve()) for folder in folders]


def _by_run(sections: Sequence[Section]) -> list[list[Part]]:
    """Return the parts of each run, without the missing ones."""
    return [[part for part in parts if part is not None] for parts in zip(*(s.cells for s in sections), strict=True)]


def _headlines(sections: Sequence[Section]) -> dict[str, list[str]]:
    """Return the headline values by name, one for each run; a dash marks a missing value."""
    found = [{fact.name: fact.value for part in parts for fact in part.headline} for parts in _by_run(sections)]
    names = dict.fromkeys(name for one in found for name in one)
    return {name: [one.get(name, "–") for one in found] for name in names}  # noqa: RUF001


def _together(names: Sequence[str], runs: Sequence[SeenRun]) -> Drawing | None:
    """Plot the test accuracies of several runs in one figure; return None for a single run."""
    if len(runs) < 2:
        return None
    shown = {name: of(run.rows, {"": "test_accuracy"})[""] for name, run in zip(names, runs, strict=True)}
    return curves(shown, "test accuracy (%)", "Test accuracy after each epoch.")
