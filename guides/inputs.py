"""What a guide sees of an example: parts that are put side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError

_HIGHEST_LOSS = 10.0


class Input(nn.Module, ABC):
    """One part of what a guide sees; built as ``Input(feature_dim, num_classes)``.

    Attributes:
        width: numbers an example.
    """

    width: int

    @abstractmethod
    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """Numbers [batch, width]; without labels ``y`` [batch], zeros stand for what depends on them."""


class Features(Input):
    """The classifier's penultimate features z."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = feature_dim

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return output.features


class Logits(Input):
    """The classifier's logits, as constants: a gradient through them would move the classifier to please the guide."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = num_classes

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return output.logits.detach()


class LabelEmbedding(Input):
    """A learned vector a class, e(y) (paper §3).

    Args:
        dim: its width.
    """

    def __init__(self, feature_dim: int, num_classes: int, dim: int = 64) -> None:
        super().__init__()
        self.width = dim
        self.embedding = nn.Embedding(num_classes, dim)

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return output.logits.new_zeros(*output.logits.shape[:-1], self.width) if y is None else self.embedding(y)


class LabelOneHot(Input):
    """The label as an indicator vector."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = num_classes

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return torch.zeros_like(output.logits) if y is None else F.one_hot(y, self.width).to(output.logits)


class Loss(Input):
    """The example's cross entropy, as a constant, in nats, cut off at 10; MW-Net's weights see it (Shu et al. 2019)."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = 1

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        if y is None:
            return output.logits.new_zeros(*output.logits.shape[:-1], 1)
        return F.cross_entropy(output.logits.detach(), y, reduction="none").clamp(max=_HIGHEST_LOSS).unsqueeze(-1)


InputFactory = Callable[[int, int], Input]


class Inputs(nn.Module):
    """Several parts side by side.

    Args:
        feature_dim: D.
        num_classes: K.
        parts: what they are built by, at least one.

    Attributes:
        width: of all parts together.
    """

    def __init__(self, feature_dim: int, num_classes: int, parts: Sequence[InputFactory]) -> None:
        super().__init__()
        if not parts:
            raise UserError("a guide got no inputs; give it at least one, such as vri_pyro.guides.Features")
        made = [part(feature_dim, num_classes) for part in parts]
        self.parts = nn.ModuleList(made)
        self.width = sum(part.width for part in made)

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """Numbers [batch, width] about each example; see :meth:`Input.forward`."""
        return torch.cat([part(output, y) for part in self.parts], dim=-1)
