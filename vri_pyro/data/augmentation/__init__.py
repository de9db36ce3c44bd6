"""Batched augmentation on the device, with separate random numbers for each image."""

from vri_pyro.data.augmentation.base import Augmentation, NoAugmentation
from vri_pyro.data.augmentation.chain import Chain, Strong, Weak
from vri_pyro.data.augmentation.cutout import Cutout
from vri_pyro.data.augmentation.horizontal_flip import HorizontalFlip
from vri_pyro.data.augmentation.mixup import Mixup
from vri_pyro.data.augmentation.pad_crop import PadCrop
from vri_pyro.data.augmentation.rand_augment import RandAugment
from vri_pyro.data.augmentation.random_crop import CentreCrop, RandomCrop
from vri_pyro.data.augmentation.transforms import Transforms

__all__ = [
    "Augmentation",
    "CentreCrop",
    "Chain",
    "Cutout",
    "HorizontalFlip",
    "Mixup",
    "NoAugmentation",
    "PadCrop",
    "RandAugment",
    "RandomCrop",
    "Strong",
    "Transforms",
    "Weak",
]
