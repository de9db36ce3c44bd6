"""``vri-pyro report``: one page about a run, or about several side by side."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

HELP = "make a page about a run, or about several side by side"


def build_parser() -> ArgumentParser:
    """The command's parser."""
    parser = ArgumentParser(
        description="Make one self-contained page: accuracies, verdicts in words, curves, the posterior, transition "
        "matrices, calibration and confusion, the most suspect labels with their pictures, and the configuration. It "
        "needs no network, and is as readable on a phone and in print.",
        exit_on_error=False,
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument(
        "--output",
        type=Path | None,
        default=None,
        help="the page; null puts it into the folder of a single run, and several into report.html here",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Make the page, and add what it found to the summary of every run that has ended."""
    # What takes seconds to import, no other command should wait for.
    from vri_pyro.report import SeenRun, record, write_page

    seen = [SeenRun(folder, device=options.device) for folder in options.runs]
    path = options.output or (seen[0].run.folder.report if len(seen) == 1 else Path("report.html"))
    for one in seen:
        record(one)
    write_page(seen, path)
    Console().print(f"page: {path.absolute()}", highlight=False, markup=False, soft_wrap=True)
    return 0
