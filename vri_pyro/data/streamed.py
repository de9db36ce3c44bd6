"""Streamed images, which stay on disk and are read on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from vri_pyro.data.stored import StoredVectors
from vri_pyro.utils.errors import UserError


class Streamed(ABC):
    """Base class of image sets too large for memory, used in place of an array of images [N, H, W, C].

    Only :meth:`read` and indexing with a slice or an array of positions read images into memory. Subclasses must be
    picklable, since every worker process of the loader gets a copy, and :meth:`read` must not change their state.

    Args:
        count: number of images N.
        image_shape: (H, W, C), the common shape of all images after reading.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, image_shape: tuple[int, int, int]) -> None:
        if count < 1:
            raise UserError("There are no images; expected at least one.")
        self.shape = (count, *image_shape)

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Read one image, uint8 [H, W, C].

        Raises:
            UserError: the image is missing or damaged; the message names it.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """Return a name that identifies an image to the user, such as its full path."""

    def listed(self, index: int) -> str:
        """Return the name of an image in its list, such as its path relative to the data folder."""
        return self.name(index)

    def file(self, index: int) -> str | None:
        """Return the path of the file of an image; None if the image has no file of its own."""
        return None

    def __len__(self) -> int:
        """The number of images."""
        return self.shape[0]

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """Read the images at a slice or an array of positions, uint8 [n, H, W, C]."""
        indices = range(*which.indices(len(self))) if isinstance(which, slice) else which.tolist()
        images = np.empty((len(indices), *self.shape[1:]), dtype=np.uint8)
        for position, index in enumerate(indices):
            images[position] = self.read(index)
        return images

    def part(self, indices: np.ndarray) -> Streamed:
        """Return the images at the given positions, int64 [n], as a streamed set; no image is read."""
        return _Part(self, indices)


class _Part(Streamed):
    def __init__(self, whole: Streamed, indices: np.ndarray) -> None:
        super().__init__(len(indices), whole.shape[1:])
        self._whole, self._indices = whole, indices

    def read(self, index: int) -> np.ndarray:
        """See :meth:`Streamed.read`."""
        return self._whole.read(int(self._indices[index]))

    def name(self, index: int) -> str:
        """Return the name of an image in the whole set."""
        return self._whole.name(int(self._indices[index]))

    def listed(self, index: int) -> str:
        """Return the listed name of an image in the whole set."""
        return self._whole.listed(int(self._indices[index]))

    def file(self, index: int) -> str | None:
        """Return the path of the file of an image in the whole set."""
        return self._whole.file(int(self._indices[index]))


Inputs = np.ndarray | Streamed | StoredVectors


def part_of(inputs: Inputs, indices: np.ndarray) -> Inputs:
    """Select the inputs at the given positions: a copy of inputs in memory, or a set on disk of inputs on disk."""
    return inputs[indices] if isinstance(inputs, np.ndarray) else inputs.part(indices)
