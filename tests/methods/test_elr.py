"""ELR: targets are running means of predictions, and the regulariser pulls predictions towards them."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from infer.toys import CLASSES, Dense, batch
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.data.batch import Batch
from vri_pyro.methods import ELR
from vri_pyro.methods.elr import ELRDescent
from vri_pyro.utils.errors import UserError

INDEX = torch.tensor([4, 0, 9, 2, 1, 7, 3])


def _elr(classifier: Dense, rate: float = 0.1, **options: float) -> ELRDescent:
    return ELR(**options).build(classifier, partial(SGD, lr=rate))


def test_step_minimises_cross_entropy_plus_regulariser() -> None:
    classifier, noisy = Dense(), batch(7)._replace(index=INDEX)
    algorithm = _elr(classifier, clean_weight=0.0)
    algorithm.step(noisy, noisy)
    reference = copy.deepcopy(classifier)
    before = algorithm.memory.table[INDEX]
    metrics = algorithm.step(noisy, noisy)

    logits = reference(noisy.x).logits
    p = logits.softmax(-1).detach()
    t = 0.7 * before + 0.3 * p
    inner = (p * t).sum(-1, keepdim=True)
    torch.testing.assert_close(algorithm.memory.table[INDEX], t)
    regulariser = (1 - inner).log().mean()
    torch.testing.assert_close(metrics["regulariser"], regulariser)
    torch.testing.assert_close(metrics["loss"], F.cross_entropy(logits, noisy.y).detach() + 3 * regulariser)

    push = (p - F.one_hot(noisy.y, CLASSES) - 3.0 * p * (t - inner) / (1 - inner)) / 7
    gradients = torch.autograd.grad(logits, list(reference.parameters()), push)
    for now, then, g in zip(classifier.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(now.detach(), then.detach() - 0.1 * g)


def test_training_equals_the_loss_with_clipped_probabilities_written_by_hand() -> None:
    """The authors clip p to [1e-4, 1 - 1e-4], and update the targets with the clipped p divided by its sum."""
    classifier, rate = Dense(), 0.02
    with torch.no_grad():
        classifier.top.weight.mul_(30)
    algorithm = _elr(classifier, rate=rate, clean_weight=0.0)
    reference, targets, clipped = copy.deepcopy(classifier), torch.zeros(10, CLASSES), 0
    for _ in range(30):
        noisy = batch(7)._replace(index=INDEX)
        algorithm.step(noisy, noisy)

        logits = reference(noisy.x).logits
        p = logits.exp() / logits.exp().sum(1, keepdim=True)
        inside = (p > 1e-4) & (p < 1 - 1e-4)
        clipped += int((~inside).sum())
        p = torch.where(inside, p, p.detach().clip(1e-4, 1 - 1e-4))
        targets[INDEX] = 0.7 * targets[INDEX] + 0.3 * p.detach() / p.detach().sum(1, keepdim=True)
        regulariser = torch.log(1 - torch.einsum("bk,bk->b", p, targets[INDEX])).mean()
        loss = F.cross_entropy(logits, noisy.y) + 3 * regulariser
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        with torch.no_grad():
            for parameter, g in zip(reference.parameters(), gradients, strict=True):
                parameter.sub_(rate * g)

    assert clipped > 50
    torch.testing.assert_close(algorithm.memory.table, targets)
    torch.testing.assert_close(dict(classifier.named_parameters()), dict(reference.named_parameters()))


def test_regulariser_does_not_act_on_a_certain_prediction() -> None:
    classifier = Dense()
    with torch.no_grad():
        classifier.top.bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    example = Batch(torch.randn(1, 5), torch.tensor([0]), torch.tensor([0]))
    algorithm = _elr(classifier)
    algorithm.memory.table = torch.tensor([[0.0, 0.9, 0.1]])
    metrics = algorithm.step(example, example)
    assert metrics["gradient_norm"] < 1e-12


def test_targets_are_stored_by_position_of_the_example() -> None:
    classifier = Dense()
    algorithm = _elr(classifier, rate=0.0, momentum=0.5)
    noisy = batch(7)._replace(index=INDEX)
    p = classifier(noisy.x).logits.softmax(-1).detach()
    algorithm.step(noisy, noisy)
    assert algorithm.memory.table.shape == (10, CLASSES)
    unseen = [i for i in range(10) if i not in INDEX]
    assert (algorithm.memory.table[unseen] == 0).all()
    some = torch.tensor([5, 2])
    algorithm.step(noisy._replace(x=noisy.x[some], y=noisy.y[some], index=INDEX[some]), noisy)
    expected = 0.5 * p
    expected[some] = 0.75 * p[some]
    torch.testing.assert_close(algorithm.memory.table[INDEX], expected)
    algorithm.step(noisy._replace(index=INDEX + 3), noisy)
    assert algorithm.memory.table.shape == (13, CLASSES)


@pytest.mark.parametrize(("elr_weight", "learns_the_label"), [(0.0, True), (3.0, False)])
def test_regulariser_prevents_learning_a_label_that_the_target_contradicts(
    elr_weight: float, learns_the_label: bool
) -> None:
    classifier, wrong = Dense(), Batch(torch.randn(1, 5), torch.tensor([1]), torch.tensor([0]))
    with torch.no_grad():
        classifier.top.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))  # predicts class 0, like the target
    algorithm = _elr(classifier, elr_weight=elr_weight)
    algorithm.memory.table = torch.tensor([[0.95, 0.03, 0.02]])
    p = classifier(wrong.x).logits.softmax(-1)[0, 0].item()
    algorithm.step(wrong, wrong)
    assert (classifier(wrong.x).logits.softmax(-1)[0, 0].item() < p) == learns_the_label


def test_loss_is_finite_for_certain_predictions() -> None:
    classifier, noisy = Dense(), batch(7)._replace(index=INDEX)
    with torch.no_grad():
        classifier.top.weight.mul_(1e4)
    algorithm = _elr(classifier, momentum=0.0)
    metrics = algorithm.step(noisy, noisy)
    assert metrics["loss"].isfinite()
    assert metrics["gradient_norm"].isfinite()


def test_batch_without_an_index_and_invalid_options_raise() -> None:
    with pytest.raises(
        UserError, match="the noisy batch has no index, but ELR stores a target per example; set its index"
    ):
        _elr(Dense()).step(batch(7), batch(5))
    with pytest.raises(UserError, match="momentum is 1"):
        _elr(Dense(), momentum=1.0)
    with pytest.raises(UserError, match="elr_weight is -3"):
        _elr(Dense(), elr_weight=-3.0)
