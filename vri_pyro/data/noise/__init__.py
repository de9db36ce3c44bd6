"""Label noise, one recipe a file."""

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.data.noise.flip import Flip
from vri_pyro.data.noise.no_noise import NoNoise
from vri_pyro.data.noise.uniform import UniformExclusive, UniformInclusive

__all__ = [
    "ClassConditionalNoise",
    "Flip",
    "LabelNoise",
    "NoNoise",
    "NoisyLabels",
    "UniformExclusive",
    "UniformInclusive",
    "check_rate",
]
