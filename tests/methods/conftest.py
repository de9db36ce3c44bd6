"""Use the fixtures of the engine's tests: double precision and Pyro's validation."""

from infer.conftest import _double_precision, _validation  # noqa: F401
