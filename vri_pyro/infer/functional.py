"""Calling a classifier with parameters and buffers other than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError


def parameters_of(classifier: nn.Module) -> dict[str, nn.Parameter]:
    """The classifier's trainable parameters by name, in a fixed order."""
    return {name: p for name, p in classifier.named_parameters() if p.requires_grad}


def cloned_buffers(classifier: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers, for a forward pass whose effect on them must not count (or not yet)."""
    return {name: b.clone() for name, b in classifier.named_buffers()}


def call(
    classifier: nn.Module, parameters: Mapping[str, Tensor], buffers: dict[str, Tensor], x: Tensor
) -> ClassifierOutput:
    """Run the classifier with explicit parameters and buffers.

    Args:
        classifier: returns a :class:`ClassifierOutput`.
        parameters: by name, as in ``named_parameters``.
        buffers: by name; afterwards they are what the run made of them.
        x: inputs, [batch, ...].

    Raises:
        UserError: the classifier returns something else, or of another rank.
    """
    state = {**parameters, **buffers}
    output = functional_call(classifier, state, (x,))
    # A buffer that the forward pass assigned, rather than changed in place, is a new tensor.
    buffers.update({name: state[name] for name in buffers})
    name = type(classifier).__name__
    if not isinstance(output, ClassifierOutput):
        raise UserError(f"{name}.forward returned a {type(output).__name__}; return ClassifierOutput(logits, features)")
    if output.logits.dim() != 2 or output.features.dim() != 2:
        raise UserError(
            f"{name} returned logits of shape {list(output.logits.shape)} and features of shape "
            f"{list(output.features.shape)}; return [batch, classes] and [batch, features]"
        )
    return output


class ReplayedForward:
    """One batch's forward pass, repeatable at other parameters as if it were the same event.

    Every call draws the random numbers of the first one (dropout masks, say). Only the first call's effect on the
    buffers is kept, in :attr:`buffers`; the classifier's own stay as they are until :func:`commit_buffers`.

    Args:
        classifier: the classifier.
        x: inputs, [batch, ...].
        index: the examples' positions, which every output is given.
    """

    def __init__(self, classifier: nn.Module, x: Tensor, index: Tensor | None = None) -> None:
        self.classifier, self.x, self.index = classifier, x, index
        self.names = list(parameters_of(classifier))
        self.buffers = cloned_buffers(classifier)
        self._devices = [x.device] if x.is_cuda else []
        self._random_states: list[Tensor] | None = None

    def __call__(self, parameters: Sequence[Tensor]) -> ClassifierOutput:
        """Classify the batch with ``parameters``, the trainable ones, in the order of :func:`parameters_of`."""
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
    """Make ``buffers`` the classifier's own, in place."""
    for name, own in classifier.named_buffers():
        own.copy_(buffers[name])
