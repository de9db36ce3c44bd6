"""Load the data of an existing run, and check that they are the data it was trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vri_pyro.data import Arrays, Split, mean_and_std
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.statistics import sample_of
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.places import missing_place
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError

#: Said where a run of an older version is continued.
UNCHECKED = (
    "this run began with an older version and has no fingerprint of its data: changes of its inputs go unnoticed"
)


class RunInputs(NamedTuple):
    """The data of a run.

    Attributes:
        arrays, split: the data and their split.
        standardisation: mean and standard deviation of the training inputs, [channels or features] each.
        fingerprint: fingerprint of the data; None for a run of an older version, which has none.
    """

    arrays: Arrays
    split: Split
    standardisation: tuple[np.ndarray, np.ndarray]
    fingerprint: Fingerprint | None


def restore_data(configuration: Configuration, folder: RunFolder) -> RunInputs:
    """Load the data of an existing run.

    A run of an older version has no fingerprint of its data; only its split is compared with them.

    Args:
        configuration: configuration of the run.
        folder: its run folder.

    Raises:
        UserError: the data are missing, or differ from those that the run was trained on; the message says how.
    """
    try:
        arrays = configuration.data.load()
    except UserError as error:
        if missing_place(configuration.data) is None:
            raise
        raise UserError(f"{str(error).rstrip('.')}; if the data have moved, say where with --data.path") from error
    sample, fingerprint = sample_of(arrays.x_train), None
    if folder.fingerprint.exists():
        fingerprint = Fingerprint.of(arrays, sample)
        if told := Fingerprint.load(folder.fingerprint).differences(fingerprint, arrays):
            raise UserError(
                f"the data have changed since the run {folder.path} began: {'; '.join(told)}; restore the data, or "
                "train a new run with them"
            )
    split = Split.load(folder.split)
    try:
        return RunInputs(arrays, split.of(arrays), mean_and_std(sample), fingerprint)
    except UserError as error:
        raise UserError(f"In {folder.split}: {error}") from error
