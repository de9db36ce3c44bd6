"""Check that forward and backward passes differentiate the same network, at the cost of two inner products.

Every split strategy of :mod:`~vri_pyro.infer.hypergradient` computes a gradient Jᵀu and a tangent Js with the same
Jacobian J, so ⟨u, Js⟩ = ⟨Jᵀu, s⟩. A network whose forward pass has parts under ``torch.no_grad``, for example, violates
the identity: the backward pass leaves them out, but the tangent does not.
"""

from __future__ import annotations

import torch

from vri_pyro.infer.hypergradient import Hypergradient
from vri_pyro.utils.errors import UserError

FIRST = 5  # number of steps that are checked at the beginning of a stage, and stop training if the check fails
EVERY = 50  # later, one step of so many is checked, for the metrics only
DOUBLE_TOLERANCE = 1e-6  # largest error in double precision

CAUSES = (
    "likely causes are parts of forward under torch.no_grad (use detach instead), gradients changed by hooks, random "
    "numbers that do not come from PyTorch's default generator, and a network compiled by an old version of PyTorch"
)


class AdjointError(UserError):
    """The tangent and the gradient of the classifier belong to different functions."""


class AdjointCheck:
    """Schedule of the check over the steps of a stage.

    Attributes:
        steps: number of steps so far, without those that were skipped.
    """

    def __init__(self) -> None:
        self.steps = 0

    def due(self) -> bool:
        """Whether the current step is checked."""
        return self.steps < FIRST or self.steps % EVERY == 0

    def judge(self, error: float | None, strategy: Hypergradient, dtype: torch.dtype, network: str) -> None:
        """Raise if the error of one of the first steps is too large.

        Args:
            error: relative error of the identity; None if it was not computed.
            strategy: the strategy that computed it.
            dtype: type of the classifier's output.
            network: name of the classifier, for the message.

        Raises:
            AdjointError: the error exceeds :func:`tolerance`.
        """
        if self.steps < FIRST and error is not None and error > tolerance(strategy, dtype):
            raise AdjointError(
                f"{network} does not work with {type(strategy).__name__}: {violation(error)}; {CAUSES}; correct them, "
                "or use hypergradient SplitVJP"
            )


def tolerance(strategy: Hypergradient, dtype: torch.dtype) -> float:
    """Largest error of the identity that rounding, or the approximation of a finite difference, explains.

    In double precision the error of an exact strategy is about 1e-16, and at least 1e-6 for a network that violates the
    identity. With float32 outputs, the network may compute in TF32 or bfloat16, where it reaches 1e-3, so that only
    gross violations are certain. A finite difference is not exact in any precision, most of all at the kinks of the
    network.

    Args:
        strategy: the strategy that computed the tangent.
        dtype: type of the classifier's output.
    """
    if not strategy.exact:
        return 0.3
    return DOUBLE_TOLERANCE if dtype == torch.float64 else 0.05


def violation(error: float) -> str:
    """Describe a violation of the identity."""
    return f"its tangent and its gradient belong to different functions (relative error {error:.1e})"
