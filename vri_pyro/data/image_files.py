"""Streamed images from files and from data sets of other libraries."""

from __future__ import annotations

import itertools
import os
from bisect import bisect_right
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vri_pyro.data.decoding import UNREADABLE, opened
from vri_pyro.data.pixels import check_bits, check_channels, eight_bits, fitted
from vri_pyro.data.streamed import Streamed
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_integer

_LARGEST_SIDE = 100_000  # pixels; one such image has 30 GB


class ImageFiles(Streamed):
    """Image files, read as RGB squares or in another shape.

    Images are scaled until they cover the given size; what exceeds it is cropped equally on both sides. Images of every
    mode and depth are converted to 8 bits per channel, as :ref:`Images of other kinds <kinds-of-images>` says.

    Args:
        root: the folder to which the paths are relative.
        paths: paths of the files.
        size: side of the square, or height and width, in pixels.
        channels: 3 for RGB, 1 for grey, 4 for RGB with transparency.
        bits: number of bits per channel of images with more than 8, from 8 to 16; None for 16, where images that may
            have fewer bits are refused.
    """

    def __init__(
        self,
        root: Path | str,
        paths: Sequence[str],
        size: int | tuple[int, int],
        channels: int = 3,
        bits: int | None = None,
    ) -> None:
        check_channels(channels)
        check_bits(bits)
        height, width = size if isinstance(size, tuple) else (size, size)
        super().__init__(len(paths), _image_shape(height, width, channels))
        self._root, self._bits = str(root), bits
        # Every worker gets a copy. An array of fixed-length bytes is much faster to copy than a million strings.
        self._paths = np.array([os.fsencode(path) for path in paths])

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        name = self.name(index)
        with opened(name, name) as image:
            return fitted(image, self.shape[1:], name, self._bits)

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
        dataset: a data set with pairs (image, label) or dicts as items. An image is a PIL image, an array [H, W] or
            [H, W, C], a tensor [H, W] or [C, H, W], or a dict with the encoded image as ``bytes``. Arrays and tensors
            have dtype uint8, another integer dtype, bool, or floats from 0 to 1.
        size: side of the square in pixels.
        key: position of the image in a pair, or its key in a dict.
        bits: see :class:`ImageFiles`; it also holds for integer arrays and tensors that are not uint8.
    """

    def __init__(self, dataset: Any, size: int, key: int | str = 0, bits: int | None = None) -> None:
        check_bits(bits)
        super().__init__(len(dataset), _image_shape(size, size))
        self._dataset, self._key, self._bits = dataset, key, bits

    def read(self, index: int) -> np.ndarray:
        """See :class:`Streamed`."""
        name, shape = self.name(index), self.shape[1:]
        try:
            image = self._dataset[index][self._key]
            if isinstance(image, Image.Image):
                return fitted(image, shape, name, self._bits)
        except UserError:
            raise
        except UNREADABLE as error:
            raise UserError(f"{name} cannot be read ({error}); repair the data set.") from error
        if isinstance(image, dict):
            with opened(BytesIO(_encoded(image, name)), name) as decoded:
                return fitted(decoded, shape, name, self._bits)
        return fitted(_of_array(image, name, self._bits), shape, name)

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


def _encoded(image: dict[str, Any], name: str) -> bytes:
    """Return the encoded image of a dict, as a Hugging Face data set has it with ``decode=False``."""
    contents = image.get("bytes")
    if not isinstance(contents, bytes):
        raise UserError(
            f"{name} is the path {image.get('path')} without the image itself; save the data set again with "
            "save_to_disk, which stores the images."
        )
    return contents


def _of_array(image: Any, name: str, bits: int | None) -> Image.Image:
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = image.float() if image.dtype == torch.bfloat16 else image  # which NumPy lacks
        image = image.permute(1, 2, 0) if image.dim() == 3 else image
    values = np.asarray(image)
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3) or values.shape[2:] not in ((), (1,), (3,), (4,)):
        raise UserError(
            f"{name} has dtype {values.dtype} and shape {list(values.shape)}; expected a PIL image, an array [H, W] or "
            "[H, W, C], or a tensor [C, H, W]; remove the data set's transforms."
        )
    if values.size == 0:
        raise UserError(f"{name} has no pixels, shape {list(values.shape)}; remove it from the data set.")
    pixels = np.ascontiguousarray(eight_bits(values, name, bits))
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
