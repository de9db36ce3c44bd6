"""A study of the numbers about labels: it measures cells, keeps their records and writes its page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from study.execution import worker_pool

from bench.labelled import TRUSTED, Setting
from bench.numbers_page import figure, page, summary
from vri_pyro.utils.files import write_atomically

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Numbers:
    """A study of the numbers about labels.

    Attributes:
        name: name of the script and of the files of results.
        title: title of the page.
        text: documentation of the script: its first line, the command, and paragraphs for the page.
        cells: returns the cells for some numbers of trusted labels a class.
        measure: returns the record of a cell, from the cell, a seed and a folder of data.
        groups: names of the data sets and of the noises, in the order of the rows of the page.
        data: name of the option with the folder, and what is in it.
    """

    name: str
    title: str
    text: str
    cells: Callable[[Sequence[int]], list[Setting]]
    measure: Callable[[Setting, int, Path], dict[str, Any]]
    groups: tuple[Sequence[str], Sequence[str]]
    data: tuple[str, str]

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Measure the cells that the records lack, write and print the table, and return the exit status."""
        parser = argparse.ArgumentParser(description=self.text, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--cells", type=int, default=None, help="number of cells, for a part of the bench")
        parser.add_argument("--only", nargs="*", default=None, help="data sets")
        parser.add_argument("--trusted", nargs="*", type=int, default=TRUSTED, help="numbers of trusted labels a class")
        parser.add_argument(self.data[0], dest="folder", type=Path, default=Path("data"), help=self.data[1])
        parser.add_argument("--jobs", type=int, default=1, help="number of cells that are measured at a time")
        parser.add_argument("--output", type=Path, default=RESULTS / f"{self.name}.json")
        options = parser.parse_args(arguments)
        records = json.loads(options.output.read_text()) if options.output.exists() else []
        done = {tuple(one["cell"]) for one in records}
        wanted = [cell for cell in self.cells(options.trusted) if options.only is None or cell[0] in options.only]
        missing = [cell for cell in wanted[: options.cells] if (*cell, options.seed) not in done]
        try:
            for found in self.measured(missing, options.seed, options.folder, options.jobs):
                records.append(found)
                options.output.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(options.output, (json.dumps(records) + "\n").encode())
        except KeyboardInterrupt:
            print("stopped; repeat the same command to resume", file=sys.stderr)
            return 130
        self.write_page(records, options)
        Console().print(summary(records, self.groups), highlight=False, soft_wrap=True, markup=False)
        return 0

    def measured(self, cells: Sequence[Setting], seed: int, folder: Path, jobs: int) -> Iterator[dict[str, Any]]:
        """Measure cells, several at a time if ``jobs`` > 1."""
        if jobs == 1:
            yield from (self.measure(cell, seed, folder) for cell in cells)
            return
        with worker_pool(jobs) as pool:
            for future in as_completed([pool.submit(self.measure, cell, seed, folder) for cell in cells]):
                yield future.result()

    def write_page(self, records: list[dict[str, Any]], options: argparse.Namespace) -> None:
        """Write page and picture beside the records."""
        command = f"python experiments/{self.name}.py --seed {options.seed}"
        command += f" --trusted {' '.join(map(str, options.trusted))}" if tuple(options.trusted) != TRUSTED else ""
        command += f" --only {' '.join(options.only)}" if options.only else ""
        command += f" --cells {options.cells}" if options.cells else ""
        picture = options.output.with_suffix(".png")
        figure(records).savefig(picture)
        text = "\n\n".join(self.text.split("\n\n")[2:]).strip()
        told = page(records, self.title, text, command, picture.name, self.groups)
        write_atomically(options.output.with_suffix(".md"), told.encode())
