"""Images in files, and in data sets of other libraries, read one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.errors import UserError

# What Pillow raises, by format and kind of damage.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)


class ImageFiles(Streamed):
    """Image files, as RGB squares: scaled until the shorter side fits, the middle of the longer side kept.

    Args:
        root: the folder that the paths start from.
        paths: of the files.
        size: side of the square in pixels.
    """

    def __init__(self, root: Path | str, paths: Sequence[str], size: int) -> None:
        super().__init__(len(paths), _square(size))
        self._root = str(root)
        # Bytes of one length, because a worker gets a copy and a million Python strings are slow to copy.
        self._paths = np.array([os.fsencode(path) for path in paths])

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        name = self.name(index)
        try:
            with Image.open(name) as image:
                return _fitted(ImageOps.exif_transpose(image), self.shape[1])
        except FileNotFoundError as error:
            raise UserError(f"There is no image {name}; put it there or take it off the list.") from error
        except _UNREADABLE as error:
            raise UserError(f"{name} is damaged or no image ({error}); replace it or take it off the list.") from error

    def name(self, index: int) -> str:
        """The file's path."""
        return os.path.join(self._root, self.listed(index))

    def listed(self, index: int) -> str:
        """The file's path as it was given, from the root."""
        return os.fsdecode(self._paths[index])


class DatasetImages(Streamed):
    """The images of a map-style data set, PyTorch's or Hugging Face's, as RGB squares.

    Args:
        dataset: its items are pairs (image, label), or dicts. An image is a PIL image, an array [H, W] or [H, W, C], or
            a tensor [C, H, W], of 8 bits.
        size: side of the square in pixels.
        key: of the image in an item: its place in a pair, its name in a dict.
    """

    def __init__(self, dataset: Any, size: int, key: int | str = 0) -> None:
        super().__init__(len(dataset), _square(size))
        self._dataset, self._key = dataset, key

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        try:
            image = self._dataset[index][self._key]
        except _UNREADABLE as error:
            raise UserError(f"{self.name(index)} cannot be read ({error}); mend the data set.") from error
        return _fitted(_as_pil(image, self.name(index)), self.shape[1])

    def name(self, index: int) -> str:
        """The data set's class and the item's number."""
        return f"{type(self._dataset).__name__}[{index}]"


class Joined(Streamed):
    """Several sets of streamed images, one after the other.

    Args:
        parts: at least one; their images have the same shape.
    """

    def __init__(self, parts: Sequence[Streamed]) -> None:
        super().__init__(sum(map(len, parts)), parts[0].shape[1:])
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        part, position = self._place(index)
        return part.read(position)

    def name(self, index: int) -> str:
        """Its name in its own set."""
        part, position = self._place(index)
        return part.name(position)

    def listed(self, index: int) -> str:
        """As in its own set."""
        part, position = self._place(index)
        return part.listed(position)

    def _place(self, index: int) -> tuple[Streamed, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        part = self._parts[number]
        return part, index - int(self._ends[number]) + len(part)


def damaged(images: Streamed) -> list[tuple[int, str]]:
    """Read every image, and return the positions of those that cannot be read, with what is wrong with them."""
    found = []
    for index in range(len(images)):
        try:
            images.read(index)
        except UserError as error:
            found.append((index, str(error)))
    return found


def _square(size: int) -> tuple[int, int, int]:
    if size < 1:
        raise UserError(f"The images' size is {size}; give at least 1 pixel.")
    return size, size, 3


def _fitted(image: Image.Image, size: int) -> np.ndarray:
    if image.mode == "P":  # a palette's transparency is only understood on the way to RGBA
        image = image.convert("RGBA")
    return np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR))


def _as_pil(image: Any, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    values = image.permute(1, 2, 0).numpy() if isinstance(image, torch.Tensor) and image.dim() == 3 else image
    values = np.asarray(values)
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise UserError(
            f"{name} is {values.dtype} of shape {list(values.shape)}; give a PIL image, or 8-bit numbers [H, W], "
            "[H, W, C] or, as a tensor, [C, H, W], without transforms."
        )
    return Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
