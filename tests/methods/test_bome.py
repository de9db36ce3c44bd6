"""BOME: guide and classifier follow the clean loss and the gap of the noisy loss to a few steps ahead."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from infer.toys import IMAGE, Convolutional, Dense, batch, diagonal_normal, rectification
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.guides import LabelCorrection, NoLatents
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods import BOME
from vri_pyro.methods.bome import BOMEDescent
from vri_pyro.models import CorrectedCrossEntropy, CrossEntropy
from vri_pyro.utils.errors import UserError


def _bome(classifier: Classifier, **options: Any) -> BOMEDescent:
    guide = partial(LabelCorrection, hidden=(4,))
    return BOME(CorrectedCrossEntropy, guide, partial(SGD, lr=0.5), **options).build(classifier, partial(SGD, lr=0.1))


@pytest.mark.parametrize(("steps", "rate"), [(1, None), (3, 0.2)])
@pytest.mark.parametrize("barrier", [0.5, 100.0, 0.0])
def test_step_is_that_of_the_paper(steps: int, rate: float | None, barrier: float) -> None:
    classifier, noisy, clean = Dense(), batch(7), batch(6)
    algorithm = _bome(classifier, inner_steps=steps, inner_rate=rate, barrier=barrier)
    reference, guide = copy.deepcopy(classifier), copy.deepcopy(algorithm.guide)
    metrics = algorithm.step(noisy, clean)

    def inner(w: dict[str, torch.Tensor]) -> torch.Tensor:
        output = functional_call(reference, w, (noisy.x,))
        soft = guide.network(guide.inputs(output._replace(features=output.features.detach()), noisy.y))
        return F.cross_entropy(output.logits, soft)

    w, phi = dict(reference.named_parameters()), list(guide.parameters())
    moved = {name: p.detach().requires_grad_() for name, p in w.items()}
    for _ in range(steps):
        gradients = torch.autograd.grad(inner(moved), list(moved.values()))
        moved = {
            name: (p - (0.1 if rate is None else rate) * g).detach().requires_grad_()
            for (name, p), g in zip(moved.items(), gradients, strict=True)
        }
    gap = inner(w) - inner({name: p.detach() for name, p in moved.items()})
    weights = list(w.values())
    gap_gradient = torch.autograd.grad(gap, [*weights, *phi])
    f = F.cross_entropy(reference(clean.x).logits, clean.y)
    clean_gradient = torch.autograd.grad(f, weights)
    alignment = sum((a * b).sum() for a, b in zip(clean_gradient, gap_gradient, strict=False))
    multiplier = max(torch.zeros(()), barrier - alignment / sum(g.square().sum() for g in gap_gradient))
    torch.testing.assert_close(metrics["multiplier"], multiplier)
    torch.testing.assert_close(metrics["gap"], gap.detach())
    torch.testing.assert_close(metrics["meta_loss"], f.detach())
    for now, then, a, b in zip(classifier.parameters(), weights, clean_gradient, gap_gradient, strict=False):
        torch.testing.assert_close(now.detach(), then.detach() - 0.1 * (a + multiplier * b))
    for now, then, b in zip(algorithm.guide.parameters(), phi, gap_gradient[len(weights) :], strict=True):
        torch.testing.assert_close(now.detach(), then.detach() - 0.5 * multiplier * b)


def test_both_terms_of_the_gap_have_the_same_random_numbers() -> None:
    method = BOME(rectification, diagonal_normal, partial(SGD, lr=0.5), inner_steps=1, inner_rate=0.0)
    algorithm = method.build(Dense(), partial(SGD, lr=0.1))
    metrics = algorithm.step(batch(7), batch(6))
    torch.testing.assert_close(metrics["gap"], torch.zeros(()))
    torch.testing.assert_close(metrics["hypergradient_norm"], torch.zeros(()))


def test_guide_with_random_latents_and_images_are_trained_on() -> None:
    method = BOME(rectification, diagonal_normal, partial(SGD, lr=0.5), inner_steps=2, num_particles=2)
    metrics = method.build(Convolutional(), partial(SGD, lr=0.1)).step(batch(7, IMAGE), batch(6, IMAGE))
    assert metrics["hypergradient_norm"] > 0
    assert all(value.isfinite() for name, value in metrics.items())


def test_state_restores_the_next_step() -> None:
    noisy, clean = batch(7), batch(6)
    algorithm, other = _bome(Dense(), inner_steps=1), _bome(Dense(), inner_steps=1)
    algorithm.step(noisy, clean)
    other.load_state_dict(copy.deepcopy(algorithm.state_dict()))
    found, expected = other.step(noisy, clean), algorithm.step(noisy, clean)
    found, expected = ({k: v for k, v in m.items() if "std" not in k} for m in (found, expected))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_non_finite_step_updates_nothing() -> None:
    classifier, noisy, clean = Dense(), batch(7), batch(6)
    algorithm = _bome(classifier, inner_steps=1)
    before = copy.deepcopy([classifier.state_dict(), algorithm.guide.state_dict()])
    algorithm.step(noisy, clean._replace(x=clean.x / 0))
    assert algorithm.skipped == 1
    torch.testing.assert_close([classifier.state_dict(), algorithm.guide.state_dict()], before, rtol=0, atol=0)


def test_pair_without_parameters_and_invalid_options_raise() -> None:
    with pytest.raises(UserError, match="model and guide have no trainable parameters"):
        BOME(CrossEntropy, NoLatents, lambda _: SGD([torch.zeros(1)], lr=0.1)).build(Dense(), partial(SGD, lr=0.1))
    with pytest.raises(UserError, match="inner_steps is 0"):
        _bome(Dense(), inner_steps=0)
    with pytest.raises(UserError, match="barrier is -1"):
        _bome(Dense(), barrier=-1.0)
