"""Single-level training on the ELBO, which without latents is training by cross entropy."""

from __future__ import annotations

import copy
import io
from functools import partial
from typing import Any

import pyro
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.guides import NoLatents
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.models import CrossEntropy
from vri_pyro.utils.errors import UserError

from .toys import CLASSES, IMAGE, Convolutional, Dense, batch, diagonal_normal, rectification

WIDTH = 6
sgd = partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.01)
adam = partial(Adam, lr=0.01, eps=1e-3)  # the default ε would amplify rounding errors in a zero gradient


def _cross_entropy(classifier: nn.Module, optimizer: Any = sgd, **options: Any) -> SingleLevelSVI:
    pair = CrossEntropy(WIDTH, CLASSES), NoLatents(WIDTH, CLASSES)
    return SingleLevelSVI(classifier, *pair, optimizer(classifier.parameters()), **options)


def _rectified(classifier: nn.Module, optimizer: Any = adam, **options: Any) -> SingleLevelSVI:
    model, guide = rectification(WIDTH), diagonal_normal(WIDTH)
    parameters = [*classifier.parameters(), *model.parameters(), *guide.parameters()]
    return SingleLevelSVI(classifier, model, guide, optimizer(parameters), **options)


def test_loss_without_latents_is_the_cross_entropy() -> None:
    classifier, noisy = Dense(), batch()
    expected = F.cross_entropy(classifier(noisy.x).logits, noisy.y)
    metrics = _cross_entropy(classifier, clean_weight=0.0).step(noisy, noisy)
    torch.testing.assert_close(metrics["loss"], expected.detach())
    assert metrics["kl"] == 0
    assert set(metrics) == {"loss", "kl", "gradient_norm"}


@pytest.mark.parametrize("optimizer", [sgd, adam], ids=["SGD", "Adam"])
@pytest.mark.parametrize(
    ("make", "shape"),
    [(Dense, (5,)), (partial(Dense, nn.BatchNorm1d, 0.5), (5,)), (Convolutional, IMAGE)],
    ids=["plain", "BatchNorm and dropout", "convolutions"],
)
def test_steps_without_latents_are_those_of_a_plain_training_loop(
    make: Any, shape: tuple[int, ...], optimizer: Any
) -> None:
    ours = make()
    plain = copy.deepcopy(ours)
    batches = [batch(shape=shape) for _ in range(4)]
    algorithm = _cross_entropy(ours, optimizer, clean_weight=0.0)
    torch.manual_seed(3)
    for noisy in batches:
        algorithm.step(noisy, noisy)
    torch.manual_seed(3)
    theirs: Optimizer = optimizer(plain.parameters())
    for noisy in batches:
        theirs.zero_grad()
        F.cross_entropy(plain(noisy.x).logits, noisy.y).backward()
        theirs.step()
    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [_cross_entropy, _rectified])
def test_batch_norm_statistics_move_once_a_step(make: Any) -> None:
    classifier, noisy, clean = Dense(nn.BatchNorm1d), batch(), batch(5)
    plain = copy.deepcopy(classifier)
    plain(noisy.x)
    make(classifier, clean_weight=0.5).step(noisy, clean)
    for name, expected in plain.named_buffers():
        torch.testing.assert_close(dict(classifier.named_buffers())[name], expected, rtol=1e-14, atol=1e-14)
    assert classifier.trunk[1].num_batches_tracked == 1


def test_clean_weight_adds_the_clean_cross_entropy() -> None:
    classifier, noisy, clean = Dense(), batch(), batch(5)
    optimizer = partial(SGD, lr=0.1)
    weighted = copy.deepcopy(classifier)
    expected = F.cross_entropy(classifier(noisy.x).logits, noisy.y)
    expected = expected + 0.3 * F.cross_entropy(classifier(clean.x).logits, clean.y)
    gradients = torch.autograd.grad(expected, list(classifier.parameters()))
    metrics = _cross_entropy(weighted, optimizer, clean_weight=0.3).step(noisy, clean)
    torch.testing.assert_close(metrics["loss"], expected.detach())
    for p, before, gradient in zip(weighted.parameters(), classifier.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.detach(), before.detach() - 0.1 * gradient)


def test_clean_batch_is_not_used_without_a_clean_weight() -> None:
    noisy = batch()
    nowhere = Batch(torch.full_like(noisy.x, float("nan")), noisy.y)
    assert _cross_entropy(Dense(), clean_weight=0.0).step(noisy, nowhere)["gradient_norm"].isfinite()


def test_rectification_with_a_normal_guide_decreases_the_negative_bound() -> None:
    algorithm, noisy = _rectified(Dense(), elbo=RectificationELBO(num_particles=5)), batch(30)
    with pyro.validation_enabled(False):
        losses = torch.stack([algorithm.step(noisy, noisy)["loss"] for _ in range(150)])
    assert losses[-20:].mean() < losses[:20].mean() - 0.2


@pytest.mark.parametrize("kl_weight", [0.0, 0.5])
def test_kl_weight_is_that_of_the_estimator(kl_weight: float) -> None:
    elbo = RectificationELBO(kl_weight=kl_weight)
    algorithm, noisy = _rectified(Dense(), elbo=elbo, clean_weight=0.0), batch()
    before = copy.deepcopy(algorithm)
    torch.manual_seed(4)
    metrics = algorithm.step(noisy, noisy)
    torch.manual_seed(4)
    terms = RectificationELBO().terms(before.model, before.guide, before.classifier(noisy.x), noisy.y)
    torch.testing.assert_close(metrics["loss"], terms.loss(kl_weight).detach())
    prior_moves = not torch.equal(algorithm.model.prior.network.location.bias, before.model.prior.network.location.bias)
    assert prior_moves == (kl_weight > 0)


def test_step_follows_the_gradient_of_the_bound_through_logits_and_features() -> None:
    algorithm, noisy = _rectified(Dense(), partial(SGD, lr=0.1), clean_weight=0.0), batch()
    reference = copy.deepcopy(algorithm)
    torch.manual_seed(4)
    algorithm.step(noisy, noisy)
    torch.manual_seed(4)
    output = reference.classifier(noisy.x)
    loss = RectificationELBO().terms(reference.model, reference.guide, output, noisy.y).loss()
    expected = torch.autograd.grad(loss, list(reference.classifier.parameters()))
    for p, before, gradient in zip(
        algorithm.classifier.parameters(), reference.classifier.parameters(), expected, strict=True
    ):
        torch.testing.assert_close(p.detach(), before.detach() - 0.1 * gradient)


def test_optimiser_without_the_guides_parameters_is_refused() -> None:
    classifier, model, guide = Dense(), rectification(6), diagonal_normal(6)
    with pytest.raises(UserError, match=r"optimiser does not contain 'model\."):
        SingleLevelSVI(classifier, model, guide, SGD(classifier.parameters(), lr=0.1))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", [_cross_entropy, _rectified])
def test_non_finite_batch_changes_nothing_and_too_many_of_them_raise(make: Any, poison: float) -> None:
    algorithm, noisy = make(Dense(nn.BatchNorm1d), max_skipped=3), batch()
    algorithm.step(noisy, noisy)
    before = copy.deepcopy(algorithm.state_dict())
    broken = Batch(torch.full_like(noisy.x, poison), noisy.y)
    with pyro.validation_enabled(False):
        for _ in range(2):
            assert not algorithm.step(broken, noisy)["loss"].isfinite()
        after = copy.deepcopy(algorithm.state_dict())
        assert after.pop("guard") == {"skipped": 2, "in_a_row": 2}
        before.pop("guard")
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        with pytest.raises(
            NonFiniteError, match=r"^loss, gradient_norm(, buffers)?: non-finite for 3 consecutive steps"
        ):
            algorithm.step(broken, noisy)


def test_restored_state_takes_the_same_next_steps() -> None:
    algorithm, noisy = _rectified(Dense(nn.BatchNorm1d, 0.5)), batch()
    for _ in range(3):
        algorithm.step(noisy, noisy)
    file = io.BytesIO()
    torch.save(algorithm.state_dict(), file)
    random_state = torch.get_rng_state()
    expected = [algorithm.step(noisy, noisy) for _ in range(3)]
    restored = _rectified(Dense(nn.BatchNorm1d, 0.5))
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    torch.set_rng_state(random_state)
    torch.testing.assert_close([restored.step(noisy, noisy) for _ in range(3)], expected, rtol=0, atol=0)
