"""Tests of the meta gradient's squared norm against its definition and over enumerated samples."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, autograd, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.backbones import MLP
from vri_pyro.data.batch import Batch
from vri_pyro.diagnostics import meta_gradient_squared_norm, squared_norm_of_mean
from vri_pyro.guides import DiagonalNormal, DiracVector
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.models import Rectification, StandardNormal
from vri_pyro.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:FutureWarning", "ignore::vri_pyro.infer.bilevel.StructuralZeroWarning"
)
INPUTS, CLASSES, RATE = 4, 3, 0.3


def batch(size: int) -> Batch:
    return Batch(torch.randn(size, INPUTS), torch.randint(CLASSES, (size,)))


def posed(guide: type[nn.Module] = DiracVector, outer_kl_weight: float = 0.0) -> BilevelSVI:
    classifier = MLP((INPUTS,), CLASSES, hidden=(5,)).double()
    model = Rectification(5, CLASSES, StandardNormal)
    pair = model, guide(5, CLASSES, hidden=(4,))  # type: ignore[call-arg]
    return BilevelSVI(
        classifier,
        *pair,
        SGD(classifier.parameters(), lr=RATE),
        SGD(pair[1].parameters(), lr=0.1),
        elbo=RectificationELBO(),
        outer_kl_weight=outer_kl_weight,
    )


def gradient_of_meta_loss(algorithm: BilevelSVI, noisy: list[Batch], clean: Batch) -> Tensor:
    """Gradient ∇_φ of the mean of G(w - α∇ℓ(w, φ)) over ``noisy``, from the definition, for a deterministic guide."""
    classifier, guide = algorithm.classifier, algorithm.guide
    weights = dict(classifier.named_parameters())
    losses = []
    for x, y, *_ in noisy:
        output = classifier(x)
        vector = guide.posterior(output._replace(features=output.features.detach()), y).mean
        inner = F.cross_entropy(vector.sigmoid() * output.logits, y)
        steps = autograd.grad(inner, list(weights.values()), create_graph=True)
        moved = {name: p - RATE * g for (name, p), g in zip(weights.items(), steps, strict=True)}
        losses.append(F.cross_entropy(functional_call(classifier, moved, (clean.x,)).logits, clean.y))
    gradients = autograd.grad(torch.stack(losses).mean(), list(guide.parameters()))
    return torch.cat([g.flatten() for g in gradients])


def test_estimate_is_the_mean_product_of_different_draws() -> None:
    draws = torch.randn(4, 3)
    products = [draws[i] @ draws[j] for i, j in product(range(4), repeat=2) if i != j]
    torch.testing.assert_close(squared_norm_of_mean(draws), torch.stack(products).mean())


@pytest.mark.parametrize("count", [2, 3])
def test_estimate_is_unbiased(count: int) -> None:
    population = torch.randn(3, 5)  # uniform over three values, so all samples can be enumerated
    estimates = [squared_norm_of_mean(population[list(chosen)]) for chosen in product(range(3), repeat=count)]
    torch.testing.assert_close(torch.stack(estimates).mean(), population.mean(0).square().sum())


def test_estimate_without_noise_equals_the_squared_norm_of_the_exact_gradient() -> None:
    algorithm, noisy, clean = posed(), batch(6), batch(7)
    expected = gradient_of_meta_loss(algorithm, [noisy], clean).square().sum()
    torch.testing.assert_close(meta_gradient_squared_norm(algorithm, [noisy, noisy], clean), expected)


def test_mean_estimate_over_batches_belongs_to_the_mean_meta_loss() -> None:
    algorithm, clean = posed(), batch(7)
    batches = [batch(4) for _ in range(3)]
    pairs = [meta_gradient_squared_norm(algorithm, pair, clean) for pair in product(batches, repeat=2)]
    expected = gradient_of_meta_loss(algorithm, batches, clean).square().sum()
    torch.testing.assert_close(torch.stack(pairs).mean(), expected)


def test_guide_noise_does_not_bias_the_estimate() -> None:
    algorithm, noisy, clean = posed(DiagonalNormal), batch(6), batch(7)
    draws = torch.stack([_flat(algorithm.outer_gradients(noisy, clean)) for _ in range(150)])
    estimates = torch.stack([meta_gradient_squared_norm(algorithm, [noisy, noisy], clean) for _ in range(150)])
    error = 3**0.5 * estimates.std() / 150**0.5  # standard error of the difference of the two estimates
    assert (estimates.mean() - RATE**2 * squared_norm_of_mean(draws)).abs() < 4 * error
    assert RATE**2 * draws.square().sum(1).mean() > estimates.mean() + 4 * error


def _flat(gradients: list[Tensor | None]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients if g is not None])


def test_outer_kl_and_single_batch_raise() -> None:
    with pytest.raises(UserError, match=r"outer_kl_weight is 0\.5, so the outer gradient includes the KL's gradient"):
        meta_gradient_squared_norm(posed(outer_kl_weight=0.5), [batch(2), batch(2)], batch(2))
    with pytest.raises(UserError, match="the number of independent gradients is 1; expected at least 2"):
        meta_gradient_squared_norm(posed(), [batch(2)], batch(2))
