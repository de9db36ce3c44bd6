"""The inference side: Pyro guides, amortised over examples."""

from vri_pyro.guides.diagonal_normal import DiagonalNormal
from vri_pyro.guides.no_latents import NoLatents

__all__ = ["DiagonalNormal", "NoLatents"]
