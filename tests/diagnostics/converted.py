"""Calls of the converter by the arguments of a model, for the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vri_pyro.diagnostics import from_pyro_svi


def converted(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    dims: Mapping[str, Sequence[str]] | None = None,
    constant_data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Draws with the dimensions chain and draw.

    Args:
        model, guide: the pair.
        args: arguments of both.
        dims: event dimensions of sites, and dimensions of constant data.
        constant_data, options: options of the converter.
    """
    return from_pyro_svi(
        (model, guide),
        model_args=args,
        constant_data=constant_data,
        dims={name: found for name, found in (dims or {}).items() if name in (constant_data or {})},
        extra_event_dims={name: found for name, found in (dims or {}).items() if name not in (constant_data or {})},
        sample_dims=["chain", "draw"],
        **options,
    )
