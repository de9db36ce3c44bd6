"""Common behaviour of the methods that train only the classifier: state, guard and clean weight."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import partial

import pyro
import pytest
import torch
from infer.toys import Dense, batch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.data.batch import Batch
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods import ELR, L2RW, Mixup
from vri_pyro.methods.base import Method
from vri_pyro.methods.descent import Descent
from vri_pyro.utils.errors import UserError

METHODS: dict[str, Callable[..., Method]] = {"mixup": Mixup, "ELR": ELR, "L2RW": L2RW}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def build(method: Callable[..., Method], classifier: Classifier, momentum: float = 0.0, **options: float) -> Descent:
    algorithm = method(**options).build(classifier, partial(SGD, lr=0.1, momentum=momentum))
    assert isinstance(algorithm, Descent)
    return algorithm


def batches() -> tuple[Batch, Batch]:
    return batch(7)._replace(index=torch.tensor([4, 0, 9, 2, 1, 7, 3])), batch(5)


def step(algorithm: Descent, noisy: Batch, clean: Batch, seed: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return algorithm.step(noisy, clean)


@each_method
def test_clean_weight_adds_the_clean_cross_entropy_to_the_real_step(method: Callable[..., Method]) -> None:
    classifier, (noisy, clean) = Dense(), batches()
    gradients = torch.autograd.grad(F.cross_entropy(classifier(clean.x).logits, clean.y), list(classifier.parameters()))
    without, weighted = (build(method, copy.deepcopy(classifier), clean_weight=weight) for weight in (0.0, 0.3))
    losses = [step(algorithm, noisy, clean)["loss"] for algorithm in (without, weighted)]
    expected = 0.3 * F.cross_entropy(classifier(clean.x).logits, clean.y).detach()
    torch.testing.assert_close(losses[1] - losses[0], expected)
    for a, b, g in zip(without.weights, weighted.weights, gradients, strict=True):
        torch.testing.assert_close((b - a).detach(), -0.1 * 0.3 * g)


@pytest.mark.parametrize("method", [Mixup, ELR])
def test_clean_batch_is_ignored_without_a_clean_weight(method: Callable[..., Method]) -> None:
    noisy, _ = batches()
    broken = Batch(torch.full_like(noisy.x, float("nan")), noisy.y)
    assert build(method, Dense(), clean_weight=0.0).step(noisy, broken)["gradient_norm"].isfinite()


@each_method
def test_batch_norm_statistics_are_updated_once_per_step(method: Callable[..., Method]) -> None:
    classifier, (noisy, clean) = Dense(nn.BatchNorm1d), batches()
    build(method, classifier, clean_weight=0.5).step(noisy, clean)
    assert classifier.trunk[1].num_batches_tracked == 1


@each_method
def test_non_finite_batch_is_skipped_and_too_many_raise(method: Callable[..., Method]) -> None:
    algorithm, (noisy, clean) = build(method, Dense(nn.BatchNorm1d), max_skipped=3), batches()
    algorithm.step(noisy, clean)
    before = copy.deepcopy(algorithm.state_dict())
    broken = noisy._replace(x=torch.full_like(noisy.x, float("nan")))
    with pyro.validation_enabled(False):
        for _ in range(2):
            assert not algorithm.step(broken, clean)["loss"].isfinite()
        after = copy.deepcopy(algorithm.state_dict())
        assert after.pop("guard") == {"skipped": 2, "in_a_row": 2}
        before.pop("guard")
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        with pytest.raises(NonFiniteError, match="non-finite for 3 consecutive steps"):
            algorithm.step(broken, clean)


@each_method
def test_restored_state_takes_the_same_next_steps(method: Callable[..., Method]) -> None:
    noisy, clean = batches()
    algorithm = build(method, Dense(nn.BatchNorm1d, 0.5), momentum=0.9)
    for _ in range(3):
        algorithm.step(noisy, clean)
    file = io.BytesIO()
    torch.save(algorithm.state_dict(), file)
    random_state = torch.get_rng_state()
    expected = [algorithm.step(noisy, clean) for _ in range(3)]
    restored = build(method, Dense(nn.BatchNorm1d, 0.5), momentum=0.9)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    torch.set_rng_state(random_state)
    torch.testing.assert_close([restored.step(noisy, clean) for _ in range(3)], expected, rtol=0, atol=0)


@each_method
def test_negative_clean_weight_raises(method: Callable[..., Method]) -> None:
    with pytest.raises(UserError, match="clean_weight is -1"):
        build(method, Dense(), clean_weight=-1.0)


@each_method
def test_optimiser_without_all_parameters_raises(method: Callable[..., Method]) -> None:
    with pytest.raises(UserError, match="optimiser does not contain"):
        method().build(Dense(), lambda parameters: SGD(list(parameters)[:1], lr=0.1))
