"""The engine with any module and any output: a loss per example of a regression and of a small language model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, mse_loss

from vri_pyro.infer import (
    GradientStep,
    Hypergradient,
    Inner,
    Problem,
    ReplayedCall,
    SplitJVP,
    SplitVJP,
    Unrolled,
    loss_and_gradient,
)

RATE = 0.3
Named = dict[str, Tensor]


@pytest.fixture(autouse=True)
def in_double_precision() -> None:
    torch.set_default_dtype(torch.float64)


def regression() -> tuple[nn.Module, Callable[[], Tensor], Callable[[], Tensor]]:
    """A network with BatchNorm and dropout, its losses per example, and its clean loss."""
    network = nn.Sequential(
        nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 1), nn.Flatten(0)
    )
    x, y, clean_x, clean_y = torch.randn(7, 3), torch.randn(7), torch.randn(4, 3), torch.randn(4)
    return (
        network,
        lambda: mse_loss(network(x), y, reduction="none"),
        lambda: mse_loss(network(clean_x), clean_y),
    )


def language_model() -> tuple[nn.Module, Callable[[], Tensor], Callable[[], Tensor]]:
    """A language model that trains its attention only, its losses per text, and its loss on trusted texts."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2}
    options = {"num_attention_heads": 2, "attention_dropout": 0.2, "bos_token_id": None, "eos_token_id": None}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **options, use_cache=False)).double().train()
    for name, p in model.named_parameters():
        p.requires_grad_("self_attn" in name)
    texts, trusted = torch.randint(11, (5, 6)), torch.randint(11, (3, 6))

    def losses(ids: Tensor) -> Tensor:
        return cross_entropy(model(input_ids=ids).logits[:, :-1].mT, ids[:, 1:], reduction="none").mean(1)

    return model, lambda: losses(texts), lambda: losses(trusted).mean()


PROBLEMS = {"regression": regression, "language model": language_model}


def by_double_backward(
    module: nn.Module, losses: Callable[[], Tensor], outer: Callable[[], Tensor], logits: Tensor
) -> Tensor:
    """The gradient of the outer loss in plain PyTorch: differentiates through the gradient step."""

    class Run(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, body: Callable[[], Tensor]) -> Tensor:
            return body()

    buffers = {name: b.clone() for name, b in module.named_buffers()}
    weights = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters() if p.requires_grad}

    def at(parameters: Named, body: Callable[[], Tensor]) -> Tensor:
        state = {f"module.{name}": tensor.clone() for name, tensor in (parameters | buffers).items()}
        return functional_call(Run(), state, (body,))

    with sdpa_kernel(SDPBackend.MATH):
        inner = (logits.softmax(0) * at(weights, losses)).sum()
        gradients = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
        moved = {name: w - RATE * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        (gradient,) = torch.autograd.grad(at(moved, outer), logits)
    return gradient


@pytest.mark.parametrize("strategy", [SplitJVP(), SplitVJP(), Unrolled()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
def test_hypergradient_of_weights_of_examples_equals_double_backward(
    problem: Callable, strategy: Hypergradient
) -> None:
    module, losses, outer = problem()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    parameters = [p for p in module.parameters() if p.requires_grad]
    logits = torch.randn(len(losses()), requires_grad=True)
    module.load_state_dict(before)

    torch.manual_seed(1)
    forward = ReplayedCall(module, losses)
    result = strategy(
        Problem(
            parameters,
            [logits],
            forward=forward,
            inner=lambda losses: Inner((logits.softmax(0) * losses).sum()),
            virtual_step=GradientStep(parameters, RATE),
            meta_gradient=lambda moved: loss_and_gradient(module, moved, outer),
        )
    )
    torch.manual_seed(1)
    expected = by_double_backward(module, losses, outer, logits)

    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(result.gradients, [expected], rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


def test_repeated_call_draws_the_same_masks_and_leaves_the_random_state() -> None:
    network, losses, _ = regression()
    parameters = list(network.parameters())
    forward = ReplayedCall(network, losses)
    first = forward(parameters)
    state = torch.get_rng_state()
    torch.testing.assert_close(forward(parameters), first, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(losses(), first)


def test_buffers_of_the_module_change_only_when_they_are_committed_and_by_one_call() -> None:
    network, losses, _ = regression()
    parameters = list(network.parameters())
    forward = ReplayedCall(network, losses)
    for _ in range(3):
        forward(parameters)
    assert network[1].num_batches_tracked == 0
    forward.commit_buffers()
    assert network[1].num_batches_tracked == 1


def test_loss_and_gradient_at_other_parameters_leave_the_module_as_it_is() -> None:
    network, _, outer = regression()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    other = [torch.randn_like(p) for p in network.parameters()]
    torch.manual_seed(2)
    value, gradient = loss_and_gradient(network, other, outer, factor=3.0)
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert not value.requires_grad

    with torch.no_grad():
        for p, q in zip(network.parameters(), other, strict=True):
            p.copy_(q)
    torch.manual_seed(2)
    loss = outer()
    torch.testing.assert_close(value, loss.detach(), rtol=0, atol=0)
    torch.testing.assert_close(list(gradient), list(torch.autograd.grad(3 * loss, list(network.parameters()))))
