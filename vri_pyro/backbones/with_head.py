"""A classifier made of any PyTorch module and a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vri_pyro.backbones._input import check_num_classes
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput, evaluating
from vri_pyro.utils.errors import UserError


class WithHead(Classifier):
    """Classifier made of a PyTorch module, whose output are the features, and a linear layer.

    Args:
        body: module that maps a batch [batch, *input_shape] to features [batch, feature_dim], such as a pretrained
            network without its last layer. It is used as it is, with its current weights.
        input_shape: shape of one input, (D,) or (C, H, W).
        num_classes: number of classes K.

    Raises:
        UserError: the module rejects inputs of this shape, or its output is not a float tensor [batch, feature_dim].
    """

    def __init__(self, body: nn.Module, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.body, self.num_classes = body, check_num_classes(num_classes)
        self.feature_dim = _feature_dim(body, input_shape)
        self.head = nn.Linear(self.feature_dim, num_classes)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, *input_shape]."""
        features = self.body(x)
        return ClassifierOutput(self.head(features), features)


@torch.no_grad()
def _feature_dim(body: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the width of the body's output for two inputs of zeros."""
    name = type(body).__name__
    like = next(body.parameters(), torch.zeros(0))
    try:
        with evaluating(body):
            found = body(torch.zeros(2, *input_shape, dtype=like.dtype, device=like.device))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{name} rejects inputs of shape [2, {', '.join(map(str, input_shape))}]: {error}") from error
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != 2 or not found.is_floating_point():
        what = f"a tensor of shape {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise UserError(f"{name} returned {what}; expected features [batch, feature_dim]; add nn.Flatten() or pooling")
    return found.shape[1]
