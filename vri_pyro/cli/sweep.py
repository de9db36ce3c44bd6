"""``vri-pyro sweep``: train with several seeds and all combinations of option values."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from jsonargparse import ArgumentParser, Namespace
from rich.table import Column, Table

from vri_pyro.cli.old_names import with_current_names
from vri_pyro.runs.parsing import build_configuration, check_values, configuration_parser, without
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable, first_line, write_atomically
from vri_pyro.utils.interruption import Interrupted
from vri_pyro.utils.locks import locked
from vri_pyro.utils.numbers import MOST_PROCESSES, check_integer

_OWN = ("seeds", "grid", "jobs", "config", "output", "resume", "quiet", "seed", "trust")
_MEASURES = {"last": "last epoch", "chosen": "best on the validation set"}
_COLUMNS = [f"{name}_{part}" for name in _MEASURES for part in ("mean", "sd")]
_INTERRUPTED = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM)}  # exit status → signal


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        values: values of the options of the grid, by name.
        seed: the seed.
        folder: the run folder.
    """

    values: dict[str, str]
    seed: int
    folder: RunFolder

    @property
    def name(self) -> str:
        """Name of the run for messages."""
        return ", ".join([*(f"{option}={value}" for option, value in self.values.items()), f"seed {self.seed}"])


def build_parser() -> ArgumentParser:
    """Build the parser of the command, which has all options of ``fit``."""
    parser = configuration_parser(
        "Train with several seeds and with all combinations of the values of some options. Every run gets a folder of "
        "its own below the output. Repeat the command to resume: finished runs are skipped and interrupted ones "
        "continued. At the end, print the mean and standard deviation over the seeds and write them to sweep.csv."
    )
    parser.add_argument("--seeds", type=str, default="0,1,2", help="seeds, separated by commas")
    parser.add_argument(
        "--grid",
        type=str,
        nargs="*",
        default=[],
        help="options with their values, separated by commas, such as optimizer.lr=0.01,0.05; config=vri,elr "
        "compares configurations",
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at a time, each in a process of its own")
    parser.set_defaults({"output": "runs/sweep", "report": False})
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Train all runs, print a line for each, and write the table; return 1 if a run has failed."""
    check_integer("jobs", options.jobs, 1, MOST_PROCESSES)
    check_values(options)
    if options.seed:
        raise UserError(f"seed is {options.seed}; set --seeds {options.seed} instead")
    output = Path(options.output)
    if (folder := RunFolder(output)).last.exists():
        raise UserError(f"{output} contains a run; choose another --output")
    folder.check_config()
    check_replaceable(output / "sweep.csv", _is_table, "a table of vri-pyro sweep")
    trials = _trials(output, _grid(options.grid), _seeds(options.seeds))
    with locked(output):
        config = output / "config.yaml"
        write_atomically(config, parser.dump(without(options, _OWN), skip_unset=False).encode())
        _check(config, trials)
        return _train_and_tabulate(output, config, trials, options.jobs)


def _train_and_tabulate(output: Path, config: Path, trials: Sequence[Trial], jobs: int) -> int:
    console, failed = SafeConsole(soft_wrap=True), list[Trial]()
    with closing(_train(config, trials, jobs)) as outcomes:
        for number, (trial, status) in enumerate(outcomes, start=1):
            if status in _INTERRUPTED:
                raise Interrupted("stopped; repeat the same command to resume", _INTERRUPTED[status])
            if status:
                failed.append(trial)
            shown = "failed" if status else f"{_results(trial)['last']:.2f}"
            console.print(f"{number}/{len(trials)} {trial.name}: {shown}")
    done = [trial for trial in trials if trial not in failed]
    if done:
        console.print(_table(done))
        write_atomically(output / "sweep.csv", _lines(done).encode())
        console.print(f"table: {(output / 'sweep.csv').absolute()}")
    for trial in failed:
        console.print(f"failed: {trial.name}; see the error above")
    return 1 if failed else 0


def _seeds(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UserError(f"seeds is {text!r}; expected integers separated by commas, such as 0,1,2")
    seeds = list(dict.fromkeys(map(int, words)))
    for seed in seeds:
        check_integer("a seed", seed, 0)
    return seeds


def _grid(words: Iterable[str]) -> dict[str, list[str]]:
    """Return the values of each option; commas in brackets belong to a value."""
    grid = {}
    for word in words:
        name, _, values = word.partition("=")
        try:
            found = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            found = []
        if not name or not found:
            raise UserError(f"grid has {word!r}; expected an option and its values, such as optimizer.lr=0.01,0.05")
        if name in _OWN and name != "config":
            raise UserError(f"grid has the option {name}; use --seeds for seeds, and other options for the grid")
        grid[name] = [value if isinstance(value, str) else json.dumps(value) for value in found]
    return grid


def _trials(output: Path, grid: dict[str, list[str]], seeds: Sequence[int]) -> list[Trial]:
    """Return all runs; the seeds are the outer loop, so that an interrupted sweep covers the grid evenly."""
    trials = []
    for seed, chosen in itertools.product(seeds, itertools.product(*grid.values())):
        values = dict(zip(grid, chosen, strict=True))
        name = re.sub(r"[^\w.,=+-]+", "_", ",".join(f"{option}={value}" for option, value in values.items()))
        trials.append(Trial(values, seed, RunFolder(output / name / f"seed_{seed}")))
    if len({trial.folder.path for trial in trials}) < len(trials):
        raise UserError("grid has a value twice, or values whose folders would have the same name; change one of them")
    return trials


def _given(config: Path, values: dict[str, str]) -> list[str]:
    return ["--config", str(config), *(word for option, value in values.items() for word in (f"--{option}", value))]


def _check(config: Path, trials: Sequence[Trial]) -> None:
    """Build the configuration with every value of the grid, so that a mistake is reported before the first run."""
    parser = configuration_parser()
    pairs = dict.fromkeys(pair for trial in trials for pair in trial.values.items())
    for values in ({}, *({option: value} for option, value in pairs)):
        build_configuration(parser, parser.parse_args(with_current_names(_given(config, values))))


def _train(config: Path, trials: Sequence[Trial], jobs: int) -> Generator[tuple[Trial, int]]:
    """Train the runs and yield each with the exit status of ``vri-pyro fit``, in order."""
    fixed = ("--resume", "true", "--quiet", "true", "--trust", "true")  # the options of the sweep are its user's
    arguments = [
        ["fit", *_given(config, trial.values), "--seed", str(trial.seed), "--output", str(trial.folder.path), *fixed]
        for trial in trials
    ]
    if jobs == 1:
        from vri_pyro.cli.main import main

        yield from zip(trials, map(main, arguments), strict=True)
        return
    with ThreadPoolExecutor(jobs) as pool, _processes() as start:
        try:
            yield from zip(trials, pool.map(start, arguments), strict=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _processes() -> Iterator[Callable[[Sequence[str]], int]]:
    """Yield a function that runs a command in its own process; at the end, running ones are asked to save and stop."""
    running: list[subprocess.Popen[bytes]] = []

    def start(arguments: Sequence[str]) -> int:
        process = subprocess.Popen([sys.executable, "-m", "vri_pyro.cli", *arguments])
        running.append(process)
        return process.wait()

    try:
        yield start
    finally:
        for process in running:
            process.terminate()


def _results(trial: Trial) -> dict[str, float]:
    """Return the accuracies of a finished run in percent; NaN for those that it does not have."""
    found = trial.folder.read_summary()["results"]
    return {name: np.nan if found.get(name) is None else found[name] for name in _MEASURES}


def _summary(trials: Sequence[Trial]) -> Iterator[tuple[dict[str, str], int, dict[str, tuple[float, float]]]]:
    """Yield each combination of values with the number of its runs, and mean and standard deviation of the results."""
    for values in dict.fromkeys(tuple(trial.values.items()) for trial in trials):
        found = [_results(trial) for trial in trials if tuple(trial.values.items()) == values]
        columns = {name: [one[name] for one in found] for name in _MEASURES}
        spread = {name: np.std(some, ddof=1) if len(some) > 1 else np.nan for name, some in columns.items()}
        yield dict(values), len(found), {name: (float(np.mean(columns[name])), float(spread[name])) for name in columns}


def _table(trials: Sequence[Trial]) -> Table:
    right = [Column(name, justify="right") for name in ("runs", *_MEASURES.values())]
    part = trials[0].folder.read_summary()["results"].get("measured_on") or "test"
    title = f"{part} accuracy (%), mean ± sd over the seeds"
    table = Table(*trials[0].values, *right, title=title, title_justify="left")
    for values, count, results in _summary(trials):
        spread = (
            "–" if np.isnan(mean) else f"{mean:.2f}" + ("" if np.isnan(sd) else f" ± {sd:.2f}")  # noqa: RUF001
            for mean, sd in results.values()
        )
        table.add_row(*values.values(), str(count), *spread)
    return table


def _is_table(path: Path) -> bool:
    return first_line(path).endswith(",".join(["runs", *_COLUMNS]))


def _lines(trials: Sequence[Trial]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*trials[0].values, "runs", *_COLUMNS])
    for values, count, results in _summary(trials):
        numbers = itertools.chain.from_iterable(results.values())
        writer.writerow([*values.values(), count, *("" if np.isnan(number) else f"{number:.4f}" for number in numbers)])
    return text.getvalue()
