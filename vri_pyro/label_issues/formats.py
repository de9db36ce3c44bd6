"""The file formats of label issues."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vri_pyro.label_issues.fiftyone import write_fiftyone
from vri_pyro.label_issues.label_studio import write_label_studio
from vri_pyro.label_issues.table import write_table


class Format(NamedTuple):
    """A file format of label issues.

    Attributes:
        name: name of the file in the run folder.
        write: writes the file; has the arguments of :func:`~vri_pyro.label_issues.write_table`.
        images_only: whether the examples must be images.
    """

    name: str
    write: Callable[..., None]
    images_only: bool = False


#: the formats by the names that ``vri-pyro issues --format`` takes
FORMATS = {
    "csv": Format("label_issues.csv", write_table),
    "label-studio": Format("label_issues_label_studio.json", write_label_studio),
    "fiftyone": Format("label_issues_fiftyone.csv", write_fiftyone, images_only=True),
}
