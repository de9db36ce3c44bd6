"""Streamed images from files and from data sets of other libraries."""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_integer

# Pillow's exceptions for damaged files, which depend on the format and the damage.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)


#: suffixes of the image files that are read from folders
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
# Pillow's mode of an image by its number of channels.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}

_LARGEST_SIDE = 100_000  # pixels; one such image has 30 GB


class ImageFiles(Streamed):
    """Image files, read as RGB squares or in another shape.

    Images are scaled until they cover the given size; what exceeds it is cropped equally on both sides.

    Args:
        root: the folder to which the paths are relative.
        paths: paths of the files.
        size: side of the square, or height and width, in pixels.
        channels: 3 for RGB, 1 for grey, 4 for RGB with transparency.
    """

    def __init__(self, root: Path | str, paths: Sequence[str], size: int | tuple[int, int], channels: int = 3) -> None:
        if channels not in _MODES:
            raise UserError(f"The number of channels is {channels}; expected 1 (grey), 3 (RGB) or 4 (RGBA).")
        height, width = size if isinstance(size, tuple) else (size, size)
        super().__init__(len(paths), _image_shape(height, width, channels))
        self._root = str(root)
        # Every worker gets a copy. An array of fixed-length bytes is much faster to copy than a million strings.
        self._paths = np.array([os.fsencode(path) for path in paths])

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        name = self.name(index)
        try:
            with Image.open(name) as image:
                return _fitted(ImageOps.exif_transpose(image), self.shape[1:])
        except FileNotFoundError as error:
            raise UserError(f"The image {name} does not exist; restore it or remove it from the list.") from error
        except _UNREADABLE as error:
            raise UserError(
                f"{name} is damaged or not an image ({error}); replace it or remove it from the list."
            ) from error

    def name(self, index: int) -> str:
        """Return the path of a file."""
        return os.path.join(self._root, self.listed(index))

    def listed(self, index: int) -> str:
        """Return the path of a file relative to the root."""
        return os.fsdecode(self._paths[index])

    def file(self, index: int) -> str:
        """Return the path of a file."""
        return self.name(index)


class DatasetImages(Streamed):
    """The images of a PyTorch or Hugging Face map-style data set, read as RGB squares.

    Args:
        dataset: a data set with pairs (image, label) or dicts as items. An image is a PIL image, a uint8 array [H, W]
            or [H, W, C], or a uint8 tensor [C, H, W].
        size: side of the square in pixels.
        key: position of the image in a pair, or its key in a dict.
    """

    def __init__(self, dataset: Any, size: int, key: int | str = 0) -> None:
        super().__init__(len(dataset), _image_shape(size, size))
        self._dataset, self._key = dataset, key

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        try:
            image = self._dataset[index][self._key]
        except _UNREADABLE as error:
            raise UserError(f"{self.name(index)} cannot be read ({error}); repair the data set.") from error
        return _fitted(_as_pil(image, self.name(index)), self.shape[1:])

    def name(self, index: int) -> str:
        """Return the class name of the data set with the index of the item."""
        return f"{type(self._dataset).__name__}[{index}]"


class Joined(Streamed):
    """The concatenation of several sets of streamed images.

    Args:
        parts: at least one set; all images have the same shape.
    """

    def __init__(self, parts: Sequence[Streamed]) -> None:
        super().__init__(sum(map(len, parts)), parts[0].shape[1:])
        self._parts = list(parts)
        self._ends = list(itertools.accumulate(map(len, parts)))

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        part, position = self._place(index)
        return part.read(position)

    def name(self, index: int) -> str:
        """Return the name of an image in its own set."""
        part, position = self._place(index)
        return part.name(position)

    def listed(self, index: int) -> str:
        """Return the listed name of an image in its own set."""
        part, position = self._place(index)
        return part.listed(position)

    def file(self, index: int) -> str | None:
        """Return the path of the file of an image in its own set."""
        part, position = self._place(index)
        return part.file(position)

    def _place(self, index: int) -> tuple[Streamed, int]:
        number = bisect_right(self._ends, index)
        part = self._parts[number]
        return part, index - self._ends[number] + len(part)


def damaged(images: Streamed) -> list[tuple[int, str]]:
    """Read every image and return the position and the error message of each unreadable one."""
    found = []
    for index in range(len(images)):
        try:
            images.read(index)
        except UserError as error:
            found.append((index, str(error)))
    return found


def _image_shape(height: int, width: int, channels: int = 3) -> tuple[int, int, int]:
    for side in (height, width):
        if not is_integer(side) or not 1 <= side <= _LARGEST_SIDE:
            raise UserError(
                f"The image size is {side!r}; expected a number of pixels, at least 1 and at most {_LARGEST_SIDE}."
            )
    return height, width, channels


def _fitted(image: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    height, width, channels = shape
    if image.mode == "P":  # Pillow handles the transparency of a palette only when it converts to RGBA
        image = image.convert("RGBA")
    fitted = ImageOps.fit(image.convert(_MODES[channels]), (width, height), Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(shape)


def _as_pil(image: Any, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    values = image.permute(1, 2, 0).numpy() if isinstance(image, torch.Tensor) and image.dim() == 3 else image
    values = np.asarray(values)
    if values.dtype != np.uint8 or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise UserError(
            f"{name} has dtype {values.dtype} and shape {list(values.shape)}; expected a PIL image, a uint8 array "
            "[H, W] or [H, W, C], or a uint8 tensor [C, H, W]; remove the data set's transforms."
        )
    return Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
