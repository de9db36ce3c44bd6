"""Tests that the peers of ``experiments/step_cost.py`` do the same work as the engine."""

from __future__ import annotations

import pytest
import torch
from peers_of_the_engine import PEERS, ExactPeer, Task, missing_library
from torch import Tensor

from vri_pyro.backbones import SmallCNN
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.hypergradient import SplitJVP
from vri_pyro.models import Rectification

STEPS = 3


@pytest.fixture(autouse=True)
def double_precision() -> object:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def task() -> Task:
    torch.manual_seed(0)
    classifier = SmallCNN((3, 8, 8), 4, channels=(4, 8), feature_dim=6)
    model, guide = Rectification(6, 4), DiagonalNormal(6, 4, hidden=(8,))
    noisy, clean = (Batch(torch.randn(n, 3, 8, 8), torch.randint(4, (n,))) for n in (12, 7))
    inner = torch.optim.SGD(classifier.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    outer = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=3e-4)
    return Task(classifier, model, guide, inner, outer, noisy, clean)


def engine(task: Task) -> BilevelSVI:
    parts = task.classifier, task.model, task.guide, task.inner_optimizer, task.outer_optimizer
    return BilevelSVI(*parts, clean_weight=0.0, hypergradient=SplitJVP(), share_forward=False)


def peer(name: str, task: Task) -> ExactPeer:
    if missing := missing_library(name):
        pytest.skip(f"{missing} is not installed")
    made = PEERS[name](task)
    assert isinstance(made, ExactPeer)
    return made


EXACT = [name for name, kind in PEERS.items() if kind.exact]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_exact_peer_has_the_meta_gradient_of_the_engine(name: str) -> None:
    ours, theirs = task(), task()
    svi, other = engine(ours), peer(name, theirs)
    torch.manual_seed(1)
    expected = svi.outer_gradients(ours.noisy, ours.clean)
    torch.manual_seed(1)
    found = other.meta_gradient()
    assert max(float(g.abs().max()) for g in expected) > 1e-4
    torch.testing.assert_close(list(found), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_exact_peer_takes_the_steps_of_the_engine(name: str) -> None:
    """The second and third step have momentum. BOAT draws random numbers once more for its log."""
    ours, theirs = task(), task()
    svi, other = engine(ours), peer(name, theirs)
    for step in range(STEPS):
        torch.manual_seed(step)
        svi.step(ours.noisy, ours.clean)
        torch.manual_seed(step)
        other.step()
    if name != "BOAT":
        torch.testing.assert_close(_state(theirs), _state(ours), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in PEERS if name not in EXACT])
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_peer_that_is_not_exact_updates_guide_prior_and_classifier(name: str) -> None:
    if missing := missing_library(name):
        pytest.skip(f"{missing} is not installed")
    theirs, before = task(), _state(task())
    PEERS[name](theirs).step()
    assert all((a != b).any() for a, b in zip(_state(theirs), before, strict=True))


def _state(task: Task) -> list[Tensor]:
    return [p.detach() for p in (*task.weights, *task.hyper)]
