"""Conversion of a Pyro model and guide to ArviZ.

The modules of this package import nothing else of ``vri_pyro``, so that they can be used without it.
"""

from vri_pyro.diagnostics.conversion.converter import from_pyro_svi
from vri_pyro.diagnostics.conversion.errors import ConversionError
from vri_pyro.diagnostics.conversion.variables import GROUPS

__all__ = ["GROUPS", "ConversionError", "from_pyro_svi"]
