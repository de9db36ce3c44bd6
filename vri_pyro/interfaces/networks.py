"""Small networks used by priors and guides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor, nn

from vri_pyro.utils.errors import UserError, UserTypeError, described
from vri_pyro.utils.numbers import check_integer, is_integer


class DiagonalNormalNetwork(nn.Module):
    """Multilayer perceptron that outputs a diagonal normal: input → hidden layers → (μ, log σ²) (paper, §3).

    Args:
        in_dim: width of the input.
        event_dim: K, dimension of the normal.
        hidden: widths of the hidden layers; 1024 and 512 in the paper.
        log_variance_bounds: interval (low, high) into which log σ² is squashed smoothly; None for no bounds.
        activation: constructor of the activation after each hidden layer; tanh in the paper.

    Raises:
        UserError: the interval is empty.
    """

    def __init__(
        self,
        in_dim: int,
        event_dim: int,
        hidden: Sequence[int] = (1024, 512),
        log_variance_bounds: tuple[float, float] | None = None,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        check_bounds(log_variance_bounds)
        check_integer("num_classes", event_dim, 1)
        self.body, width = hidden_layers(in_dim, hidden, activation)
        self.location = nn.Linear(width, event_dim)
        self.log_variance = nn.Linear(width, event_dim)
        self.log_variance_bounds = log_variance_bounds

    def forward(self, x: Tensor) -> dist.Distribution:
        """Map ``x`` [batch, in_dim] to a normal with batch shape [batch] and event shape [K]."""
        return self.head(self.body(x))

    def head(self, h: Tensor) -> dist.Distribution:
        """Return the normal computed from the output of the last hidden layer."""
        log_variance = bounded(self.log_variance(h), self.log_variance_bounds)
        return dist.Normal(self.location(h), (0.5 * log_variance).exp()).to_event(1)


def bounded(values: Tensor, bounds: tuple[float, float] | None) -> Tensor:
    """Squash values smoothly into the interval (low, high); return them unchanged if ``bounds`` is None."""
    if bounds is None:
        return values
    low, high = bounds
    return low + (high - low) * values.sigmoid()


def check_factory(name: str, factory: Any, expected: str) -> None:
    """Raise if an argument is not a class or a function that builds something; a network that is built is none."""
    if not callable(factory) or isinstance(factory, nn.Module):
        shown = type(factory).__name__ if isinstance(factory, nn.Module) else described(factory)
        raise UserTypeError(f"{name} is {shown}; expected {expected}")


def check_bounds(bounds: tuple[float, float] | None) -> None:
    """Raise if the bounds of log σ² are not two numbers with low < high, or None."""
    expected = "expected (low, high) with low < high, or None for no bounds"
    if bounds is not None and not (isinstance(bounds, tuple | list) and len(bounds) == 2 and bounds[0] < bounds[1]):
        shown = tuple(bounds) if isinstance(bounds, list) else bounds
        raise UserError(f"log_variance_bounds is {shown}; {expected}")


def checked_widths(name: str, widths: Sequence[int]) -> Sequence[int]:
    """Return the widths of hidden layers; raise if they are not a sequence of positive integers."""
    if not isinstance(widths, tuple | list) or not all(is_integer(width) and width >= 1 for width in widths):
        shown = tuple(widths) if isinstance(widths, list) else repr(widths)
        raise UserError(f"{name} is {shown}; expected positive widths, such as (128, 64)")
    return widths


def hidden_layers(
    in_dim: int, hidden: Sequence[int], activation: Callable[[], nn.Module] = nn.Tanh
) -> tuple[nn.Sequential, int]:
    """Build linear layers, each followed by an activation; return them and the width of the last one."""
    check_integer("feature_dim", in_dim, 1)
    layers: list[nn.Module] = []
    for width in checked_widths("hidden", hidden):
        layers += [nn.Linear(in_dim, width), activation()]
        in_dim = width
    return nn.Sequential(*layers), in_dim
