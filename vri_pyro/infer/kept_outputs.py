"""Repeat a forward pass in forward mode without computing again what autograd has kept of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import TensorWeakRef

# Operations (input, weight, bias, ...) that are linear in the input and in the weight.
_PRODUCTS = {F.linear, *(getattr(torch, f"conv{d}d") for d in (1, 2, 3))}
_NAMES = ("input", "weight", "bias")


class _Output(NamedTuple):
    """Output of a layer, its version, and the weight, which is kept so that no other one takes its memory."""

    reference: TensorWeakRef
    version: int
    weight: Tensor

    def unchanged(self) -> Tensor | None:
        """Return the output if it still exists and was not changed in place."""
        kept = self.reference()
        return kept.detach() if kept is not None and kept._version == self.version else None


class KeptOutputs(TorchFunctionMode):
    """Keeps track of the outputs of convolutions and linear layers in a forward pass, and reuses them in the next.

    A forward-mode derivative computes the output of every operation as well as its tangent. Of a convolution or a
    linear layer, which take most of the time, the output is often known: the graph of an earlier pass at the same
    parameters keeps it, for example as the input of batch normalisation. Such an output is reused here. Nothing is
    kept for this purpose, so no memory is added: outputs are referred to weakly, and those that autograd has released,
    or that were changed in place, are computed again. So are those of layers that are called several times, and of
    networks that are being compiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._outputs: dict[Hashable, _Output | None] = {}  # None for a layer that is called several times
        self._recorded = False

    def repeated[Output](self, forward: Callable[[Sequence[Tensor]], Output]) -> Callable[[Sequence[Tensor]], Output]:
        """Return ``forward`` such that its first call is recorded and later ones reuse outputs.

        Args:
            forward: a forward pass. Later calls must be at dual numbers of the same parameters, in the same memory, and
                draw the same random numbers.
        """

        def call(parameters: Sequence[Tensor]) -> Output:
            with self:
                try:
                    return forward(parameters)
                finally:
                    self._recorded = True

        return call

    def __torch_function__(
        self, function: Callable, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        kwargs = kwargs or {}
        if function not in _PRODUCTS or torch.compiler.is_compiling():
            return function(*args, **kwargs)
        weight: Tensor = kwargs["weight"] if "weight" in kwargs else args[1]
        layer = function, weight.data_ptr(), weight.shape
        if not self._recorded:
            output = function(*args, **kwargs)
            again = layer in self._outputs
            self._outputs[layer] = None if again else _Output(TensorWeakRef(output), output._version, weight.detach())
            return output
        recorded = self._outputs.pop(layer, None)
        kept = None if recorded is None else recorded.unchanged()
        return function(*args, **kwargs) if kept is None else _dual(kept, function, args, kwargs)


def _dual(output: Tensor, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """Return the dual number of a product whose output is known; the tangent is summed in PyTorch's order."""
    named = {**dict(zip(_NAMES, args, strict=False)), **kwargs}
    (x, x_tangent), (weight, weight_tangent) = (forward_ad.unpack_dual(named.pop(name)) for name in _NAMES[:2])
    bias = named.pop("bias", None)
    bias_tangent = None if bias is None else forward_ad.unpack_dual(bias).tangent

    def product(x: Tensor | None, weight: Tensor | None) -> Tensor | None:
        return None if x is None or weight is None else function(x, weight, None, *args[len(_NAMES) :], **named)

    parts = [product(x_tangent, weight), product(x, weight_tangent)]
    if bias_tangent is not None:
        behind = [1] * (weight.dim() - 2)  # dimensions of the output behind the channels
        bias_tangent = bias_tangent.to(output.dtype).reshape(-1, *behind).expand_as(output)
        if function is F.linear:
            parts.insert(0, bias_tangent)
        else:
            parts[1] = bias_tangent if parts[1] is None else parts[1] + bias_tangent
    known = [part for part in parts if part is not None]
    return forward_ad.make_dual(output, sum(known[1:], known[0])) if known else output
