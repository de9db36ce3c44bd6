"""``vri-pyro fit``: train a classifier on noisy labels and write the results to a run folder."""

from __future__ import annotations

import math
import shlex
import warnings
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace
from rich.table import Column, Table

from vri_pyro.runs.experiment import Experiment
from vri_pyro.runs.network_choice import CHOSEN
from vri_pyro.runs.own_runs import remember_run
from vri_pyro.runs.parsing import build_configuration, check_values, configuration_parser, read_options, without
from vri_pyro.runs.places import data_places, with_absolute_places
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.interruption import Interrupted
from vri_pyro.utils.processes import is_first, leave

# Options that may change when a run is resumed; all other options identify the run.
PRESENTATION = (
    "config",
    "output",
    "resume",
    "quiet",
    "device",
    "threads",
    "workers",
    "report",
    "loggers",
    "duplicates",
    "trust",
)


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    return configuration_parser("Train a classifier on noisy labels and write the results to a run folder.")


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Train, print the results and write the report."""
    check_values(options)
    options.output = _output(options)
    if options.resume:
        options = _with_chosen_network(parser, options)
    # All paths in config.yaml are absolute, so that the file can be used from any working directory.
    absolute = with_absolute_places(without(options, ("config", "resume", "trust")))
    config = parser.dump(absolute, skip_unset=False, skip_validation=True)  # parsed options are valid
    folder = RunFolder(options.output)
    # A run of an older version has no fingerprint of its data, and kept the paths as they were given.
    identified = options if folder.last.exists() and not folder.fingerprint.exists() else absolute
    identity = parser.dump(without(identified, PRESENTATION), skip_unset=False, skip_validation=True)
    experiment = Experiment(build_configuration(parser, options))

    def remember(config: str) -> None:
        remember_run(folder.path, config)

    if is_first():
        remember(config)
    try:
        summary = experiment.run(config, identity, data_places(options), remember)
        if not is_first():
            return 0
        leave()  # the other processes have finished
        _remember(folder)
    except Interrupted as stop:
        if is_first():
            _remember(folder)
        file = shlex.quote(str(experiment.folder.config))
        message = f"stopped and saved; resume with: vri-pyro fit --config {file} --resume true"
        raise Interrupted(message, stop.number) from None
    # The results are printed first, since the report takes seconds.
    if not options.quiet:
        _show(summary, experiment.folder.path)
    if options.report:
        console = SafeConsole(quiet=options.quiet)
        with console.status("writing the report"):  # visible only on a terminal
            there = leave_page(experiment.folder, experiment.trained, options.device)
        if there:
            page = experiment.folder.report.absolute()
            console.print(f"report: {page}", soft_wrap=True)
    return 0


def _remember(folder: RunFolder) -> None:
    """Remember the run as it is now: resuming writes new places of the data to its ``config.yaml``."""
    remember_run(folder.path, folder.config.read_text(encoding="utf-8"))


def _with_chosen_network(parser: ArgumentParser, options: Namespace) -> Namespace:
    """Return the options of a run that is resumed, with the network that was chosen from the data when it began."""
    folder = RunFolder(options.output)
    free = options.choose_network and options.backbone is None and options.weight_decay is None
    if not (free and folder.last.exists()):
        return options
    saved = {name: value for name, value in read_options(folder).items() if name in CHOSEN}
    if saved.get("choose_network") is False:
        parsed = parser.parse_object(saved)
        for name in CHOSEN:
            options[name] = parsed[name]
    return options


def _output(options: Namespace) -> Path:
    """Return the folder of the run.

    A run is resumed in the folder of its ``config.yaml``, also if the folder was moved or renamed, unless another
    output is given.
    """
    if options.resume:
        for file in reversed([Path(str(given)) for given in options.config or []]):
            place = RunFolder(file.absolute().parent)
            written = place.read_config().get("output") if file.name == place.config.name else None
            if place.last.exists() and written == str(options.output):
                return place.path
    return Path(options.output)


def leave_page(folder: RunFolder, trained: Run | None, device: Literal["auto", "cpu", "cuda"]) -> bool:
    """Write the report on a finished run, unless an up-to-date report exists; warn if it cannot be written.

    Returns:
        whether the run folder contains a report.
    """
    if folder.report.exists() and folder.report.stat().st_mtime >= folder.summary.stat().st_mtime:
        return True
    # Lazy, because these imports take seconds.
    from vri_pyro.report import SeenRun, record, write_page

    try:
        seen = SeenRun(trained or Run(folder.path, device=device))
        record(seen)
        write_page([seen], folder.report)
    except Exception as error:
        again = f"vri-pyro report {shlex.quote(str(folder.path))}"
        why = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        warnings.warn(f"the run is complete but its report was not written: {why}; retry with: {again}", stacklevel=2)
    return folder.report.exists()


def _show(summary: dict[str, Any], folder: Path) -> None:
    results, split = summary["results"], summary["split"]
    console = SafeConsole()
    if results["measured_on"] is None:
        console.print("accuracy: not measured, since there is neither a test set nor a validation set")
    else:
        table = Table("epoch", Column(f"{results['measured_on']} accuracy (%)", justify="right"))
        table.add_row("last", f"{results['last']:.2f}")
        table.add_row("mean of the last ten", f"{results['last_10']:.2f}")
        if results["chosen"] is not None:
            table.add_row(f"{results['chosen_epoch'] + 1}, best on the validation set", f"{results['chosen']:.2f}")
        console.print(table)
    rate = split["realised_rate"]
    noise = "an unknown share" if math.isnan(rate) else f"{rate:.1%}"
    console.print(f"{split['noisy']} noisy labels, {noise} of them wrong; {split['clean']} clean labels")
    if "checked" in split:
        console.print(f"{split['checked']} labels were checked, {split['checked_wrong']} of them were wrong")
    console.print(f"run folder: {folder.absolute()}", soft_wrap=True)
