"""Rendering of ``report.html``, a self-contained HTML page on one run or a comparison of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vri_pyro.diagnostics.importance import UNRELIABLE
from vri_pyro.report.calibrated import as_numbers, calibrated
from vri_pyro.report.certified import certified
from vri_pyro.report.confusions import confusions
from vri_pyro.report.figures import curves
from vri_pyro.report.labels import labels
from vri_pyro.report.part import Drawing, Part, Tile
from vri_pyro.report.posterior import posterior
from vri_pyro.report.seen import SeenRun
from vri_pyro.report.setting import setting, subtitle
from vri_pyro.report.training import of, training
from vri_pyro.report.transitions import transitions
from vri_pyro.utils.console import visible
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

PARTS = (
    labels,
    certified,
    training,
    confusions,
    transitions,
    calibrated,
    posterior,
    setting,
)  # in the order of the sections
_TOP = (
    training,
    labels,
    certified,
    calibrated,
)  # the parts whose tiles and verdicts are at the top of the page, in their order


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


def is_page(path: Path) -> bool:
    """Return whether a file begins as :func:`write_page` begins a page."""
    with path.open("rb") as file:
        return "· vri-pyro</title>".encode() in file.read(2**16)


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
    names = _names(runs)
    parts = {make: [make(run) for run in runs] for make in PARTS}
    sections = []
    for cells in parts.values():
        if first := next((cell for cell in cells if cell is not None), None):
            sections.append(Section(first.title, first.about, cells))
    top = [[part for make in _TOP if (part := parts[make][run]) is not None] for run in range(len(runs))]
    environment = Environment(
        loader=PackageLoader("vri_pyro.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    return environment.get_template("page.html").render(
        names=names,
        subtitles=[subtitle(run) for run in runs],
        sections=sections,
        verdicts=[[verdict for part in parts for verdict in part.verdicts] for parts in top],
        headlines=_headlines(top),
        together=_together(names, runs),
    )


def _visible(value: Any) -> Any:
    """Escape control and bidirectional characters of a text, which may be a name from a data set, or HTML."""
    return type(value)(visible(value)) if isinstance(value, str) else value


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
        "calibration": {name: as_numbers(one) for name, one in run.calibrations.items()},
        "temperature": run.temperature,
        "label_noise": {
            "rate": run.issues.joint.noise_rate,
            "interval": [low, high],
            "of_no_class": float(run.issues.joint.none.mean()),
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
    """Return a unique name for each run: the name of its folder, with folders above it as far as names coincide."""
    folders = [run.run.folder.path.resolve().parts for run in runs]

    def name(parts: tuple[str, ...]) -> str:
        lengths = range(1, len(parts) + 1)
        alone = (n for n in lengths if sum(other[-n:] == parts[-n:] for other in folders) == 1)
        return "/".join(parts[-next(alone, len(parts)) :])

    return [name(parts) for parts in folders]


def _headlines(top: Sequence[Sequence[Part]]) -> dict[str, list[Tile]]:
    """Return the tiles by name, one for each run; a dash marks a missing value."""
    found = [{tile.name: tile for part in parts for tile in part.headline} for parts in top]
    names = dict.fromkeys(name for one in found for name in one)
    return {name: [one.get(name, Tile(name, "–")) for one in found] for name in names}  # noqa: RUF001


def _together(names: Sequence[str], runs: Sequence[SeenRun]) -> Drawing | None:
    """Plot the accuracies of several runs in one figure; return None for a single run or if none has a value."""
    metrics = {run.measured for run in runs if run.measured}
    if len(runs) < 2 or not metrics:
        return None
    metric = "test" if "test" in metrics else "validation"
    found = [of(run.rows, {name: f"{metric}_accuracy"}) for name, run in zip(names, runs, strict=True)]
    shown = {name: curve for one in found for name, curve in one.items()}
    return curves(shown, f"{metric} accuracy (%)", f"{metric.capitalize()} accuracy after each epoch.")
