"""Outputs of layers that are reused in forward mode: the tangent is that of PyTorch, with fewer operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from vri_pyro.infer.hypergradient import SplitJVP
from vri_pyro.infer.kept_outputs import KeptOutputs

from .problems import Case, seeded
from .toys import IMAGE, Convolutional

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


class Products(TorchDispatchMode):
    """Counts the products that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        names = Counter({"aten.convolution": 1, "aten.mm": 1, "aten.addmm": 1, "aten._convolution": 1})
        self.count += names[str(function.overloadpacket)]
        return function(*args, **(kwargs or {}))


Forward = Callable[[Sequence[Tensor]], Tensor]


def _tangent(forward: Forward, parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    along = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    with torch.no_grad(), forward_ad.dual_level():
        pair = forward_ad.unpack_dual(
            forward([forward_ad.make_dual(p, d) for p, d in zip(parameters, along, strict=True)])
        )
        return pair.primal.clone(), pair.tangent.clone()


def _compared(network: nn.Module, x: Tensor, atol: float = 1e-12) -> tuple[int, int]:
    """Compare the tangent with that of PyTorch; return the numbers of products without and with reuse."""
    names, parameters = zip(*((n, p.detach()) for n, p in network.named_parameters()), strict=True)
    buffers = {n: b.clone() for n, b in network.named_buffers()}

    def forward(values: Sequence[Tensor]) -> Tensor:
        own = {n: b.clone() for n, b in buffers.items()}
        return functional_call(network, dict(zip(names, values, strict=True)) | own, (x,))

    with Products() as plainly:
        expected = _tangent(forward, list(parameters))
    repeated = KeptOutputs().repeated(forward)
    output = repeated([p.detach().requires_grad_() for p in parameters])
    with Products() as reused:
        found = _tangent(repeated, list(parameters))
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)
    assert output.requires_grad
    return plainly.count, reused.count


class Called(nn.Module):
    """A weight and a bias with which a function is called; batch normalisation keeps its output."""

    def __init__(self, run: Callable[[Tensor, Tensor, Tensor], Tensor], weight: Sequence[int], norm: nn.Module) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.tensor(0.7))
        self.weight, self.bias = nn.Parameter(torch.randn(*weight)), nn.Parameter(torch.randn(weight[0]))
        self.run, self.norm = run, norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.run(self.before * x, self.weight, self.bias))


CASES: dict[str, tuple[Called, tuple[int, ...]]] = {
    "linear": (Called(F.linear, (5, 4), nn.BatchNorm1d(5)), (6, 4)),
    "no bias": (Called(lambda x, w, b: F.linear(x, w), (5, 4), nn.BatchNorm1d(5)), (6, 4)),
    "sequences": (Called(F.linear, (5, 4), nn.LayerNorm(5)), (6, 3, 4)),
    "conv1d": (Called(F.conv1d, (5, 4, 2), nn.BatchNorm1d(5)), (6, 4, 8)),
    "conv2d": (Called(F.conv2d, (5, 4, 2, 2), nn.BatchNorm2d(5)), (6, 4, 8, 8)),
    "conv3d": (Called(F.conv3d, (5, 4, 2, 2, 2), nn.BatchNorm3d(5)), (6, 4, 4, 4, 4)),
    "options by position": (
        Called(lambda x, w, b: F.conv2d(x, w, b, 2, 1), (5, 4, 3, 3), nn.BatchNorm2d(5)),
        (6, 4, 8, 8),
    ),
    "options by name": (
        Called(
            lambda x, w, b: F.conv2d(x, bias=b, weight=w, groups=2, dilation=2, padding="same"),
            (4, 2, 3, 3),
            nn.BatchNorm2d(4),
        ),
        (6, 4, 8, 8),
    ),
    "one image": (Called(F.conv2d, (5, 4, 2, 2), nn.LayerNorm([5, 7, 7])), (4, 8, 8)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_output_that_normalisation_keeps_is_not_computed_again(case: tuple[Called, tuple[int, ...]]) -> None:
    network, shape = case
    without, reused = _compared(network.double(), torch.randn(shape, dtype=torch.double))
    assert (without, reused) == (3, 2)


class Block(nn.Module):
    """Layers whose outputs are kept, released or changed in place."""

    def __init__(self, behind: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.behind = behind

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.second(self.first(x))).mean((2, 3))


@pytest.mark.parametrize(
    "behind",
    [F.relu, lambda h: F.relu(h, inplace=True), lambda h: F.gelu(h).add_(1), lambda h: h.mul_(2) * h.detach().abs()],
    ids=["released", "in place", "kept", "kept, but changed before"],
)
def test_outputs_that_were_released_or_changed_are_computed_again(behind: Callable[[Tensor], Tensor]) -> None:
    without, reused = _compared(Block(behind).double(), torch.randn(2, 3, 8, 8, dtype=torch.double))
    # The second layer keeps the output of the first one, of which one product remains, since the input has no tangent.
    assert (without, reused) == (6, 1 + (2 if "gelu" in behind.__code__.co_names else 3))


def test_outputs_of_a_released_graph_are_computed_again() -> None:
    network, x = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)), torch.randn(6, 4)
    names, parameters = zip(*network.named_parameters(), strict=True)

    def products(retain_graph: bool) -> int:
        forward = KeptOutputs().repeated(
            lambda values: functional_call(network, dict(zip(names, values, strict=True)), x)
        )
        output = forward(parameters)
        torch.autograd.grad(output.square().sum(), parameters, retain_graph=retain_graph)
        with Products() as counted:
            _tangent(forward, [p.detach() for p in parameters])
        return counted.count

    assert (products(retain_graph=True), products(retain_graph=False)) == (1, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_tangent_under_autocast_is_that_of_pytorch(dtype: torch.dtype) -> None:
    class Lower(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype):
                return super().forward(x).float()

    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5), nn.GELU()
    without, reused = _compared(Lower(*layers), torch.randn(4, 3, 8, 8), atol=1e-3)
    assert reused < without


def test_layer_whose_input_and_parameters_have_no_tangent_has_none() -> None:
    frozen = nn.Linear(4, 5).double().requires_grad_(False)
    network = nn.Sequential(nn.Linear(5, 3)).double()
    x = torch.randn(6, 4, dtype=torch.double)
    forward = KeptOutputs().repeated(lambda values: F.linear(F.gelu(frozen(x)), *values))
    parameters = [p.detach() for p in network.parameters()]
    expected = _tangent(lambda values: F.linear(F.gelu(frozen(x)), *values), parameters)
    forward([p.detach().requires_grad_() for p in parameters])
    torch.testing.assert_close(_tangent(forward, parameters), expected, rtol=0, atol=1e-12)


def test_layers_of_one_of_the_two_passes_do_not_shift_the_others() -> None:
    """An auxiliary branch may be evaluated only while gradients are on; it changes the output of no other layer."""
    x = torch.randn(6, 4, dtype=torch.double)
    norm = nn.BatchNorm1d(4, affine=False).double()
    auxiliary = nn.Linear(4, 4).double()

    def forward(values: Sequence[Tensor]) -> Tensor:
        if torch.is_grad_enabled():
            norm(auxiliary(x))
        return norm(F.linear(norm(F.linear(x, values[0])), values[1]))

    weights = [torch.randn(4, 4, dtype=torch.double) for _ in range(2)]
    repeated = KeptOutputs().repeated(forward)
    output = repeated([weight.detach().requires_grad_() for weight in weights])
    with Products() as products:
        found = _tangent(repeated, weights)
    torch.testing.assert_close(found, _tangent(forward, weights), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[0], output.detach(), rtol=0, atol=1e-12)
    assert products.count == 1 + 2


def test_layer_that_is_called_several_times_is_computed_again() -> None:
    x, norm = torch.randn(6, 4, dtype=torch.double), nn.BatchNorm1d(4, affine=False).double()

    def forward(values: Sequence[Tensor]) -> Tensor:
        return norm(F.linear(norm(F.linear(x, values[0])), values[0]))

    weight = torch.randn(4, 4, dtype=torch.double)
    repeated = KeptOutputs().repeated(forward)
    repeated([weight.detach().requires_grad_()])
    torch.testing.assert_close(_tangent(repeated, [weight]), _tangent(forward, [weight]), rtol=0, atol=1e-12)


def test_compiled_network_is_compiled_as_a_whole() -> None:
    sizes = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        sizes.append(sum(node.op.startswith("call") for node in graph.graph.nodes))
        return graph.forward

    def graphs(wrap: Callable[[Forward], Forward]) -> list[int]:
        torch._dynamo.reset()
        sizes.clear()
        network = torch.compile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), backend=backend)
        wrap(lambda _: network(torch.randn(2, 3, 8, 8)))([])
        return [*sizes]

    plain = graphs(lambda forward: forward)
    assert plain
    assert graphs(KeptOutputs().repeated) == plain


def test_step_of_the_engine_reuses_the_outputs_that_its_graph_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    def products() -> int:
        svi, noisy, clean = seeded(Case(Convolutional, shape=IMAGE), SplitJVP())
        with Products() as counted:
            svi.step(noisy, clean)
        return counted.count

    with monkeypatch.context() as patch:
        patch.setattr(KeptOutputs, "repeated", lambda _, forward: forward)
        without = products()
    assert products() < without
