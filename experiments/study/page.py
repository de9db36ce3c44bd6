"""The page that a study leaves behind: tables and a figure, and what made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from study.records import Records
from vri_pyro.files import write_atomically

# Okabe & Ito's colours, which people with any kind of colour vision tell apart; and a marker each, for print.
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


@dataclass(frozen=True)
class Page:
    """What a study has found.

    Attributes:
        title: of the page.
        parts: paragraphs and tables in Markdown.
        figure: what to draw, if anything; about 9 inches wide it is readable in a README.
    """

    title: str
    parts: Sequence[str]
    figure: Figure | None = None

    def write(self, folder: Path, name: str, records: Records, command: str) -> str:
        """Write ``<name>.md`` and ``<name>.png`` and return the page's text.

        Args:
            folder: where they go.
            name: of the study.
            records: what the page was made from.
            command: what makes it again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        parts = [f"# {self.title}", *self.parts]
        if self.figure is not None:
            parts.append(f"![{self.title}]({name}.png)")
            with mpl.rc_context(STYLE):
                self.figure.savefig(folder / f"{name}.png")
        text = "\n\n".join([*parts, made_by(records, command)]) + "\n"
        write_atomically(folder / f"{name}.md", text.encode())
        return text


def made_by(records: Records, command: str) -> str:
    """What made the records: the command, seeds, the runs' commits, versions and hardware."""
    found = [record["made_by"] for record in records]
    names = dict.fromkeys(name for one in found for name in one)
    known = {name: sorted({one[name] for one in found if name in one}) for name in names}
    seeds = ", ".join(map(str, records.seeds))
    return (
        f"Made with `{command}`: {len(records)} runs, seeds {seeds}. "
        + ", ".join(f"{name} {' and '.join(values)}" for name, values in known.items())
        + "."
    )
