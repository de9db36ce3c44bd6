"""Prediction memory: running means by position, and the early-learning regulariser."""

from __future__ import annotations

import pytest
import torch

from vri_pyro.interfaces.prediction_memory import PredictionMemory, early_learning_regulariser
from vri_pyro.utils.errors import UserError

CLASSES = 4


def test_targets_are_running_means_of_the_predictions_by_position() -> None:
    memory = PredictionMemory(CLASSES, momentum=0.8)
    index, logits = torch.tensor([5, 1, 3]), torch.randn(6, 3, CLASSES)
    for batch in logits:
        memory.keep(index, memory.moved(batch, index))
    weights = 0.2 * 0.8 ** torch.arange(5, -1, -1.0)
    expected = torch.einsum("s,sbk->bk", weights, logits.softmax(-1))
    torch.testing.assert_close(memory.table[index], expected)
    assert (memory.table[[0, 2, 4]] == 0).all()


def test_updated_targets_are_detached_and_not_stored() -> None:
    memory, index = PredictionMemory(CLASSES, momentum=0.5), torch.tensor([2, 0])
    logits = torch.randn(2, CLASSES, requires_grad=True)
    memory.keep(index, memory.moved(logits, index))
    once, again = memory.moved(logits, index), memory.moved(logits, index)
    assert torch.equal(once, again)
    assert not once.requires_grad


def test_reserved_table_has_one_row_per_example_and_is_part_of_the_state() -> None:
    memory, index = PredictionMemory(CLASSES, momentum=0.5), torch.tensor([2, 0])
    memory.reserve(9)
    memory.keep(index, memory.moved(torch.randn(2, CLASSES), index))
    assert memory.table.shape == (9, CLASSES)
    other = PredictionMemory(CLASSES, momentum=0.5)
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.table, memory.table)
    assert other.size == 9
    memory.keep(index, torch.zeros(2, CLASSES))
    assert (other.table[index] > 0).all()


def test_gradient_of_the_regulariser_raises_the_classes_that_the_target_favours() -> None:
    logits = torch.randn(5, CLASSES, dtype=torch.float64, requires_grad=True)
    targets = 0.9 * torch.rand(5, CLASSES, dtype=torch.float64).softmax(-1)
    (gradient,) = torch.autograd.grad(early_learning_regulariser(logits, targets).sum(), logits)
    p = logits.detach().softmax(-1)
    agreement = (p * targets).sum(-1, keepdim=True)
    torch.testing.assert_close(gradient, -p * (targets - agreement) / (1 - agreement))


def test_momentum_of_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"momentum is 1\.0; expected a value in \[0, 1\)"):
        PredictionMemory(CLASSES, momentum=1.0)
