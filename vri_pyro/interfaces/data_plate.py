"""Data plate for models with a global latent; a batch represents all examples."""

from __future__ import annotations

from typing import Any

import pyro
from torch import nn


class DataPlate(nn.Module):
    """``pyro.plate("data")`` with subsampling, so that a latent outside it counts once in the data set, not per batch.

    Model and guide each have one, of the same size. As long as the size is None, the plate has the size of the batch.

    Attributes:
        size: N, the number of examples; None until training begins. Saved in the state dict.
    """

    def __init__(self) -> None:
        super().__init__()
        self.size: int | None = None

    def forward(self, batch: int) -> pyro.plate:
        """Return the plate for ``batch`` examples; it scales the sites inside by N / batch."""
        if self.size is None:
            return pyro.plate("data", batch)
        return pyro.plate("data", self.size, subsample=range(batch))

    def get_extra_state(self) -> Any:
        """Return the size, which PyTorch saves in the state dict."""
        return self.size

    def set_extra_state(self, state: Any) -> None:
        """Restore the size."""
        self.size = state
