"""Fixtures for tiny runs on the digits, shared with the tests of training."""

from training.conftest import experiment, folder, run  # noqa: F401
