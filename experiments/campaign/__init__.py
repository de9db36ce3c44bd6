"""Sections of the reliability campaign; :mod:`reliability` runs them."""
