"""Data sources, label noise, augmentation, train splits, and batches on the device."""

from vri_pyro.data import augmentation, noise, sources
from vri_pyro.data.arrays import Arrays
from vri_pyro.data.augmentation import *  # noqa: F403 - the folder registers its classes
from vri_pyro.data.batch_order import batch_indices
from vri_pyro.data.batch_plan import BatchPlan
from vri_pyro.data.examples import BatchSequence, Examples
from vri_pyro.data.image_files import DatasetImages, ImageFiles, Joined, damaged
from vri_pyro.data.loading import StreamedData, read_batches
from vri_pyro.data.noise import *  # noqa: F403 - the folder registers its classes
from vri_pyro.data.randomness import beta, categorical, generator_for, permutation
from vri_pyro.data.resident import DeviceData
from vri_pyro.data.sources import *  # noqa: F403 - the folder registers its classes
from vri_pyro.data.split import Split
from vri_pyro.data.splitting import default_noise, inject, make_split
from vri_pyro.data.statistics import mean_and_std, standardise
from vri_pyro.data.stored import StoredVectors
from vri_pyro.data.stored_data import StoredData
from vri_pyro.data.streamed import Inputs, Streamed, part_of
from vri_pyro.data.verified import VerifiedPairs, verified_of_answers

# New augmentations, noises and sources are registered in the `__init__` of their own folders.
__all__ = [
    *augmentation.__all__,
    *noise.__all__,
    *sources.__all__,
    "Arrays",
    "BatchPlan",
    "BatchSequence",
    "DatasetImages",
    "DeviceData",
    "Examples",
    "ImageFiles",
    "Inputs",
    "Joined",
    "Split",
    "StoredData",
    "StoredVectors",
    "Streamed",
    "StreamedData",
    "VerifiedPairs",
    "batch_indices",
    "beta",
    "categorical",
    "damaged",
    "default_noise",
    "generator_for",
    "inject",
    "make_split",
    "mean_and_std",
    "part_of",
    "permutation",
    "read_batches",
    "standardise",
    "verified_of_answers",
]
