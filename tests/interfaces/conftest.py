"""Tested as the engine is: in double precision, with Pyro's validation on."""

from infer.conftest import _double_precision, _validation  # noqa: F401
