"""The joined batch of several processes: its outputs, the mean gradient, and random numbers.

Every process runs the classifier on its share of the batch. :func:`joined` gathers the outputs, so that everything
behind the classifier sees the whole batch, in the same way in every process: latent variables, normalisation over the
batch, losses, metrics. Backward, it passes on the rows of the process alone, multiplied by the number of processes. The
:func:`mean` of the gradients over the processes is therefore the gradient of the joined batch, for parameters before
:func:`joined` and behind it, and however unequal the shares are.

None of these functions does anything in a single process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, autograd, distributed

from vri_pyro.utils import processes
from vri_pyro.utils.errors import UserError


def own_rows(values: Tensor) -> Tensor:
    """Return this process's share of the rows of ``values`` [B, ...]."""
    return values[processes.share().rows(len(values))] if processes.several() else values


def joined(rows: Tensor, total: int) -> Tensor:
    """Return the rows of all processes in the order of the joined batch; differentiable, also forward and twice.

    Args:
        rows: this process's share, [b, ...].
        total: B, number of rows of the joined batch.

    Returns:
        the joined rows, [B, ...].

    Raises:
        UserError: there are fewer or more rows than the share of this process.
    """
    if not processes.several():
        return rows
    expected = processes.share().size(total)
    if len(rows) != expected:
        raise UserError(
            f"the network returned {len(rows)} rows for the {expected} examples of this process; return one row each"
        )
    return _Joined.apply(rows, total)


def mean(tensors: Sequence[Tensor | None]) -> list[Any]:
    """Return the means of tensors over the processes, in one exchange per type; None stays None.

    Backward, the mean passes the gradient on unchanged, so that a mean of the gradients completes it.

    Args:
        tensors: tensors of the same shapes in all processes.
    """
    means: list[Any] = list(tensors)
    if not processes.several():
        return means
    kinds: dict[Any, list[int]] = {}
    for position, tensor in enumerate(tensors):
        if tensor is not None:
            kinds.setdefault((tensor.dtype, tensor.device), []).append(position)
    for positions in kinds.values():
        parts = [means[position] for position in positions]
        flat = _Mean.apply(torch.cat([part.reshape(-1) for part in parts]))
        for position, part, values in zip(positions, parts, flat.split([p.numel() for p in parts]), strict=True):
            found = values.view(part.shape)
            means[position] = found if part.is_contiguous() else torch.empty_like(part).copy_(found)
    return means


def total(values: Tensor) -> Tensor:
    """Return the sum of ``values`` over the processes, without a graph."""
    return values if not processes.several() else _reduced(values)


@contextmanager
def own_random_numbers(devices: Sequence[torch.device]) -> Iterator[None]:
    """Context manager in which every process draws random numbers of its own, as for the dropout of its share.

    On exit, the generators have their former states again, which are the same in all processes; if numbers were drawn,
    they advance by one draw, so that the next numbers differ.

    Args:
        devices: CUDA devices whose generators are used besides the CPU's.
    """
    if not processes.several():
        yield
        return
    with torch.random.fork_rng(devices):
        seed = int(torch.randint(2**62, ())) + processes.share().rank
        torch.default_generator.manual_seed(seed)
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        before = _random_states(devices)
        yield
        drawn = any(not torch.equal(a, b) for a, b in zip(before, _random_states(devices), strict=True))
    if drawn:
        torch.rand(())


def _random_states(devices: Sequence[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]


class _Joined(autograd.Function):
    @staticmethod
    def forward(rows: Tensor, total: int) -> Tensor:
        return _gathered(rows, total)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.total = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return own_rows(gradients[0]) * processes.share().world_size, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _gathered(tangents[0], ctx.total)


class _Mean(autograd.Function):
    @staticmethod
    def forward(values: Tensor) -> Tensor:
        return _reduced(values).div_(processes.share().world_size)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _gathered(rows: Tensor, total: int) -> Tensor:
    """Gather shares whose sizes differ by at most one row, padded to equal sizes."""
    count = processes.share().world_size
    sizes = [processes.Share(rank, count).size(total) for rank in range(count)]
    padded = rows.new_zeros(sizes[0], *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(count)]
    with processes.loss_explained():
        distributed.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def _reduced(values: Tensor) -> Tensor:
    values = values.detach().clone()
    with processes.loss_explained():
        distributed.all_reduce(values)
    return values
