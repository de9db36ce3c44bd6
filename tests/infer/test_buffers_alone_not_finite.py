"""A step whose loss and gradient are finite, and of which only a buffer of the classifier overflows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import SGD, Adam

from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.classifier import ClassifierOutput

from .toys import Dense, batch, diagonal_normal, rectification

# PyTorch scripts its forward-mode decompositions on their first use, and warns about its own call.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

HUGE = 100.0


class Peak(Dense):
    """Remembers the greatest input in a buffer, which overflows above a limit and enters nothing else."""

    peak: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("peak", torch.zeros(()))

    def forward(self, x: Tensor) -> ClassifierOutput:
        greatest = x.detach().max()
        self.peak = torch.where(greatest < HUGE, torch.maximum(self.peak, greatest), torch.inf)
        return super().forward(x)


def _bilevel(classifier: Peak, max_skipped: int) -> BilevelSVI:
    model, guide = rectification(classifier.feature_dim), diagonal_normal(classifier.feature_dim)
    outer = Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
    inner = SGD(classifier.parameters(), lr=0.1)
    return BilevelSVI(classifier, model, guide, inner, outer, max_skipped=max_skipped)


def _single_level(classifier: Peak, max_skipped: int) -> SingleLevelSVI:
    model, guide = rectification(classifier.feature_dim), diagonal_normal(classifier.feature_dim)
    optimizer = SGD([*classifier.parameters(), *model.parameters(), *guide.parameters()], lr=0.1)
    return SingleLevelSVI(classifier, model, guide, optimizer, max_skipped=max_skipped)


def _step(algorithm: Algorithm, x: Tensor, y: Tensor) -> None:
    noisy = batch(len(y))
    algorithm.step(noisy._replace(x=x, y=y), batch(5))


def _supervised_step(algorithm: Algorithm, x: Tensor, y: Tensor) -> None:
    algorithm.supervised_step(x, lambda logits: F.cross_entropy(logits, y))


Build = Callable[[Peak, int], Algorithm]
Step = Callable[[Algorithm, Tensor, Tensor], None]
WAYS = {
    "BilevelSVI": (_bilevel, _step),
    "SingleLevelSVI": (_single_level, _step),
    "supervised step": (_bilevel, _supervised_step),
}
every_way = pytest.mark.parametrize(("build", "step"), WAYS.values(), ids=WAYS.keys())


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, the same with one entry that makes the buffer overflow, and labels."""
    drawn = batch()
    huge = drawn.x.clone()
    huge[0, 0] = 2 * HUGE
    return drawn.x, huge, drawn.y


@every_way
def test_classifier_and_its_buffers_stay_as_they_are(build: Build, step: Step) -> None:
    x, huge, y = _inputs()
    algorithm = build(Peak(), 3)
    step(algorithm, x, y)
    assert algorithm.classifier.peak == x.max()
    before = {name: value.clone() for name, value in algorithm.classifier.state_dict().items()}
    step(algorithm, huge, y)
    assert algorithm.skipped == 1
    for name, value in algorithm.classifier.state_dict().items():
        assert torch.equal(value, before[name]), name


@every_way
def test_completed_step_starts_the_count_of_skipped_ones_anew(build: Build, step: Step) -> None:
    x, huge, y = _inputs()
    algorithm = build(Peak(), 2)
    for _ in range(3):
        step(algorithm, huge, y)
        step(algorithm, x, y)
    assert algorithm.skipped == 3
    step(algorithm, huge, y)
    with pytest.raises(NonFiniteError, match=r"^buffers: .* 2 "):
        step(algorithm, huge, y)
