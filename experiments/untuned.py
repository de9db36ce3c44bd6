"""Methods with nothing tuned to the data, on cells drawn at random: data set, noise, rate, trusted labels and seed.

    python -m bench.prepare --data DIR
    python experiments/untuned.py --data DIR [--draw 1] [--cells 60] [--jobs 2] [--only default "small loss"]

Every method gets inputs, labels and the positions of the trusted ones, as a user would pass them to VRIClassifier, and
predicts the test set. Nothing is set to fit a data set; what a method chooses, it chooses from what it is given. The
choices of network and methods were designed on cells of draws 1, 2, 3, 100, 200 and 300, by test accuracy. That the
learned T has three networks in the default was decided after draw 4, and so was that every network, and not every
method, counts the same before any label is seen. The default of draw 2 is an earlier one, which chose one method. PES,
EMLC, BOME and DivideMix came after all draws.
Finished runs are kept; repeat the command to go on after an interruption.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bench.cells import Cell, draw, given
from bench.competitors import COMPETITORS
from bench.datasets import DATASETS
from bench.ranking import diagram, ranks
from study.execution import worker_pool
from study.records import Records, Store
from study.runs import StudyRun
from study.statistics import mean_of, paired_difference
from study.tables import markdown_table

from vri_pyro.runs.network_choice import Candidate
from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.provenance import provenance

RESULTS = Path(__file__).parent / "results"
DEFAULT = "default"
KINDS = ("images", "features", "tables")


def runs(cells: Sequence[Cell], methods: Sequence[str]) -> list[StudyRun]:
    """Return the runs of the methods in the cells, cell by cell."""
    return [
        StudyRun(cell.name, method, ("--trusted", str(cell.trusted)), seed=cell.seed)
        for cell in cells
        for method in methods
        if COMPETITORS[method].takes(DATASETS[cell.dataset].kind, cell.trusted)
    ]


def perform(cell: Cell, missing: Sequence[StudyRun], folder: Path, store: Store) -> str:
    """Execute runs in a cell and store their records; returns a line to print."""
    torch.set_num_threads(1)
    data, told, chosen = given(cell, folder), [], None
    for run in missing:
        began = time.process_time()
        probabilities, facts = COMPETITORS[run.method].predict(data, chosen)
        seconds = time.process_time() - began
        if (network := facts.get("network")) is not None:
            chosen = Candidate(tuple(network["hidden"]), network["weight_decay"])
        accuracy = 100 * float((probabilities.argmax(1) == data.y_test).mean())
        right = probabilities[np.arange(len(data.y_test)), data.y_test]
        store.write(
            run,
            {
                "results": {"last": accuracy, "nll": -float(np.log(right + 1e-12).mean())},
                "cpu_seconds": round(seconds, 2),
                "noise_rate": float((data.y != data.true)[~data.trusted].mean()),
                "made_by": provenance(torch.device("cpu")),
                **facts,
            },
        )
        told.append(f"{run.method} {accuracy:.1f} ({seconds:.0f} s)")
    return f"{cell.name}: " + ", ".join(told)


def execute(todo: Mapping[Cell, Sequence[StudyRun]], folder: Path, store: Store, jobs: int) -> int:
    """Execute the runs of each cell, several cells at a time if ``jobs`` > 1; returns the number of failed cells."""
    failed = 0

    def tell(cell: Cell, result: Callable[[], str]) -> None:
        nonlocal failed
        try:
            print(result(), flush=True)
        except Exception as error:
            failed += 1
            print(f"error: {cell.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    if jobs == 1:
        for cell, missing in todo.items():
            tell(cell, partial(perform, cell, missing, folder, store))
        return failed
    with worker_pool(jobs) as pool:
        waiting = {pool.submit(perform, cell, missing, folder, store): cell for cell, missing in todo.items()}
        for future in as_completed(waiting):
            tell(waiting[future], future.result)
    return failed


def accuracies(records: Records, cells: Collection[str]) -> dict[str, dict[str, float]]:
    """Return the test accuracies by method and cell."""
    found = {
        method: {cell: next(iter(of.values())) for cell in cells if (of := records.accuracies(method, cell))}
        for method in records.methods
    }
    return {method: of for method, of in found.items() if of}


def losses(found: Mapping[str, Mapping[str, float]], best: Mapping[str, float]) -> str:
    """Return a table of the cells in which the default is more than a point behind the best method."""
    rows = []
    for cell, accuracy in found.get(DEFAULT, {}).items():
        if best[cell] - accuracy > 1:
            winner = max(found, key=lambda method: found[method].get(cell, 0.0))
            rows.append([cell, f"{accuracy:.1f}", winner, f"{best[cell]:.1f}"])
    return markdown_table(["cell", "default", "best method", "its accuracy"], rows) if rows else "None."


def report(records: Records, cells: Sequence[Cell], command: str, picture: str) -> str:
    """Return the page of results in Markdown."""
    kinds = {cell.name: DATASETS[cell.dataset].kind for cell in cells}
    found = accuracies(records, [cell.name for cell in cells])
    finished = list(found.get(DEFAULT) or dict.fromkeys(cell for of in found.values() for cell in of))
    everything = accuracies(records, finished)
    found = {method: of for method, of in everything.items() if not COMPETITORS[method].semi_supervised}
    default = found.get(DEFAULT, {})
    best = {cell: max((of.get(cell, 0.0) for of in found.values()), default=0.0) for cell in finished}
    places, rows = ranks(found), []
    for method in sorted(places, key=lambda name: np.mean(list(places[name].values()))):
        own = found[method]
        gaps = [best[cell] - accuracy for cell, accuracy in own.items()]
        leads = [lead(default, own, {c for c, k in kinds.items() if k == kind}) for kind in KINDS]
        seconds = np.mean([record["cpu_seconds"] for record in records if record["method"] == method])
        rows.append(
            [
                method,
                str(len(own)),
                f"{np.mean(list(places[method].values())):.2f}",
                f"{mean_of(gaps).value:.1f}",
                f"{max(gaps):.1f}",
                *([""] * len(KINDS) if method == DEFAULT else leads),
                f"{seconds:.0f}",
            ]
        )
    head = ["method", "cells", "mean rank", "mean gap", "worst gap"]
    parts = [
        "# Nothing tuned",
        f"Made with `{command}`.",
        *(__doc__ or "").strip().split("\n\n")[2:],
        f"{len(finished)} of {len(cells)} cells are finished. The gap is that to the best method of a cell, in points "
        "of test accuracy; the lead is the mean paired difference to the method, with its standard error. The rank of "
        "a method is among the methods that ran in a cell.",
        markdown_table([*head, *(f"default's lead, {kind}" for kind in KINDS), "CPU s"], rows),
        f"![Critical-difference diagram]({picture})",
        "The diagram has the methods that take every kind of data, in the cells with trusted labels.",
        "## Cells in which the default is more than a point behind the best",
        losses(found, best),
        *semi_supervised(everything, kinds),
    ]
    return "\n\n".join(parts) + "\n"


def semi_supervised(found: Mapping[str, Mapping[str, float]], kinds: Mapping[str, str]) -> list[str]:
    """Return a section about the methods that predict labels and train on two views."""
    default, rows = found.get(DEFAULT, {}), []
    for method in (method for method in found if COMPETITORS[method].semi_supervised):
        own = found[method]
        leads = [lead(default, own, {cell for cell, kind in kinds.items() if kind == each}) for each in KINDS]
        ahead = sum(accuracy < default.get(cell, 0.0) for cell, accuracy in own.items())
        rows.append([method, str(len(own)), f"{mean_of(list(own.values())).value:.1f}", str(ahead), *leads])
    if not rows:
        return []
    head = ["method", "cells", "accuracy", "default ahead in", *(f"default's lead, {kind}" for kind in KINDS)]
    return [
        "## Semi-supervised methods",
        "These train two networks, which predict labels for each other, on two views of each example. They have no "
        "rank above. No method of the bench augments the data, so both views are equal; their papers augment images.",
        markdown_table(head, rows),
    ]


def lead(default: Mapping[str, float], own: Mapping[str, float], cells: Collection[str]) -> str:
    """Describe the default's mean lead over a method in some cells."""
    of_default, of_own = ({cell: value for cell, value in of.items() if cell in cells} for of in (default, own))
    found = paired_difference(of_default, of_own)
    if found is None:
        return ""
    return f"{found.value:+.1f} ± {found.error:.1f}" if np.isfinite(found.error) else f"{found.value:+.1f}"


def everywhere(records: Records, cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """Return the accuracies of the methods that take every kind of data, in the finished cells with trusted labels."""
    finished = [c.name for c in cells if c.trusted and records.accuracies(DEFAULT, c.name)]
    found = accuracies(records, finished)
    return {
        method: of
        for method, of in found.items()
        if COMPETITORS[method].images and not COMPETITORS[method].semi_supervised and len(of) == len(finished)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute what is missing, and write the page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the .npz files")
    parser.add_argument("--draw", type=int, default=1, help="seed of the draw of cells")
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=COMPETITORS, default=list(COMPETITORS), metavar="METHOD")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS), metavar="DATA")
    parser.add_argument("--report-only", action="store_true", help="write the page from the finished runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.data is None and not options.report_only:
        parser.error("--data is needed: the folder of the .npz files")
    cells = draw(options.cells, options.draw, options.datasets)
    study = f"untuned_{options.draw}"
    store = Store(options.results / "records" / f"{study}.jsonl.gz")
    todo = {cell: missing for cell in cells if (missing := store.missing(runs([cell], options.only)))}
    try:
        failed = 0 if options.report_only else execute(todo, options.data, store, options.jobs)
    except KeyboardInterrupt:
        print("stopped; repeat the same command to resume", file=sys.stderr)
        return 130
    records = store.collect(runs(cells, list(COMPETITORS)))
    if len(records):
        chosen = "".join(f" {name!r}" for name in options.datasets) if options.datasets != list(DATASETS) else ""
        command = f"python experiments/untuned.py --draw {options.draw} --cells {options.cells}"
        command += f" --datasets{chosen}" if chosen else ""
        shared = everywhere(records, cells)
        if len(shared) > 1:
            diagram(shared).savefig(options.results / f"{study}.png")
        page = report(records, cells, command, f"{study}.png")
        write_atomically(options.results / f"{study}.md", page.encode())
        print(page)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
