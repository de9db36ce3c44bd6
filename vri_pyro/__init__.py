"""Variational rectification inference: learning with noisy labels, in Pyro."""

__version__ = "0.1.0"
