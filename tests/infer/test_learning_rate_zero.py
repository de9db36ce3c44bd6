"""A bi-level step at the learning rate 0, which a cyclic schedule passes through."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam, Optimizer

from vri_pyro.infer.hypergradient import Hypergradient, SplitFiniteDifference, SplitJVP, SplitVJP, Unrolled

from .contracts import Recorder
from .problems import Case, seeded

# PyTorch scripts its forward-mode decompositions on their first use, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("strategy", [Unrolled, SplitJVP, SplitVJP, SplitFiniteDifference])
def test_only_the_kl_moves_guide_and_prior_and_nothing_moves_the_classifier(
    strategy: type[Hypergradient], optimizer: type[Optimizer]
) -> None:
    """The virtual step goes nowhere, so the clean loss has no gradient; what is left is β times that of the KL."""
    case = Case(inner_optimizer=partial(optimizer, lr=0.0), options={"outer_kl_weight": 0.3})
    algorithm, noisy, clean = seeded(case, strategy())
    output = algorithm.classifier(noisy.x)
    seen = output._replace(features=output.features.detach())
    kl = algorithm.elbo.terms(algorithm.model, algorithm.guide, seen, noisy.y).kl["v"].mean()
    expected = torch.autograd.grad(0.3 * kl, [*algorithm.model.parameters(), *algorithm.guide.parameters()])
    before = [p.detach().clone() for p in algorithm.classifier.parameters()]

    algorithm.hypergradient = recorder = Recorder(strategy())
    metrics = algorithm.step(noisy, clean)
    torch.testing.assert_close(recorder.gradients, list(expected))
    assert all(value.isfinite() for value in metrics.values())
    assert algorithm.skipped == 0
    for p, old in zip(algorithm.classifier.parameters(), before, strict=True):
        assert torch.equal(p, old)
