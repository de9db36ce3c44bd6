"""Classifiers made of other networks, whose last layer is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vri_pyro.backbones._input import check_batch, check_num_classes, check_shape
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput, evaluating
from vri_pyro.utils.errors import UserError, described
from vri_pyro.utils.spelling import nearest

_MOST_SHOWN = 6
_ITSELF = "use head='' if the output of the network are the features"


class NoLastLayer(UserError):
    """The output of a network is not that of a linear layer, or not that of the given layer."""


class Wrapped(Classifier):
    """Classifier made of a network, whose last layer is replaced by a new linear layer; its inputs are the features.

    The layer is replaced by the identity, so that the network returns the features. Whether it does is checked by
    running both networks: the replaced layer, applied to these features, must give the output of the network.

    Args:
        input_shape: shape of one input, (D,) or (C, H, W).
        num_classes: number of classes K.
        network: the network. It is used as it is, with its current weights.
        head: name of the layer to replace, as in ``network.named_modules()``; None for the linear layer that computes
            the output; the empty string if the output of the network are the features.
        prepare: applied to the inputs first; None for nothing.

    Raises:
        NoLastLayer: the layer is not found, or other layers follow.
        UserError: the network rejects inputs of this shape.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        network: nn.Module,
        head: str | None = None,
        prepare: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.input_shape = check_shape(type(self).__name__, input_shape)
        self.num_classes = check_num_classes(num_classes)
        self.prepare = nn.Identity() if prepare is None else prepare
        self.replaced, self.network, features = _without_head(network, self._example(network), head)
        self.feature_dim = features.shape[1]
        self.head = nn.Linear(self.feature_dim, num_classes, dtype=features.dtype, device=features.device)

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, *input_shape]."""
        check_batch(type(self).__name__, x, self.input_shape)
        features = _tensor(self.network(self.prepare(x)))
        return ClassifierOutput(self.head(features), features)

    def _example(self, network: nn.Module) -> Tensor:
        """Two random inputs of the network, on its device; the global random state does not change."""
        like = next(network.parameters(), torch.zeros(0))
        x = torch.randn(2, *self.input_shape, generator=torch.Generator().manual_seed(0))
        return self.prepare(x).to(like)


def _without_head(network: nn.Module, x: Tensor, head: str | None) -> tuple[str, nn.Module, Tensor]:
    """Return the name of the last layer, the network without it, and the features of ``x``.

    Raises:
        UserError: see :class:`Wrapped`.
    """
    name = type(network).__name__
    layers = dict(network.named_modules())
    if head and head not in layers:
        near = nearest(head, layers)
        raise UserError(f"{name} has no layer {head!r}; {f'did you mean {near!r}?' if near else _candidates(network)}")
    with evaluating(network), torch.no_grad():
        output, called = _run(network, x)
        if bool(output.isnan().any()):
            raise UserError(f"{name} returns NaN for finite inputs; check its parameters")
        if head == "":
            return "", network, _checked_features(name, output)
        last = head or (called[-1] if called else None)
        if last is None:
            raise NoLastLayer(
                f"{name} has no linear layer that could be replaced; name its last layer in head, or {_ITSELF}"
            )
        if not last:  # the network is itself a linear layer
            return last, nn.Identity(), _checked_features(name, x)
        layer = layers[last]
        _replace(network, last, nn.Identity())
        features = _features(network, x)
        if features is None or not _is_last(layer, features, output):
            _replace(network, last, layer)
            told = f"{last!r} is not the last layer of {name}, since other layers change its output"
            raise NoLastLayer(
                f"{told}; remove these, name the last layer in head ({_candidates(network)}), or {_ITSELF}"
            )
    return last, network, features


def _run(network: nn.Module, x: Tensor) -> tuple[Tensor, list[str]]:
    """Return the output of a network, and the names of the linear layers in the order in which they were called."""
    called: list[str] = []
    linear = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(lambda *_, name=name: called.append(name)) for name, layer in linear]
    name = type(network).__name__
    try:
        with _same_random_numbers():
            output = _tensor(network(x))
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        if isinstance(error, UserError):
            raise
        tokens = any(isinstance(layer, nn.Embedding) for layer in network.modules())
        hint = "; a network of token ids needs a training loop of its own, since inputs are vectors or images here"
        reason = f"{str(error).rstrip('.')}{hint if tokens else ''}"
        raise UserError(f"{name} rejects inputs of shape {list(x.shape)}: {reason}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return output, called


def _tensor(output: object) -> Tensor:
    """Return the tensor in the output of a network; those of Hugging Face have it as ``logits``."""
    found = getattr(output, "logits", output)
    if not isinstance(found, Tensor):
        raise UserError(f"the network returned {described(found)}; expected a tensor, or an object with logits")
    return found


def _checked_features(name: str, found: Tensor) -> Tensor:
    if found.dim() != 2 or len(found) != 2 or not found.is_floating_point():
        shape = f"a tensor of shape {list(found.shape)}"
        raise UserError(f"{name} returned {shape}; expected features [batch, feature_dim]; add nn.Flatten() or pooling")
    return found


def _features(network: nn.Module, x: Tensor) -> Tensor | None:
    """Return the output of a network without its last layer; None if it is not what a linear layer could get."""
    try:
        found, _ = _run(network, x)
    except UserError:
        return None
    return found if found.dim() == 2 and len(found) == len(x) and found.is_floating_point() else None


def _is_last(layer: nn.Module, features: Tensor, output: Tensor) -> bool:
    """Return whether the output of the network is that of the layer, applied to the features."""
    try:
        expected = layer(features)
    except RuntimeError:
        return False
    return expected.shape == output.shape and torch.allclose(expected, output, rtol=1e-4, atol=1e-5)


def _replace(network: nn.Module, name: str, by: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, by)


def _candidates(network: nn.Module) -> str:
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear) and name]
    shown = ", ".join(names[-_MOST_SHOWN:])
    return (
        f"its {'last ' if len(names) > _MOST_SHOWN else ''}linear layers are {shown}"
        if names
        else "it has no linear layers"
    )


@contextmanager
def ending_in_linear(what: str) -> Iterator[None]:
    """Say that a named network does not end in a linear layer, in place of an option that it does not have."""
    try:
        yield
    except NoLastLayer as error:
        raise UserError(f"{what} does not end in a linear layer that could be replaced; use another network") from error


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Seed PyTorch's random generator, for networks that draw in evaluation mode too, and restore it on exit."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
