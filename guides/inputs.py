"""Inputs of the guides' networks: features, logits, label and loss of an example, concatenated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.networks import check_factory
from vri_pyro.utils.errors import UserError, UserTypeError, described
from vri_pyro.utils.numbers import check_integer

_HIGHEST_LOSS = 10.0


class Input(nn.Module, ABC):
    """Base class of one input of a guide's network; built as ``Input(feature_dim, num_classes)``.

    Attributes:
        width: number of values per example.
    """

    width: int

    @abstractmethod
    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """Return values [batch, width]; if ``y`` [batch] is None, values that depend on the label are zero."""


class Features(Input):
    """Penultimate features z of the classifier."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = feature_dim

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return output.features


class Logits(Input):
    """Logits of the classifier, detached.

    They are detached so that the classifier is not trained through the inputs of the guide.
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = num_classes

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return output.logits.detach()


class LabelEmbedding(Input):
    """Learned embedding e(y) of the label (paper, §3).

    Args:
        feature_dim: D; not used.
        num_classes: K.
        dim: width of the embedding.
    """

    def __init__(self, feature_dim: int, num_classes: int, dim: int = 64) -> None:
        super().__init__()
        self.width = dim
        self.embedding = nn.Embedding(num_classes, dim)

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return output.logits.new_zeros(*output.logits.shape[:-1], self.width) if y is None else self.embedding(y)


class LabelOneHot(Input):
    """One-hot encoding of the label."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.width = num_classes

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """See :class:`Input`."""
        return torch.zeros_like(output.logits) if y is None else F.one_hot(y, self.width).to(output.logits)


class Loss(Input):
    """Cross entropy of the example in nats, detached and clipped at 10.

    The loss is the input of MW-Net (Shu et al. 2019).
    """

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
    """Concatenation of several inputs.

    Args:
        feature_dim: D.
        num_classes: K.
        parts: constructors of the inputs, at least one.

    Attributes:
        width: total number of values per example.

    Raises:
        UserError: ``parts`` is empty.
    """

    def __init__(self, feature_dim: int, num_classes: int, parts: Sequence[InputFactory]) -> None:
        super().__init__()
        check_integer("feature_dim", feature_dim, 1)
        check_integer("num_classes", num_classes, 1)
        if isinstance(parts, str) or not isinstance(parts, Sequence):
            raise UserTypeError(f"inputs is {described(parts)}; expected classes of inputs, such as (Features,)")
        if not parts:
            raise UserError("the inputs of a guide are empty; expected at least one, such as vri_pyro.guides.Features")
        for part in parts:
            check_factory("an input of the guide", part, "a class of inputs, such as Features")
        made = [part(feature_dim, num_classes) for part in parts]
        self.parts = nn.ModuleList(made)
        self.width = sum(part.width for part in made)

    def forward(self, output: ClassifierOutput, y: Tensor | None) -> Tensor:
        """Return the concatenated values, [batch, width]; see :meth:`Input.forward`."""
        return torch.cat([part(output, y) for part in self.parts], dim=-1)
