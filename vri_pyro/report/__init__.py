"""HTML reports of runs."""

from vri_pyro.report.page import PARTS, check, record, render, write_page
from vri_pyro.report.part import Drawing, Fact, Part, Suspect, Tile, Verdict
from vri_pyro.report.seen import SeenRun

__all__ = [
    "PARTS",
    "Drawing",
    "Fact",
    "Part",
    "SeenRun",
    "Suspect",
    "Tile",
    "Verdict",
    "check",
    "record",
    "render",
    "write_page",
]
