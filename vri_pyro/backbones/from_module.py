"""Any PyTorch module as a classifier."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from vri_pyro.backbones.wrapped import Wrapped
from vri_pyro.utils.errors import UserTypeError, described


class FromModule(Wrapped):
    """Any PyTorch module, whose last linear layer is replaced by a new one; the inputs of that layer are the features.

    For example, ``FromModule((3, 32, 32), 10, torchvision.models.resnet18())`` has ten classes and 512 features.

    Args:
        input_shape: shape of one input, (D,) or (C, H, W).
        num_classes: number of classes K.
        network: the module, with its current weights, whose last layer is replaced in place; or its class, or a
            function without arguments that builds it. It maps a batch [batch, *input_shape] to a tensor, or to an
            object with a tensor ``logits``.
        head: name of the last linear layer, such as "fc"; null to find it; the empty string if the network has none,
            so that its output are the features.

    Raises:
        UserError: the module rejects inputs of this shape; or its last linear layer is not found, since there is none,
            or since other layers follow.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        network: Callable[[], nn.Module],
        head: str | None = None,
    ) -> None:
        found = network if isinstance(network, nn.Module) else network() if callable(network) else network
        if not isinstance(found, nn.Module):
            raise UserTypeError(
                f"network is {described(found)}; expected a PyTorch module, or a function that builds one"
            )
        super().__init__(input_shape, num_classes, found, head)
