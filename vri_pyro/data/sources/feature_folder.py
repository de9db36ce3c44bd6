"""Features that ``vri-pyro embed`` has written to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.feature_files import FeatureFiles
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import warn_of_no_trusted_labels
from vri_pyro.utils.errors import UserError


@dataclass(frozen=True)
class FeatureFolder(Source):
    """Features of a pretrained network in a folder that vri-pyro embed has written, read from disk in place.

    Labels, class names, test set, trusted and validation examples are those of the data that the features were
    extracted from. The features may exceed the memory: batches read their rows only.

    Attributes:
        path: the folder.
    """

    path: str | Path

    def load(self) -> Arrays:
        """Open the features, without reading them, and read the labels.

        Raises:
            UserError: a file is missing or damaged, or the extraction was interrupted.
        """
        files = FeatureFiles(self.path)
        description = files.read_description()
        labels: dict[str, Any] = {"y_test": None} | files.read_labels()
        classes = tuple(labels.pop("classes").tolist())
        x_train = files.read("train", description)
        x_test = files.read("test", description) if description.test else None
        try:
            arrays = Arrays(
                x_train=x_train,
                x_test=x_test,
                classes=classes,
                open_set=description.open_set,
                verified=description.verified,
                **labels,
            )
        except UserError as error:
            raise UserError(f"In {files.labels}: {error}") from error
        if not arrays.truth_known:
            warn_of_no_trusted_labels(f"{self.path}", "mark trusted examples in the data before embedding them")
        return arrays
