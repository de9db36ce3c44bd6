"""Run or resume an experiment and write the results to the run folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyro
import torch
import yaml

from vri_pyro.backbones.pretrained_weights import without_pretrained_weights
from vri_pyro.data import Split, mean_and_std
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.outliers import warn_of_outliers
from vri_pyro.data.statistics import sample_of
from vri_pyro.runs.building import build_trainer, load_data
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.leaks import handle_duplicates
from vri_pyro.runs.network_choice import choose_network, chooses
from vri_pyro.runs.restoring import UNCHECKED, RunInputs, restore_data
from vri_pyro.runs.results import NOT_MEASURED, results
from vri_pyro.runs.run import Run
from vri_pyro.training.checkpoint import load_checkpoint, restoring
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.device import set_speed
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.one_at_a_time import one_at_a_time
from vri_pyro.utils.paths import without_folders
from vri_pyro.utils.processes import from_first, in_turn, is_first, share
from vri_pyro.utils.progress import ProgressDisplay
from vri_pyro.utils.provenance import provenance


class Experiment:
    """Runs an experiment from its configuration.

    Args:
        configuration: configuration of the experiment.

    Attributes:
        folder: the run folder.
        trained: the run that :meth:`run` trained; None before :meth:`run`, or if the run was already complete.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.folder = RunFolder(configuration.output)
        self.trained: Run | None = None

    @one_at_a_time
    def run(
        self,
        config: str,
        identity: str,
        data_places: Collection[str] = (),
        remember: Callable[[str], None] = lambda config: None,
    ) -> dict[str, Any]:
        """Train or resume the run, and write its summary to the run folder.

        Args:
            config: configuration as text, written to ``config.yaml``.
            identity: the part of the configuration that determines the results, as text. Resuming a checkpoint with
                another identity is an error.
            data_places: options in ``identity`` that say where the data are. They may change when a run with a
                fingerprint of its data is resumed.
            remember: called with the content of ``config.yaml`` before a new run writes it. If the network was chosen
                from the data, it has the chosen network.

        Returns:
            the summary, as in ``summary.json``.

        Raises:
            UserError: an input is invalid, the data have changed since the run began, or another process writes to the
                folder; files of an earlier run are intact.
            Interrupted: Ctrl-C or SIGTERM stopped the run; the state has been saved.
        """
        # Several processes train together; only the first one writes to the folder.
        with self.folder.locked() if is_first() else nullcontext():
            return self._run(config, identity, data_places, remember)

    def _run(
        self, config: str, identity: str, data_places: Collection[str], remember: Callable[[str], None]
    ) -> dict[str, Any]:
        configuration = self.configuration
        if configuration.threads:
            torch.set_num_threads(configuration.threads)
        set_speed(tf32=configuration.precision == "tf32", cudnn_benchmark=configuration.cudnn_benchmark)
        torch.manual_seed(configuration.seed)
        self.folder.check(configuration.resume)
        may_differ = data_places if self.folder.fingerprint.exists() else ()
        resumed = load_checkpoint(self.folder.last, identity, may_differ) if self.folder.last.exists() else None
        console = SafeConsole(quiet=configuration.quiet or not is_first(), soft_wrap=True)
        new = resumed is None
        _check_same_folder(new)
        arrays, split, standardisation, fingerprint = self._new_data(console) if new else self._resumed_data(config)
        choice = None
        if new and chooses(configuration, arrays, split):
            with console.status("choosing the network"), pyro.validation_enabled(False):
                choice = choose_network(configuration, arrays, split, standardisation)
            console.print(choice.described())
            configuration = choice.chosen.set_in(configuration)
            config, identity = (_with_options(text, choice.chosen.options) for text in (config, identity))
            torch.manual_seed(configuration.seed)  # as in a run with this network from the beginning
        folder = self.folder if is_first() else None
        with nullcontext() if new else without_pretrained_weights():
            trainer = build_trainer(configuration, folder, arrays, split, standardisation, identity)
        if resumed is not None:
            if fingerprint is None:
                console.print(UNCHECKED)
            with restoring(self.folder.last):
                trainer.load_state_dict(resumed)
            self.folder.read_inputs()  # raises if it is missing or damaged
        elif is_first():
            if configuration.resume:
                console.print(f"nothing to resume in {self.folder.path}; starting a new run")
            remember(config)
            self.folder.make()
            self.folder.write_config(config)
            if choice is not None:
                self.folder.write_network_choice(choice.table())
            split.save(self.folder.split)
            if fingerprint is not None:
                fingerprint.save(self.folder.fingerprint)
            train = trainer.data.train
            self.folder.write_inputs(arrays.input_shape, arrays.x_train.dtype, arrays.classes, train.mean, train.std)
        if trainer.finished and self.folder.summary.exists():
            return self.folder.read_summary()
        with pyro.validation_enabled(False):  # slow; synchronises with the device at every site
            rows = trainer.run(lambda epochs, steps: ProgressDisplay(epochs, steps, console), configuration.loggers)
        summary: dict[str, Any] = {
            "results": results(rows, trainer.preparatory) if trainer.measured else NOT_MEASURED,
            "split": split.summary(),
            "noise": without_folders(split.noise),
            "skipped": trainer.skipped,
            "structural_zeros": trainer.structural_zeros,
            "made_by": provenance(trainer.data.train.device),
        }
        if not is_first():
            return summary
        self.folder.write_summary(summary)
        self.trained = Run.of_trainer(trainer, split, arrays.classes)
        return summary

    def _new_data(self, console: SafeConsole) -> RunInputs:
        """Load and split the data of a new run, and look for duplicates."""
        with in_turn():
            arrays, split = load_data(self.configuration)

        def prepared() -> tuple[Split, tuple[np.ndarray, np.ndarray], Fingerprint]:
            sample = sample_of(arrays.x_train)
            fingerprint = Fingerprint.of(arrays, sample)
            own, told = handle_duplicates(arrays, split, self.configuration.duplicates, fingerprint)
            for line in told:
                console.print(line)
            scale = mean_and_std(sample)
            warn_of_outliers("x_train", sample, std=scale[1])
            return own, scale, fingerprint

        return RunInputs(arrays, *from_first(prepared))

    def _resumed_data(self, config: str) -> RunInputs:
        """Load the data of a run that is resumed; ``config.yaml`` keeps their new place if they have moved."""
        with in_turn():
            inputs = restore_data(self.configuration, self.folder)
        if inputs.fingerprint is not None and is_first():
            self.folder.write_new_places(config)
        return inputs


def _with_options(config: str, options: dict[str, Any]) -> str:
    return yaml.safe_dump(yaml.safe_load(config) | options, sort_keys=False)


def _check_same_folder(new: bool) -> None:
    """Raise if the first process sees a checkpoint in the run folder and this one does not, or the reverse."""
    if from_first(lambda: new) != new:
        raise UserError(
            f"process {share().rank} does not see the same run folder as the first process; put --output on a file "
            "system that all machines share"
        )
