"""The plate over data of pairs with a global latent: a batch in it stands for all examples."""

from __future__ import annotations

from typing import Any

import pyro
from torch import nn


class DataPlate(nn.Module):
    """``pyro.plate("data")`` that subsamples, so that a latent outside it counts once and not once a batch.

    Model and guide each hold one, of the same size. Until the size is known a batch stands for itself.

    Attributes:
        size: N, the number of examples; None until training begins. Part of the state.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size: int | None = None

    def forward(self, batch: int) -> pyro.plate:
        """The plate, entered with ``batch`` examples; the sites within are scaled by N/batch."""
        if self.size is None:
            return pyro.plate("data", batch)
        return pyro.plate("data", self.size, subsample=range(batch))

    def get_extra_state(self) -> Any:
        """The size, which PyTorch keeps in the state dict."""
        return self.size

    def set_extra_state(self, state: Any) -> None:
        """Take over the size."""
        self.size = state
