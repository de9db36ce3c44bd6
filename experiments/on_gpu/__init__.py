"""Sections of ``experiments/gpu_check.py``. A section is a generator of rows, each a dictionary of one result."""
