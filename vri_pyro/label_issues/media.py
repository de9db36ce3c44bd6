"""Files with the images of examples, for tools that show images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vri_pyro.data import Examples
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import replacing
from vri_pyro.utils.pictures import png


def folder_of(table: Path) -> Path:
    """Return the folder for the images of a table: NAME_images beside the table."""
    return table.with_name(f"{table.stem}_images")


def check_images(table: Path) -> None:
    """Raise if the folder for the images of a new table has files, which may be somebody else's.

    Raises:
        UserError: the table does not exist but the folder does, and is not empty.
    """
    folder = folder_of(table)
    if not table.exists() and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} already exists; choose another --output, or move the folder away")


def image_files(examples: Examples, indices: Sequence[int], folder: Path) -> Iterator[Path]:
    """Yield a file with the image of each example, in order.

    An example without a file of its own, such as one of an array, is written to ``folder``, as ``INDEX.png``.

    Args:
        examples: the training set, which has images.
        indices: positions of the examples.
        folder: folder for the written images.

    Raises:
        UserError: an image cannot be read or written.
    """
    for index in indices:
        if (file := examples.file(index)) is not None:
            yield Path(file)
            continue
        (batch,) = examples.in_order(np.array([index]), 1)
        with replacing(folder / f"{index}.png") as partial:
            partial.write_bytes(png(examples.original(batch.x)[0]))
        yield folder / f"{index}.png"
