"""The converter to ArviZ as part of this package: with its errors, and with the call of version 0.1."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from vri_pyro.diagnostics import conversion
from vri_pyro.diagnostics.conversion import ConversionError
from vri_pyro.utils.deprecations import warn
from vri_pyro.utils.errors import UserError

if TYPE_CHECKING:
    from xarray import DataTree

_OPTIONS = ("chunk_size", "groups", "coords", "constant_data", "data_plate")


@wraps(conversion.from_pyro_svi)
def from_pyro_svi(*args: Any, **kwargs: Any) -> DataTree:  # documented at the wrapped function
    if len(args) > 1 or not {"model", "guide"}.isdisjoint(kwargs):
        warn(
            "from_pyro_svi(model, guide, *args, num_draws=..., dims=...)",
            "from_pyro_svi((model, guide), model_args=args, num_samples=..., extra_event_dims=...)",
        )
        args, kwargs = _current_call(*args, **kwargs)
    try:
        return conversion.from_pyro_svi(*args, **kwargs)
    except ConversionError as error:
        raise UserError(str(error)) from error


def _current_call(
    model: Any,
    guide: Any,
    *args: Any,
    num_draws: int = 1000,
    dims: dict[str, Any] | None = None,
    **kwargs: Any,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the call in version 0.1 as current ones."""
    options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
    constants = options.get("constant_data") or {}
    named = {True: {}, False: {}}  # type: dict[bool, dict[str, Any]]
    for name, dimensions in (dims or {}).items():
        named[name in constants][name] = dimensions
    current = {
        "model_args": args,
        "model_kwargs": kwargs,
        "num_samples": num_draws,
        "dims": named[True],
        "extra_event_dims": named[False],
        "sample_dims": ["chain", "draw"],
    }
    return ((model, guide),), options | current
