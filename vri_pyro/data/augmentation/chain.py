"""Augmentations in sequence, and the usual weak and strong augmentations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vri_pyro.data.augmentation.base import Augmentation, NoAugmentation
from vri_pyro.data.augmentation.cutout import Cutout
from vri_pyro.data.augmentation.horizontal_flip import HorizontalFlip
from vri_pyro.data.augmentation.pad_crop import PadCrop
from vri_pyro.data.augmentation.rand_augment import RandAugment
from vri_pyro.utils.errors import UserError, UserTypeError, described
from vri_pyro.utils.numbers import is_integer


@dataclass(frozen=True)
class Chain(Augmentation):
    """Several augmentations, applied in order.

    Attributes:
        steps: the augmentations, any number of them.
    """

    steps: tuple[Augmentation, ...]

    def __post_init__(self) -> None:
        """Check the steps."""
        steps = self.steps if isinstance(self.steps, tuple | list) else [self.steps]
        if wrong := [step for step in steps if not isinstance(step, Augmentation)]:
            raise UserTypeError(
                f"Chain got {described(wrong[0])}; expected a tuple of augmentations, such as (HorizontalFlip(),)."
            )

    @property
    def mixes(self) -> bool:  # type: ignore[override]
        """See :class:`Augmentation`; whether a step mixes."""
        return any(step.mixes for step in self.steps)

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`."""
        for step in self.steps:
            images = step(images, generator)
        return images

    def evaluation(self) -> Augmentation:
        """Return the chain of the steps' transforms for evaluation."""
        steps = tuple(step.evaluation() for step in self.steps)
        kept = tuple(step for step in steps if not isinstance(step, NoAugmentation))
        return Chain(kept) if kept else NoAugmentation()


@dataclass(frozen=True)
class Weak(Augmentation):
    """Pad-crop and horizontal flip, the paper's augmentation of the clean set.

    Attributes:
        padding: padding of the pad-crop, in pixels.
        flip: whether to flip images horizontally; set it to false for digits and letters.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        """Check the padding."""
        PadCrop(self.padding)

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`."""
        images = PadCrop(self.padding)(images, generator)
        return HorizontalFlip()(images, generator) if self.flip else images


@dataclass(frozen=True)
class Strong(Augmentation):
    """Pad-crop, horizontal flip and RandAugment, the paper's augmentation of noisy data (§4).

    The defaults are the paper's RandAugment settings, n = 2 and m = 10.

    Attributes:
        padding: padding of the pad-crop, in pixels.
        flip: whether to flip images horizontally; set it to false for digits and letters.
        num_ops: RandAugment's n, the number of operations per image.
        magnitude: RandAugment's m, from 0 to 30.
        cutout: side of the square masked by a final Cutout, in pixels; 0 for no Cutout, as in the paper.
    """

    padding: int = 4
    flip: bool = True
    num_ops: int = 2
    magnitude: int = 10
    cutout: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        Weak(self.padding, self.flip)
        RandAugment(self.num_ops, self.magnitude)
        if not is_integer(self.cutout) or self.cutout < 0:
            raise UserError(f"Strong got cutout {self.cutout!r}; expected the side of the square, or 0 for no Cutout.")

    def __call__(self, images: Tensor, generator: np.random.Generator) -> Tensor:
        """See :class:`Augmentation`."""
        images = Weak(self.padding, self.flip)(images, generator)
        images = RandAugment(self.num_ops, self.magnitude)(images, generator)
        return Cutout(self.cutout)(images, generator) if self.cutout else images
