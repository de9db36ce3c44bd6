"""Variational rectification inference: learning with noisy labels, in Pyro."""

import pyro

# Parameters live in the modules that own them, not in Pyro's global store: with explicit, functional
# parameters a global store would hand out stale tensors. This must be set before any module is built.
pyro.settings.set(module_local_params=True)

__version__ = "0.1.0"
