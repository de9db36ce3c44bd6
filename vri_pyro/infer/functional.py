"""Run a module with parameters and buffers other than its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, autograd, nn
from torch.func import functional_call

from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import joined, mean, own_random_numbers
from vri_pyro.utils.processes import several


def parameters_of(classifier: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters of the classifier by name, in a fixed order."""
    return {name: p for name, p in classifier.named_parameters() if p.requires_grad}


def keep_compiled_graphs(classifier: nn.Module) -> None:
    """Let the graph of a classifier that ``torch.compile`` compiles be used by two backward passes.

    A compiled backward pass overwrites its inputs otherwise. The setting holds for what is compiled later in this
    process.
    """
    if any(hasattr(module, "_orig_mod") for module in classifier.modules()):
        from torch._functorch import config  # imported with the compiler

        config.donated_buffer = False


def cloned_buffers(classifier: nn.Module) -> dict[str, Tensor]:
    """Copies of the classifier's buffers, for a forward pass that must not change the originals."""
    return _clones(dict(classifier.named_buffers()))


def call(
    classifier: nn.Module, parameters: Mapping[str, Tensor], buffers: dict[str, Tensor], x: Tensor
) -> ClassifierOutput:
    """Run the classifier with explicit parameters and buffers.

    A backward pass through the output must run while the classifier holds the same parameters, if the classifier
    recomputes activations in the backward pass; see :func:`within`.

    Args:
        classifier: returns a :class:`~vri_pyro.interfaces.classifier.ClassifierOutput`.
        parameters: parameters by name, as in ``named_parameters``.
        buffers: buffers by name; the dictionary is updated to their values after the forward pass.
        x: inputs, [batch, ...].

    Raises:
        UserError: the classifier changes its input in place, or returns another type, or logits or features that are
            not two-dimensional.
    """
    return _call(classifier, parameters, buffers, lambda: classifier_output(classifier, x))


def _call[Output](
    module: nn.Module, parameters: Mapping[str, Tensor], buffers: dict[str, Tensor], run: Callable[[], Output]
) -> Output:
    state = {**parameters, **buffers}
    output = within(module, state, run)
    # If the forward pass assigns a buffer instead of changing it in place, the new tensor is only in ``state``.
    buffers.update({name: state[name] for name in buffers})
    return output


def loss_and_gradient(
    module: nn.Module, parameters: Sequence[Tensor], loss: Callable[[], Tensor], factor: float | Tensor = 1.0
) -> tuple[Tensor, Sequence[Tensor]]:
    """Compute a loss at other parameters, and its gradient; the module does not change.

    This is the outer loss of a :class:`~vri_pyro.infer.hypergradient.Problem`::

        meta_gradient=lambda moved: loss_and_gradient(network, moved, lambda: mse_loss(network(clean_x), clean_y))

    Args:
        module: the module.
        parameters: values of its trainable parameters, in the order of ``module.parameters()``.
        loss: calls the module and returns a loss, [].
        factor: factor on the gradient.

    Returns:
        the loss without its graph, [], and ``factor`` times its gradient, one tensor per parameter.
    """
    leaves = {name: p.detach().requires_grad_() for name, p in zip(parameters_of(module), parameters, strict=True)}

    def differentiated() -> tuple[Tensor, Sequence[Tensor]]:
        value = loss()
        gradient = autograd.grad(factor * value, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return value.detach(), gradient

    return within(module, leaves | cloned_buffers(module), differentiated)


def within[T](module: nn.Module, state: dict[str, Tensor], body: Callable[[], T]) -> T:
    """Run ``body()`` while the module holds the tensors of ``state`` in place of its own.

    A module that recomputes activations (``torch.utils.checkpoint``) runs parts of its forward pass again in the
    backward pass, with the parameters and buffers that it holds then. So a forward pass at other parameters needs its
    backward pass inside ``body`` as well.

    Args:
        module: the module.
        state: parameters and buffers by name; updated to the tensors that the module holds afterwards.
        body: a function without arguments.

    Returns:
        the result of ``body``.
    """
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    if all(tensor is own.get(name) for name, tensor in state.items()):
        return body()  # nothing to exchange, which takes a while
    scope = _Scope(module)
    names = {f"module.{name}": name for name in state}
    held = {full: state[name] for full, name in names.items()}
    result = functional_call(scope, held, (body,))
    state.update({name: held[full] for full, name in names.items()})
    return result


class _Scope(nn.Module):
    """Runs a function; :func:`torch.func.functional_call` exchanges the state of a module only while it is called."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, body: Callable[[], Any]) -> Any:
        return body()


def classifier_output(classifier: nn.Module, x: Tensor) -> ClassifierOutput:
    """Run the classifier and check its output; see :func:`call`."""
    version = None if x.is_inference() else x._version
    lower = getattr(classifier, "autocast", None)
    if lower not in (None, torch.bfloat16):
        raise UserError(
            f"{type(classifier).__name__}.autocast is {lower!r}; expected torch.bfloat16 or None, since gradients in "
            "torch.float16 would need to be scaled"
        )
    with nullcontext() if lower is None else torch.autocast(x.device.type, lower):
        output = classifier(x)
    name = type(classifier).__name__
    if not isinstance(output, ClassifierOutput):
        raise UserError(f"{name}.forward returned a {type(output).__name__}; return ClassifierOutput(logits, features)")
    if output.logits.dim() != 2 or output.features.dim() != 2:
        raise UserError(
            f"{name} returned logits of shape {list(output.logits.shape)} and features of shape "
            f"{list(output.features.shape)}; expected [batch, classes] and [batch, features]"
        )
    if version is not None and x._version != version:
        raise UserError(
            f"{name}.forward changes its input in place, so that later passes over the same batch see other inputs; "
            "use operations that return a new tensor, or x = x.clone() first"
        )
    if lower is not None:
        kind = x.dtype if x.is_floating_point() else torch.float32
        output = output._replace(logits=output.logits.to(kind), features=output.features.to(kind))
    return output


def joined_output(output: ClassifierOutput, count: int) -> ClassifierOutput:
    """Return the output on the joined batch of ``count`` examples, from the output on this process's share of it."""
    if not several():
        return output
    logits, features = output.logits, output.features
    both = joined(torch.cat([logits, features.to(logits.dtype)], dim=-1), count)  # one exchange instead of two
    logits, features = both.split([logits.shape[-1], features.shape[-1]], dim=-1)
    return output._replace(logits=logits, features=features.to(output.features.dtype))


class ReplayedCall[Output]:
    """Call of a module that can be repeated at other parameters with the same random numbers.

    Every call draws the same random numbers as the first one, for dropout masks for example. Only the first call
    updates :attr:`buffers`. The module's own buffers change only when :meth:`commit_buffers` is called. Build a new one
    for every step. The output may be anything that is computed from the module, such as one loss per example::

        forward = ReplayedCall(network, lambda: mse_loss(network(x), y, reduction="none"))

    Args:
        module: the module.
        run: calls the module and returns the output.

    Attributes:
        names: names of the trainable parameters, in the order that calls expect.
        buffers: the buffers by name, after the first call.
    """

    def __init__(self, module: nn.Module, run: Callable[[], Output]) -> None:
        self.module, self.run = module, run
        self.names = list(parameters_of(module))
        self._own = dict(module.named_buffers())
        self.buffers = _clones(self._own)
        self._devices = list({p.device for p in module.parameters() if p.is_cuda})
        self._random_states: list[Tensor] | None = None

    def __call__(self, parameters: Sequence[Tensor]) -> Output:
        """Run the module with the trainable ``parameters``, in the order of ``module.parameters()``."""
        named = self.named(parameters)
        if self._random_states is None:
            with own_random_numbers(self._devices):
                self._random_states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._devices)]
                return _call(self.module, named, self.buffers, self.run)
        with torch.random.fork_rng(devices=self._devices):
            torch.set_rng_state(self._random_states[0])
            for device, state in zip(self._devices, self._random_states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            return _call(self.module, named, _clones(self._own), self.run)

    def named(self, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the trainable ``parameters``, in the order of ``module.parameters()``, by name."""
        return dict(zip(self.names, parameters, strict=True))

    def backward[T](self, body: Callable[[], T]) -> T:
        """Run ``body()``, which runs backward passes, while the module holds copies of its buffers.

        A module that recomputes activations in the backward pass then changes only the copies.
        """
        return within(self.module, _clones(self._own), body) if self._own else body()

    def largest_new(self, like: Tensor) -> Tensor:
        """Largest absolute value in the buffers after the first call, []; non-finite if a buffer became non-finite.

        Entries that were non-finite before, as in a mask of -inf, are ignored.
        """
        pairs = [(b, self._own[name]) for name, b in self.buffers.items() if b.is_floating_point() and b.numel()]
        if not pairs:
            return like.detach().new_zeros(())
        after, before = (
            torch.cat([b.detach().flatten().to(like.device) for b in part]) for part in zip(*pairs, strict=True)
        )
        return after.where(before.isfinite(), 0).abs().amax()

    @torch.no_grad()
    def commit_buffers(self) -> None:
        """Copy :attr:`buffers` into the module's own, in place."""
        if self._own:
            torch._foreach_copy_(list(self._own.values()), [self.buffers[name] for name in self._own])


class ReplayedForward(ReplayedCall[ClassifierOutput]):
    """Forward pass of a classifier on one batch that can be repeated; see :class:`ReplayedCall`.

    Args:
        classifier: the classifier.
        x: inputs, [batch, ...].
        index: positions of the examples, copied into every output, int64 [batch].
        count: number of examples of the joined batch of several processes, of which ``x`` are this process's share.
            The outputs are those of the joined batch. Default: ``x`` is the whole batch.
    """

    def __init__(self, classifier: nn.Module, x: Tensor, index: Tensor | None = None, count: int | None = None) -> None:
        super().__init__(classifier, lambda: classifier_output(classifier, x))
        self.classifier, self.x, self.index, self.count = classifier, x, index, count

    def __call__(self, parameters: Sequence[Tensor]) -> ClassifierOutput:
        """See :class:`ReplayedCall`."""
        is_first = self._random_states is None
        output = super().__call__(parameters)
        if self.count is not None:
            output = joined_output(output, self.count)
            if is_first:
                self._agree()
        return output._replace(index=self.index, inputs=self.x)

    @torch.no_grad()
    def _agree(self) -> None:
        """Replace the new buffers, such as running statistics of a batch, by their means over the processes.

        The means are taken of the changes, so that a buffer that does not change keeps its values exactly.
        """
        names = [name for name, b in self.buffers.items() if b.is_floating_point()]
        if not several() or not names:
            return
        changes = [torch.where(self.buffers[n] == self._own[n], 0, self.buffers[n] - self._own[n]) for n in names]
        for name, change in zip(names, mean(changes), strict=True):
            self.buffers[name] = torch.where(change == 0, self._own[name], self._own[name] + change)


def _clones(buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: b.clone() for name, b in buffers.items()}
