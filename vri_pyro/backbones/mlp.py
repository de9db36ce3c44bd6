"""Multilayer perceptron, or linear classifier, for feature vectors and very small images."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from vri_pyro.backbones._input import check_batch, check_num_classes, check_shape, check_widths
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import is_number


class MLP(Classifier):
    """Multilayer perceptron with ReLU activations; inputs of any shape are flattened.

    Without hidden layers it is a linear classifier, often the best choice for features of a pretrained network.

    Args:
        input_shape: shape of one input, (D,) or (C, H, W).
        num_classes: number of classes K.
        hidden: widths of the hidden layers; the last width is ``feature_dim``. Empty for a linear classifier, whose
            features are the inputs.
        dropout: dropout probability of the hidden units in training mode, in [0, 1).

    Raises:
        UserError: a width is below one, or ``dropout`` or the shape is invalid.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths("MLP", "hidden widths", hidden, "positive widths, such as [64], or [] for a linear classifier")
        if not is_number(dropout) or not 0.0 <= dropout < 1.0:
            raise UserError(f"MLP got dropout {dropout!r}; expected a probability in [0, 1).")
        self.input_shape = check_shape("MLP", input_shape)
        self.num_classes = check_num_classes(num_classes)
        widths = (math.prod(self.input_shape), *hidden)
        self.feature_dim = widths[-1]
        layers: list[nn.Module] = [nn.Flatten()]
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
            if dropout > 0.0:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(self.feature_dim, self.num_classes)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, *input_shape]."""
        check_batch("MLP", x, self.input_shape)
        features = self.body(x)
        return ClassifierOutput(self.head(features), features)
