"""He initialisation of the residual networks."""

from __future__ import annotations

from torch import nn


def kaiming_convolutions_(network: nn.Module) -> None:
    """Initialise the weights of every convolution from N(0, 2 / fan_out), in place.

    Reference: He et al., Delving deep into rectifiers, ICCV 2015, eq. 14.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
