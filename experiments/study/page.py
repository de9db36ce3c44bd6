"""Results page of a study: tables, a figure, and the provenance of the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from study.records import Record, Records
from vri_pyro.utils.files import write_atomically

# The palette of Okabe & Ito is safe for colour-blind readers. Markers distinguish the lines in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {
    "axes.grid": True,
    "axes.prop_cycle": mpl.cycler(color=COLOURS, marker=MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.dpi": 110,
}
# Options of data, classifier and optimiser that the page lists.
_SHOWN = ("path", "channels", "hidden", "feature_dim", "depth", "lr", "momentum", "weight_decay")


@dataclass(frozen=True)
class Page:
    """Contents of a results page.

    Attributes:
        title: title of the page.
        parts: paragraphs and tables in Markdown.
        figure: figure of the page, or None; a width of about 9 inches is readable in a README.
        papers: results reported in the paper, in Markdown. They get their own section because they were not measured
            here.
        data: results for other programs, written as JSON.
    """

    title: str
    parts: Sequence[str]
    figure: Figure | None = None
    papers: str | None = None
    data: Mapping[str, Any] | None = None

    def write(self, folder: Path, name: str, records: Records, command: str) -> str:
        """Write ``<name>.md``, ``<name>.png`` and, if there is data, ``<name>.json``.

        Args:
            folder: output folder.
            name: base name of the files.
            records: records from which the page was made.
            command: command that reproduces the page.

        Returns:
            The text of the page.
        """
        folder.mkdir(parents=True, exist_ok=True)
        parts = [f"# {self.title}", *self.parts]
        if self.figure is not None:
            parts.append(f"![{self.title}]({name}.png)")
            with mpl.rc_context(STYLE):
                self.figure.savefig(folder / f"{name}.png")
        if self.data is not None:
            write_atomically(folder / f"{name}.json", (json.dumps(self.data, indent=1) + "\n").encode())
        if self.papers is not None:
            parts += ["## Results reported in the paper (not measured here)", self.papers]
        parts += ["## Setup and provenance", what_was_run(records), made_by(records, command)]
        text = "\n\n".join(parts) + "\n"
        write_atomically(folder / f"{name}.md", text.encode())
        return text


def what_was_run(records: Records) -> str:
    """Describe data, sizes, classifier, epochs and optimisers in one paragraph per data set."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(_shown(record["config"]["data"]), []).append(record)
    return "\n\n".join(_told(data, group) for data, group in groups.items())


def _told(data: str, records: Sequence[Record]) -> str:
    configs = [record["config"] for record in records]
    listed = {
        "noisy labels": [record["split"]["noisy"] for record in records],
        "clean labels": [record["split"]["clean"] for record in records],
        "classifier": [_shown(one["backbone"]) for one in configs],
        "augmentation": [_shown(one["augmentation"]) for one in configs],
        "epochs": [one["epochs"] for one in configs],
        "batch": [one["batch_size"] for one in configs],
        "optimiser": [_shown(one["optimizer"]) for one in configs],
    }
    told = [f"{name}: {' or '.join(map(str, dict.fromkeys(some)))}" for name, some in listed.items()]
    return "; ".join([f"data: {data}", *told, *_longer(records)]) + "."


def _longer(records: Sequence[Record]) -> list[str]:
    """List the methods whose additional stages make training longer than the configured number of epochs."""
    methods: dict[int, dict[str, None]] = {}
    for record in records:
        length = max((len(curve) for curve in record.get("curves", {}).values()), default=0)
        if isinstance(record["config"]["epochs"], int) and length > record["config"]["epochs"]:
            name, _, _ = record["method"].partition("; ")  # drop the variant of a method, such as its training regime
            methods.setdefault(length, {})[name] = None
    told = [f"{length} ({'; '.join(names)})" for length, names in sorted(methods.items())]
    return [f"epochs including all stages: {', '.join(told)}"] if told else []


def _shown(part: dict[str, Any]) -> str:
    """Format a part of a configuration as a call; paths are reduced to file names."""
    name = part["class_path"].rpartition(".")[2]
    options = {key: Path(value).name if key == "path" else value for key, value in part.get("init_args", {}).items()}
    kept = {key: value for key, value in options.items() if value not in (None, False) and key in _SHOWN}
    return f"{name}({', '.join(f'{key}={value}' for key, value in kept.items())})" if kept else name


def made_by(records: Records, command: str) -> str:
    """Describe the provenance of the records: command, seeds, commits, versions and hardware."""
    found = [record["made_by"] for record in records]
    names = dict.fromkeys(name for one in found for name in one)
    known = {name: sorted({one[name] for one in found if name in one}) for name in names}
    seeds = ", ".join(map(str, records.seeds))
    return (
        f"Made with `{command}`: {len(records)} runs, seeds {seeds}. "
        + ", ".join(f"{name} {' and '.join(values)}" for name, values in known.items())
        + "."
    )
