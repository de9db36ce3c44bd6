"""``vri-pyro report``: one page about a run, or about several side by side."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.markup import escape

from vri_pyro.utils.errors import UserError

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
    """Make the page, and add what it found to the summary of every run that has ended, where that can be written."""
    # What takes seconds to import, no other command should wait for.
    from vri_pyro.report import SeenRun, check, record, write_page
    from vri_pyro.runs.run import Run

    check(options.runs)
    console, unrecorded = Console(), list[UserError]()
    with console.status("restoring") as status:  # shows nothing unless on a terminal
        seen = [SeenRun(Run(folder, device=options.device)) for folder in options.runs]
        for number, one in enumerate(seen, 1):
            status.update(f"looking into {escape(one.name)}, {number} of {len(seen)}: minutes where classes are many")
            try:
                record(one)
            except UserError as error:
                unrecorded.append(error)
        status.update("drawing the page")
        path = options.output or (seen[0].run.folder.report if len(seen) == 1 else Path("report.html"))
        write_page(seen, path)
    for why in unrecorded:
        console.print(f"the run's summary is left as it was: {why}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"page: {path.absolute()}", highlight=False, markup=False, soft_wrap=True)
    return 0
