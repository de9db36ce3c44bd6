"""Images that stay where they are and are read when they are needed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from vri_pyro.utils.errors import UserError


class Streamed(ABC):
    """A set of images too large for memory; stands where an array of images [N, H, W, C] would.

    Indexing with a slice or an array of positions reads those images into memory, and nothing else does. Subclasses
    must be picklable, since the loader's worker processes get a copy, and reading must not change them.

    Args:
        count: number of images N.
        image_shape: (H, W, C), the shape that every image is brought to.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, count: int, image_shape: tuple[int, int, int]) -> None:
        if count < 1:
            raise UserError("There are no images; give at least one.")
        self.shape = (count, *image_shape)

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """One image, uint8 [H, W, C].

        Raises:
            UserError: the image is missing or damaged; the message names it.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """What a person would look an image up by, such as its path."""

    def listed(self, index: int) -> str:
        """What the list that an image is on calls it, such as its path from the folder of the data."""
        return self.name(index)

    def __len__(self) -> int:
        """The number of images."""
        return self.shape[0]

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """Read some images: uint8 [n, H, W, C]."""
        indices = range(*which.indices(len(self))) if isinstance(which, slice) else which.tolist()
        images = np.empty((len(indices), *self.shape[1:]), dtype=np.uint8)
        for position, index in enumerate(indices):
            images[position] = self.read(index)
        return images

    def part(self, indices: np.ndarray) -> Streamed:
        """The images at some positions, int64 [n], still unread."""
        return _Part(self, indices)


class _Part(Streamed):
    def __init__(self, whole: Streamed, indices: np.ndarray) -> None:
        super().__init__(len(indices), whole.shape[1:])
        self._whole, self._indices = whole, indices

    def read(self, index: int) -> np.ndarray:
        """One image; see :meth:`Streamed.read`."""
        return self._whole.read(int(self._indices[index]))

    def name(self, index: int) -> str:
        """Its name in the whole set."""
        return self._whole.name(int(self._indices[index]))

    def listed(self, index: int) -> str:
        """As in the whole set."""
        return self._whole.listed(int(self._indices[index]))


Inputs = np.ndarray | Streamed


def part_of(inputs: Inputs, indices: np.ndarray) -> Inputs:
    """Some of the inputs: copied where they are in memory, unread where they are streamed."""
    return inputs.part(indices) if isinstance(inputs, Streamed) else inputs[indices]
