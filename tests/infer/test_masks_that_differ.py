"""The KL of a site that guide and model mask differently, against its expectation written out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor

from vri_pyro.infer.elbo import RectificationELBO

BATCH = 5
PARTICLES = 40_000
SOME, OTHERS = torch.tensor([True, False, True, False, True]), torch.tensor([True, True, False, False, True])
MASKS: dict[str, tuple[Tensor | None, Tensor | None]] = {
    "the model's alone": (None, SOME),
    "the guide's alone": (SOME, None),
    "two masks": (SOME, OTHERS),
}
differing = pytest.mark.parametrize(("guide_mask", "model_mask"), MASKS.values(), ids=MASKS.keys())


def _masking(mask: Tensor | None) -> AbstractContextManager:
    return nullcontext() if mask is None else poutine.mask(mask=mask)


class Normals:
    """A normal latent per example in guide and model, with a mask on each side; the label depends on it."""

    def __init__(self, guide_mask: Tensor | None, model_mask: Tensor | None) -> None:
        self.guide_mask, self.model_mask = guide_mask, model_mask
        self.mean, self.log_std = (torch.randn(BATCH).requires_grad_() for _ in range(2))
        self.prior_mean, self.prior_log_std = (torch.randn(BATCH).requires_grad_() for _ in range(2))

    @property
    def leaves(self) -> list[Tensor]:
        return [self.mean, self.log_std, self.prior_mean, self.prior_log_std]

    def guide(self) -> None:
        with pyro.plate("data", BATCH), _masking(self.guide_mask):
            pyro.sample("z", dist.Normal(self.mean, self.log_std.exp()))

    def model(self) -> None:
        with pyro.plate("data", BATCH):
            with _masking(self.model_mask):
                z = pyro.sample("z", dist.Normal(self.prior_mean, self.prior_log_std.exp()))
            pyro.sample("y", dist.Bernoulli(logits=z), obs=torch.ones(BATCH))

    def expected_kl(self) -> Tensor:
        """E_q[mask_q · log q(z) − mask_p · log p(z)] per example, [batch]: entropies of normals, by hand."""
        variance, prior_variance = (2 * self.log_std).exp(), (2 * self.prior_log_std).exp()
        log_q = -0.5 * (2 * math.pi * variance).log() - 0.5
        spread = (self.mean - self.prior_mean).square() + variance
        log_p = -0.5 * (2 * math.pi * prior_variance).log() - spread / (2 * prior_variance)
        counted = [torch.ones(BATCH) if mask is None else mask for mask in (self.guide_mask, self.model_mask)]
        return counted[0] * log_q - counted[1] * log_p


@differing
def test_kl_and_its_gradient_have_the_expectation_of_the_masked_log_ratio(
    guide_mask: Tensor | None, model_mask: Tensor | None
) -> None:
    pair = Normals(guide_mask, model_mask)
    terms = RectificationELBO(num_particles=PARTICLES).terms(pair.model, pair.guide)
    assert terms.estimator["z"] == "monte carlo"
    expected = pair.expected_kl()
    # The draws' standard error is about 0.01 of the largest term.
    torch.testing.assert_close(terms.kl["z"], expected, rtol=0.05, atol=0.05)
    ours = torch.autograd.grad(terms.total_kl(), pair.leaves, allow_unused=True, materialize_grads=True)
    theirs = torch.autograd.grad(expected.sum(), pair.leaves, allow_unused=True, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0.1, atol=0.1)


@differing
def test_kl_is_the_masked_log_ratio_at_the_drawn_value(guide_mask: Tensor | None, model_mask: Tensor | None) -> None:
    pair = Normals(guide_mask, model_mask)
    estimator = RectificationELBO(max_plate_nesting=1)
    torch.manual_seed(3)
    kl = estimator.terms(pair.model, pair.guide).kl["z"]
    torch.manual_seed(3)
    q, p = dist.Normal(pair.mean, pair.log_std.exp()), dist.Normal(pair.prior_mean, pair.prior_log_std.exp())
    z = q.rsample()
    log_q, log_p = (d.log_prob(z) if m is None else d.log_prob(z) * m for d, m in ((q, guide_mask), (p, model_mask)))
    torch.testing.assert_close(kl, log_q - log_p)


@pytest.mark.parametrize("make", [lambda: SOME, lambda: None], ids=["masked", "not masked"])
def test_one_mask_for_both_leaves_the_closed_form(make: Callable[[], Tensor | None]) -> None:
    mask = make()
    pair = Normals(mask, mask)
    terms = RectificationELBO().terms(pair.model, pair.guide)
    assert terms.estimator["z"] == "analytic"
    torch.testing.assert_close(terms.kl["z"], pair.expected_kl())
