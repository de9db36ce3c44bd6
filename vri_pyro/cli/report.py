"""``vri-pyro report``: write an HTML report on one run or a comparison of several runs."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.text import Text

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Write a self-contained HTML page with the accuracy, the share of wrong labels, the most suspicious"
        " labels with their pictures, training curves, confusions, transition matrices, calibration, the posterior and "
        "the configuration. The page needs no network and is readable on a phone and in print.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders (the --output of vri-pyro fit)")
    parser.add_argument(
        "--output",
        type=Path | None,
        default=None,
        help="HTML file; null writes report.html to the run folder, or to the working directory for several runs",
    )
    parser.add_argument(
        "--full_paths", type=bool, default=False, help="show absolute paths, which tell the names of users and folders"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Write the report, and add its numbers to the ``summary.json`` of every finished run if the file is writable."""
    # Lazy, because these imports take seconds.
    from vri_pyro.report import SeenRun, check, record, write_page
    from vri_pyro.report.page import is_page
    from vri_pyro.runs.run import Run
    from vri_pyro.training.run_folder import RunFolder

    check(options.runs)
    folder = RunFolder(options.runs[0])
    path = options.output or (folder.report if len(options.runs) == 1 else Path("report.html"))
    check_replaceable(path, is_page, "a page of vri-pyro report")  # before the expensive computation
    console, unrecorded = SafeConsole(), list[UserError]()
    with console.status("loading runs") as status:  # visible only on a terminal
        places = data_places(options)
        runs = [
            Run(folder, device=options.device, trust=trusts(folder, options.trust), data=places)
            for folder in options.runs
        ]
        seen = [SeenRun(run, full_paths=options.full_paths) for run in runs]
        for number, one in enumerate(seen, 1):
            status.update(Text(f"analysing {one.name}, {number} of {len(seen)} (takes minutes with many classes)"))
            try:
                record(one)
            except UserError as error:
                unrecorded.append(error)
        status.update("writing the report")
        write_page(seen, path)
    for why in unrecorded:
        console.print(f"the run's summary was not updated: {why}", soft_wrap=True)
    console.print(f"report: {path.absolute()}", soft_wrap=True)
    return 0
