"""Run a classifier with parameters and buffers other than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError


def parameters_of(classifier: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters of the classifier by name, in a fixed order."""
    return {name: p for name, p in classifier.named_parameters() if p.requires_grad}


def cloned_buffers(classifier: nn.Module) -> dict[str, Tensor]:
    """Copies of the classifier's buffers, for a forward pass that must not change the originals."""
    return {name: b.clone() for name, b in classifier.named_buffers()}


def call(
    classifier: nn.Module, parameters: Mapping[str, Tensor], buffers: dict[str, Tensor], x: Tensor
) -> ClassifierOutput:
    """Run the classifier with explicit parameters and buffers.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        parameters: parameters by name, as in ``named_parameters``.
        buffers: buffers by name; the dictionary is updated to their values after the forward pass.
        x: inputs, [batch, ...].

    Raises:
        UserError: the classifier returns another type, or logits or features that are not two-dimensional.
    """
    state = {**parameters, **buffers}
    output = functional_call(classifier, state, (x,))
    # If the forward pass assigns a buffer instead of changing it in place, the new tensor is only in ``state``.
    buffers.update({name: state[name] for name in buffers})
    name = type(classifier).__name__
    if not isinstance(output, ClassifierOutput):
        raise UserError(f"{name}.forward returned a {type(output).__name__}; return ClassifierOutput(logits, features)")
    if output.logits.dim() != 2 or output.features.dim() != 2:
        raise UserError(
            f"{name} returned logits of shape {list(output.logits.shape)} and features of shape "
            f"{list(output.features.shape)}; expected [batch, classes] and [batch, features]"
        )
    return output


class ReplayedForward:
    """Forward pass of one batch that can be repeated at other parameters with the same random numbers.

    Every call draws the same random numbers as the first one, for dropout masks for example. Only the first call
    updates :attr:`buffers`. The classifier's own buffers change only when :func:`commit_buffers` is called.

    Args:
        classifier: the classifier.
        x: inputs, [batch, ...].
        index: positions of the examples, copied into every output, int64 [batch].

    Attributes:
        names: names of the trainable parameters, in the order that calls expect.
        buffers: the buffers by name, after the first call.
    """

    def __init__(self, classifier: nn.Module, x: Tensor, index: Tensor | None = None) -> None:
        self.classifier, self.x, self.index = classifier, x, index
        self.names = list(parameters_of(classifier))
        self.buffers = cloned_buffers(classifier)
        self._devices = [x.device] if x.is_cuda else []
        self._random_states: list[Tensor] | None = None

    def __call__(self, parameters: Sequence[Tensor]) -> ClassifierOutput:
        """Run the classifier with the trainable ``parameters``, in the order of :func:`parameters_of`."""
        named = dict(zip(self.names, parameters, strict=True))
        if self._random_states is None:
            self._random_states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._devices)]
            return call(self.classifier, named, self.buffers, self.x)._replace(index=self.index)
        with torch.random.fork_rng(devices=self._devices):
            torch.set_rng_state(self._random_states[0])
            for device, state in zip(self._devices, self._random_states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            output = call(self.classifier, named, cloned_buffers(self.classifier), self.x)
            return output._replace(index=self.index)


@torch.no_grad()
def commit_buffers(classifier: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Copy ``buffers`` into the classifier's own, in place."""
    for name, own in classifier.named_buffers():
        own.copy_(buffers[name])
