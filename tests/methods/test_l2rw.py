"""L2RW: its weights equal those of an explicit virtual step."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from infer.toys import IMAGE, Convolutional, Dense, batch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.data.batch import Batch
from vri_pyro.infer.hypergradient import SplitVJP, Unrolled
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods import L2RW
from vri_pyro.methods.l2rw import example_weights


def _weights_by_hand(classifier: Classifier, noisy: Batch, clean: Batch, rate: float) -> Tensor:
    """Weights of the paper's algorithm 1, by double backward through a gradient step with learning rate ``rate``."""
    parameters = dict(classifier.named_parameters())
    epsilon = torch.zeros(len(noisy.y), requires_grad=True)
    losses = F.cross_entropy(functional_call(classifier, parameters, (noisy.x,)).logits, noisy.y, reduction="none")
    gradients = torch.autograd.grad((epsilon * losses).sum(), list(parameters.values()), create_graph=True)
    moved = {name: p - rate * g for (name, p), g in zip(parameters.items(), gradients, strict=True)}
    clean_loss = F.cross_entropy(functional_call(classifier, moved, (clean.x,)).logits, clean.y)
    (gradient,) = torch.autograd.grad(clean_loss, epsilon)
    positive = (-gradient).clamp_min(0)
    return positive / positive.sum()


@pytest.mark.parametrize("strategy", [None, SplitVJP(), Unrolled()], ids=["default", "SplitVJP", "Unrolled"])
@pytest.mark.parametrize(
    ("make", "shape"),
    [(Dense, (5,)), (partial(Dense, nn.BatchNorm1d), (5,)), (Convolutional, IMAGE)],
    ids=["plain", "BatchNorm", "convolutions"],
)
def test_step_minimises_the_loss_with_the_weights_of_the_unrolled_reference(
    make: Any, shape: tuple[int, ...], strategy: Any
) -> None:
    classifier, noisy, clean = make(), batch(9, shape), batch(5, shape)
    reference = copy.deepcopy(classifier)
    optimizer = partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.05)
    algorithm = L2RW(hypergradient=strategy, clean_weight=0.0).build(classifier, optimizer)
    metrics = algorithm.step(noisy, clean)

    weights = _weights_by_hand(copy.deepcopy(reference), noisy, clean, rate=0.5)
    assert 0 < (weights == 0).sum() < 9
    losses = F.cross_entropy(reference(noisy.x).logits, noisy.y, reduction="none")
    gradients = torch.autograd.grad((weights * losses).sum(), list(reference.parameters()))
    torch.testing.assert_close(metrics["loss"], (weights * losses).sum().detach())
    torch.testing.assert_close(metrics["kept"], (weights > 0).double().mean())
    for p, before, g in zip(classifier.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.detach(), before.detach() - 0.1 * (g + 0.05 * before.detach()))


def test_weight_is_proportional_to_the_agreement_of_gradients() -> None:
    classifier, clean = Dense(), batch(5)
    noisy = Batch(torch.cat([clean.x, clean.x]), torch.cat([clean.y, (clean.y + 1) % 3]))

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        found = torch.autograd.grad(F.cross_entropy(classifier(x).logits, y), list(classifier.parameters()))
        return torch.cat([g.flatten() for g in found])

    towards = gradient(*clean[:2])
    agreement = torch.stack([gradient(x[None], y[None]) @ towards for x, y in zip(noisy.x, noisy.y, strict=True)])
    weights = agreement.clamp_min(0) / agreement.clamp_min(0).sum()
    assert weights[:5].sum() > weights[5:].sum()
    losses = F.cross_entropy(classifier(noisy.x).logits, noisy.y, reduction="none").detach()
    metrics = L2RW(clean_weight=0.0).build(classifier, partial(SGD, lr=0.1)).step(noisy, clean)
    torch.testing.assert_close(metrics["loss"], (weights * losses).sum())


def test_all_weights_are_zero_if_no_example_reduces_the_clean_loss() -> None:
    assert example_weights(torch.tensor([0.0, 1.0, 2.0])).tolist() == [0, 0, 0]
    torch.testing.assert_close(example_weights(torch.tensor([-1.0, 4.0, -3.0])), torch.tensor([0.25, 0, 0.75]))


def test_step_with_zero_weights_does_not_move_the_classifier() -> None:
    classifier = Dense()
    with torch.no_grad():
        for p in classifier.parameters():
            p.zero_()
        classifier.top.bias[2] = -50.0
    # The logits equal the last bias, so a step towards noisy labels of class 1 increases the loss of class 0.
    x = torch.randn(4, 5)
    noisy, clean = Batch(x, torch.ones(4, dtype=torch.int64)), Batch(x, torch.zeros(4, dtype=torch.int64))
    before = copy.deepcopy(classifier.state_dict())
    metrics = L2RW(clean_weight=0.0).build(classifier, partial(SGD, lr=0.1)).step(noisy, clean)
    assert metrics["kept"] == 0
    torch.testing.assert_close(classifier.state_dict(), before, rtol=0, atol=0)
