"""SOP: the noise of a label comes to explain it, and the label then stops to train the classifier."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from infer.toys import CLASSES, IMAGE, Convolutional, Dense, batch
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.data.batch import Batch
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods import SOP
from vri_pyro.methods.sop import SOPDescent
from vri_pyro.utils.errors import UserError

INDEX = torch.tensor([4, 0, 9, 2, 1, 7, 3])


def _sop(classifier: Classifier, rate: float = 0.1, **options: Any) -> SOPDescent:
    return SOP(**{"clean_weight": 0.0} | options).build(classifier, partial(SGD, lr=rate))


def _with_tables(algorithm: SOPDescent) -> SOPDescent:
    algorithm.memory.u, algorithm.memory.v = torch.rand(10, 1), torch.rand(10, CLASSES)
    return algorithm


def test_step_descends_each_loss_in_its_own_variables() -> None:
    classifier, noisy = Dense(), batch(7)._replace(index=INDEX)
    algorithm = _with_tables(_sop(classifier, u_rate=2.0, v_rate=3.0))
    reference = copy.deepcopy(classifier)
    u, v = algorithm.memory.u[INDEX].requires_grad_(), algorithm.memory.v[INDEX].requires_grad_()
    others = [i for i in range(10) if i not in INDEX]
    untouched = algorithm.memory.u[others].clone(), algorithm.memory.v[others].clone()
    metrics = algorithm.step(noisy, noisy)

    logits, y = reference(noisy.x).logits, F.one_hot(noisy.y, CLASSES).double()
    noise = u.square() * y - v.square() * (1 - y)
    explained = (logits.softmax(-1) + noise).clamp_min(1e-4)
    explained = explained / explained.sum(-1, keepdim=True)
    cross_entropy = F.nll_loss(explained.log(), noisy.y)
    square = (F.one_hot(logits.argmax(-1), CLASSES) + noise - y).square().sum(-1).mean()
    weights = list(reference.parameters())
    *gradients, u_gradient = torch.autograd.grad(cross_entropy, [*weights, u], retain_graph=True)
    (v_gradient,) = torch.autograd.grad(square, v)
    torch.testing.assert_close(metrics["loss"], cross_entropy.detach())
    torch.testing.assert_close(metrics["noise"], u.square().mean().detach())
    for now, then, g in zip(classifier.parameters(), weights, gradients, strict=True):
        torch.testing.assert_close(now.detach(), then.detach() - 0.1 * g)
    torch.testing.assert_close(algorithm.memory.u[INDEX], u.detach() - 2 * u_gradient)
    torch.testing.assert_close(algorithm.memory.v[INDEX], v.detach() - 3 * v_gradient)
    assert torch.equal(algorithm.memory.u[others], untouched[0])
    assert torch.equal(algorithm.memory.v[others], untouched[1])


def test_noise_grows_until_it_explains_a_wrong_label_and_stays_near_zero_for_a_right_one() -> None:
    classifier, index = Dense(), torch.tensor([0, 1])
    both = Batch(torch.randn(1, 5).repeat(2, 1), torch.tensor([0, 1]), index)
    with torch.no_grad():
        classifier.top.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))  # predicts class 0, so that label 1 is wrong
    algorithm = _sop(classifier, rate=0.0, u_rate=0.1, v_rate=0.1)
    gradients = [algorithm.step(both, both)["gradient_norm"] for _ in range(300)]
    u, v = algorithm.memory.u.square().flatten(), algorithm.memory.v.square()
    assert u[1] > 0.8
    assert v[1, 0] > 0.8
    assert u[0] < 1e-9
    assert v[0].max() < 1e-9
    assert gradients[-1] < 0.5 * gradients[0]


def test_label_that_the_noise_explains_does_not_train_the_classifier() -> None:
    noisy = Batch(torch.randn(1, 5), torch.tensor([1]), torch.tensor([0]))
    norms = []
    for explained in (0.0, 1.0):
        torch.manual_seed(1)
        algorithm = _sop(Dense())
        algorithm.memory.u = torch.full((1, 1), explained)
        algorithm.memory.v = explained * torch.tensor([[1.0, 0.0, 1.0]])
        norms.append(algorithm.step(noisy, noisy)["gradient_norm"])
    assert norms[1] < 1e-3 * norms[0]


def test_sop_plus_adds_consistency_of_two_views_and_balance() -> None:
    classifier, noisy = Dense(), batch(7)._replace(index=INDEX, second_view=torch.randn(7, 5))
    reference = copy.deepcopy(classifier)
    metrics = _sop(classifier, rate=0.0, consistency_weight=0.9, balance_weight=0.1).step(noisy, noisy)
    p, other = reference(noisy.x).logits.softmax(-1), reference(noisy.second_view).logits.softmax(-1)
    consistency = (p * (p / other).log()).sum(-1).mean()
    balance = -p.mean(0).log().mean()
    expected = F.nll_loss(p.log(), noisy.y) + 0.9 * consistency + 0.1 * balance
    torch.testing.assert_close(metrics["loss"], expected.detach())
    assert SOP(consistency_weight=0.9).views == 2
    assert SOP().views == 1


def test_two_views_of_a_vector_are_equal_and_consistent() -> None:
    noisy = batch(7)._replace(index=INDEX)
    losses = []
    for weight in (0.0, 0.9):
        torch.manual_seed(2)
        losses.append(_sop(Dense(), consistency_weight=weight).step(noisy, noisy)["loss"])
    torch.testing.assert_close(*losses)


def test_images_are_trained_on_as_well() -> None:
    noisy = batch(7, IMAGE)._replace(index=INDEX, second_view=torch.randn(7, *IMAGE))
    algorithm = _sop(Convolutional(), consistency_weight=0.9, balance_weight=0.1)
    assert algorithm.step(noisy, noisy)["gradient_norm"].isfinite()


def test_non_finite_step_changes_no_noise() -> None:
    algorithm = _with_tables(_sop(Dense()))
    u, v = algorithm.memory.u.clone(), algorithm.memory.v.clone()
    noisy = batch(7)._replace(index=INDEX)
    algorithm.step(noisy._replace(x=noisy.x / 0), noisy)
    assert algorithm.skipped == 1
    assert torch.equal(algorithm.memory.u, u)
    assert torch.equal(algorithm.memory.v, v)


def test_batch_without_an_index_and_invalid_options_raise() -> None:
    with pytest.raises(UserError, match="the noisy batch has no index, but SOP stores the noise per example"):
        _sop(Dense()).step(batch(7), batch(5))
    with pytest.raises(UserError, match="v_rate is -3"):
        _sop(Dense(), v_rate=-3.0)
    with pytest.raises(UserError, match="consistency_weight is -1"):
        SOP(consistency_weight=-1.0)
