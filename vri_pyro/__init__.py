"""Variational rectification inference: learning with noisy labels, in Pyro."""

from vri_pyro.utils.deprecations import keep_old_modules_importable

__version__ = "0.1.0"

keep_old_modules_importable()
