"""DivideMix: each network learns from the division of the other one."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from infer.toys import CLASSES, IMAGE, INPUTS, Convolutional, Dense, batch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods import DivideMix
from vri_pyro.methods.base import Stage
from vri_pyro.methods.dividemix import DivideMixDescent
from vri_pyro.training.ensemble import Ensemble, EnsembleAlgorithm, build_algorithm
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.loss_mixture import low_loss_probability

INDEX = torch.arange(7)


def _pair(
    *networks: Classifier, rate: float = 0.1, **options: Any
) -> tuple[EnsembleAlgorithm, DivideMixDescent, DivideMixDescent]:
    method = DivideMix(**{"clean_weight": 0.0} | options)
    members = networks or (Dense(), Dense())
    both = build_algorithm(Ensemble(members), lambda network: method.build(network, partial(SGD, lr=rate)))
    assert isinstance(both, EnsembleAlgorithm)
    first, second = both.members
    assert isinstance(first, DivideMixDescent)
    assert isinstance(second, DivideMixDescent)
    return both, first, second


def _context(classifier: Classifier, x: Tensor, y: Tensor, clean: list[int]) -> TrainingContext:
    return TrainingContext(classifier, lambda at: [x[at]], y, torch.arange(len(y)), torch.tensor(clean).long())


def _sharpened(p: Tensor) -> Tensor:
    return p.square() / p.square().sum(-1, keepdim=True)


def test_step_minimises_the_loss_of_mixed_views_on_the_division_of_the_other_network() -> None:
    both, first, second = _pair(alpha=0.7, unlabelled_weight=5.0)
    noisy = batch(7)._replace(index=INDEX, second_view=torch.randn(7, INPUTS))
    assert noisy.second_view is not None
    first.right, second.right = torch.zeros(7), torch.tensor([0.9, 0.1, 0.6, 0.2, 0.5, 1.0, 0.4])
    first.epoch = 1 + 8  # half of the ramp
    reference, other = copy.deepcopy(first.classifier), second.classifier
    torch.manual_seed(3)
    metrics = first.step(noisy, noisy)

    x, w = torch.cat([noisy.x, noisy.second_view]), second.right[:, None]
    p, q = (sum(network(x).logits.softmax(-1).chunk(2)) / 2 for network in (reference, other))
    y = F.one_hot(noisy.y, CLASSES).double()
    labelled = torch.tensor([True, False, True, False, False, True, False])
    target = _sharpened(torch.where(labelled[:, None], w * y + (1 - w) * p, (p + q) / 2)).detach().repeat(2, 1)
    torch.manual_seed(3)
    share = Beta(0.7, 0.7).sample()
    share = max(share, 1 - share)
    partner = torch.randperm(14)
    logits = reference(share * x + (1 - share) * x[partner]).logits
    mixed, at = share * target + (1 - share) * target[partner], labelled.repeat(2)
    supervised = F.cross_entropy(logits[at], mixed[at])
    unsupervised = (logits[~at].softmax(-1) - mixed[~at]).square().mean()
    prior = torch.full((CLASSES,), 1 / CLASSES)
    balance = (prior * (prior / logits.softmax(-1).mean(0)).log()).sum()
    loss = supervised + 2.5 * unsupervised + balance
    torch.testing.assert_close(metrics["loss"], loss.detach())
    torch.testing.assert_close(metrics["labelled"], labelled.double().mean())
    weights = list(reference.parameters())
    for now, then, g in zip(first.weights, weights, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(now.detach(), then.detach() - 0.1 * g)
    assert both.members == [first, second]


def test_labels_of_the_unlabelled_examples_are_not_used() -> None:
    noisy, losses = batch(7)._replace(index=INDEX), []
    for shift in (0, 1):
        torch.manual_seed(1)
        _, first, second = _pair()
        second.right = torch.zeros(7)
        losses.append(first.step(noisy._replace(y=(noisy.y + shift) % CLASSES), noisy)["loss"])
    torch.testing.assert_close(*losses)


def test_division_finds_the_wrong_labels_and_clean_examples_are_always_labelled() -> None:
    truth = torch.arange(60) % CLASSES
    given = truth.clone()
    given[:12] = (truth[:12] + 1) % CLASSES
    x = torch.cat([8 * F.one_hot(truth, CLASSES).double(), torch.zeros(60, INPUTS - CLASSES)], -1)

    class Knows(Dense):
        def forward(self, x: Tensor) -> Any:
            output = super().forward(x)
            return output._replace(logits=x[:, :CLASSES] + 0 * output.logits)

    both, first, second = _pair(Knows(), Dense(), pool="noisy_and_clean")
    both.begin_epoch(_context(both.classifier, x, given, clean=[0, 50]))
    assert (first.right[1:12] < 0.01).all()
    assert (first.right[12:] > 0.99).all()
    assert first.right[0] == second.right[0] == 1  # its loss is high, but it is clean
    assert not torch.equal(first.right, second.right)
    assert (first.epoch, second.epoch) == (1, 1)


def test_clean_examples_are_not_part_of_the_fit() -> None:
    x, y = torch.randn(40, INPUTS), torch.arange(40) % CLASSES
    both, first, _ = _pair(pool="noisy_and_clean")
    both.begin_epoch(_context(both.classifier, x, y, clean=list(range(10))))
    losses = F.cross_entropy(first.classifier(x[10:]).logits, y[10:], reduction="none").detach()
    np.testing.assert_allclose(first.right[10:].numpy(), low_loss_probability(losses.numpy()))


def test_equal_losses_are_all_of_the_low_component() -> None:
    assert low_loss_probability(np.ones(5)).tolist() == [1.0] * 5


@pytest.mark.parametrize("labelled", [0.0, 1.0])
def test_batch_without_labelled_or_without_unlabelled_examples_is_trained_on(labelled: float) -> None:
    both, first, second = _pair()
    first.right = second.right = torch.full((7,), labelled)
    metrics = both.step(batch(7)._replace(index=INDEX), batch(5))
    assert metrics["labelled"] == labelled
    assert metrics["gradient_norm"].isfinite()
    assert metrics["gradient_norm"] > 0


def test_images_with_two_views_are_trained_on() -> None:
    both, first, second = _pair(Convolutional(), Convolutional())
    first.right = second.right = torch.linspace(0, 1, 7)
    noisy = batch(7, IMAGE)._replace(index=INDEX, second_view=torch.randn(7, *IMAGE))
    assert both.step(noisy, noisy)["loss"].isfinite()


def test_predicting_targets_does_not_change_batch_statistics_of_the_other_network() -> None:
    _, first, second = _pair(Convolutional(), Convolutional())
    second.right = torch.linspace(0, 1, 7)
    before = copy.deepcopy(second.classifier.state_dict())
    noisy = batch(7, IMAGE)._replace(index=INDEX)
    first.step(noisy, noisy)
    torch.testing.assert_close(second.classifier.state_dict(), before, rtol=0, atol=0)
    assert second.classifier.training


def test_first_stage_penalises_confidence() -> None:
    method = DivideMix(confidence_penalty=2.0, clean_weight=0.0, early_epochs=4)
    stages = method.stages("training", Stage(method, partial(SGD, lr=0.1)))
    assert [(name, stage.epochs) for name, stage in stages.items()] == [("early training", 4), ("training", None)]
    classifier, noisy = Dense(), batch(7)
    p = classifier(noisy.x).logits.softmax(-1).detach()
    expected = F.nll_loss(p.log(), noisy.y) + 2 * (p * p.log()).sum(-1).mean()
    metrics = stages["early training"].method.build(classifier, partial(SGD, lr=0.1)).step(noisy, noisy)
    torch.testing.assert_close(metrics["loss"], expected)


def test_other_numbers_of_networks_raise() -> None:
    alone = DivideMix().build(Dense(), partial(SGD, lr=0.1))
    with pytest.raises(
        UserError, match="DivideMix trains two networks, which divide the data for each other; set networks to 2"
    ):
        alone.check(batch(7), batch(5))
    with pytest.raises(UserError, match="set networks to 2, not 3"):
        _pair(Dense(), Dense(), Dense())


def test_missing_division_or_index_and_invalid_options_raise() -> None:
    both, *_ = _pair()
    with pytest.raises(UserError, match="DivideMix has not divided the data; call begin_epoch"):
        both.step(batch(7)._replace(index=INDEX), batch(5))
    with pytest.raises(UserError, match="the noisy batch has no index, but DivideMix divides the examples"):
        both.step(batch(7), batch(5))
    for options, message in (
        ({"pool": "clean"}, "pool of DivideMix is clean"),
        ({"early_epochs": 0}, "early_epochs is 0"),
        ({"confidence_penalty": -1.0}, "confidence_penalty is -1"),
        ({"threshold": 1.0}, "threshold is 1"),
        ({"temperature": 0.0}, "temperature is 0"),
    ):
        with pytest.raises(UserError, match=message):
            _pair(**options)
