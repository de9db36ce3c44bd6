"""Mixup passes over the clean set: their schedule, their inputs and their optimiser."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.backbones import MLP
from vri_pyro.guides import NoLatents
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import OptimizerFactory, Stage
from vri_pyro.methods.single_level import SingleLevel
from vri_pyro.models import CrossEntropy
from vri_pyro.runs.configuration import FineTuning, SplitSizes
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.utils.errors import UserError

from .spies import Spy, Spying, cross_entropy, sgd

Run = Callable[..., dict[str, Any]]


class Watching(Spying):
    """Records its supervised steps: the number of steps before, the inputs and the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[tuple[int, Tensor, float]] = []

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Spy:
        spy = super().build(classifier, optimizer)

        def supervised_step(x: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
            value = loss(torch.zeros(len(x), 10))
            self.mixed.append((len(spy.seen), x, value.item()))
            return value

        spy.supervised_step = supervised_step  # type: ignore[method-assign]
        return spy


class Prepared(Watching):
    """Has a stage before the main one."""

    def __init__(self) -> None:
        super().__init__()
        self.before = Watching()

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        return {"estimation": Stage(self.before, stage.optimizer, epochs=2), name: stage}


def test_pass_over_the_clean_set_follows_every_second_epoch(run: Run, folder: Path) -> None:
    method = Watching()
    run(method=method, epochs=5, clean_batch_size=8, clean_mixup=CleanMixup(every=2, epochs=3))
    # 20 clean examples make 2 full batches of 8; an epoch has 4 steps.
    assert [steps for steps, _, _ in method.mixed] == [8] * 6 + [16] * 6
    assert all(len(x) == 8 for _, x, _ in method.mixed)
    with open(folder / "metrics.csv", newline="") as file:
        reported = [row["clean_mixup_loss"] for row in csv.DictReader(file)]
    assert [bool(loss) for loss in reported] == [False, True, False, True, False]
    assert float(reported[1]) == pytest.approx(math.log(10), rel=1e-5)  # all logits are equal


def test_passes_differ_from_each_other_and_depend_on_the_seed(run: Run, tmp_path: Path) -> None:
    methods = Watching(), Watching()
    for number, method in enumerate(methods):
        run(method=method, epochs=4, clean_mixup=CleanMixup(every=2), output=tmp_path / str(number))
    one, other = (torch.stack([x for _, x, _ in method.mixed]) for method in methods)
    assert torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


def test_passes_run_in_the_main_stage_only(run: Run) -> None:
    first, second, third = Watching(), Watching(), Watching()
    warm_up, fine_tuning = Stage(first, sgd(0.1), epochs=2), FineTuning(third, sgd(0.1), epochs=2)
    run(method=second, epochs=2, clean_mixup=CleanMixup(every=1), warm_up=warm_up, fine_tuning=fine_tuning)
    assert (len(first.mixed), len(second.mixed), len(third.mixed)) == (0, 2, 0)


def test_preparatory_stages_of_a_method_have_no_passes(run: Run) -> None:
    method = Prepared()
    run(method=method, epochs=2, clean_mixup=CleanMixup(every=1))
    assert (len(method.before.mixed), len(method.mixed)) == (0, 2)


def test_supervised_step_moves_only_the_classifier_with_its_own_optimiser() -> None:
    classifier = MLP((4,), 3, hidden=(5,)).double()
    twin = MLP((4,), 3, hidden=(5,)).double()
    twin.load_state_dict(classifier.state_dict())

    class Wide(CrossEntropy):
        def __init__(self) -> None:
            super().__init__(1, 1)
            self.scale = nn.Parameter(torch.ones(()))

    model = Wide()
    optimizer = torch.optim.SGD([*classifier.parameters(), *model.parameters()], lr=0.3, momentum=0.9, weight_decay=0.1)
    algorithm = SingleLevelSVI(classifier, model, NoLatents(1, 1), optimizer)
    plain = torch.optim.SGD(twin.parameters(), lr=0.3, momentum=0.9, weight_decay=0.1)
    x, y = torch.randn(6, 4).double(), torch.arange(6) % 3
    for _ in range(3):
        found = algorithm.supervised_step(x, lambda logits: F.cross_entropy(logits, y))
        plain.zero_grad()
        loss = F.cross_entropy(twin(x).logits, y)
        loss.backward()
        plain.step()
        assert found.item() == pytest.approx(loss.item(), rel=1e-12)
    for one, other in zip(classifier.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert model.scale.item() == 1


def test_non_finite_supervised_step_is_skipped_and_counted() -> None:
    classifier = MLP((4,), 3, hidden=(5,))
    method = SingleLevel(CrossEntropy, NoLatents)
    algorithm = method.build(classifier, sgd(0.1))
    before = classifier.head.weight.clone()
    algorithm.supervised_step(torch.ones(2, 4), lambda logits: logits.sum() * math.inf)
    assert torch.equal(classifier.head.weight, before)
    assert algorithm.skipped == 1


def test_mixtures_lie_between_clean_examples(run: Run) -> None:
    method = Watching()
    run(method=method, epochs=1, clean_mixup=CleanMixup(every=1, alpha=5.0))
    clean = method.spy.seen[0].clean.x  # the whole clean set, which is smaller than a batch
    for _, x, _ in method.mixed:
        assert len(x) == len(clean) == 20
        assert (x <= clean.amax(0) + 1e-6).all()
        assert (x >= clean.amin(0) - 1e-6).all()
        torch.testing.assert_close(x.mean(0), clean.mean(0))  # mixing with a permutation preserves the mean
        assert not torch.isclose(torch.cdist(x.flatten(1), clean.flatten(1)).amin(), torch.zeros(()))


def test_passes_fit_the_clean_set(run: Run, folder: Path) -> None:
    run(optimizer=sgd(0.3), epochs=6, clean_mixup=CleanMixup(every=1, epochs=20))
    with open(folder / "metrics.csv", newline="") as file:
        losses = [float(row["clean_mixup_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"every": 0}, "clean_mixup.every is 0; expected a value >= 1"),
        ({"epochs": 0}, "clean_mixup.epochs is 0; expected a value >= 1"),
        ({"alpha": 0.0}, "clean_mixup.alpha is 0.0; expected a value > 0"),
        ({"alpha": math.nan}, "clean_mixup.alpha is nan; expected a value > 0"),
    ],
)
def test_values_out_of_range_raise(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        CleanMixup(**changes)


def test_clean_mixup_without_a_clean_set_raises(run: Run, folder: Path) -> None:
    split = SplitSizes(clean_per_class=0, validation_per_class=0, noisy_size=200)
    with pytest.raises(
        UserError, match=r"training needs clean examples but the split has none; set split\.clean_per_class"
    ):
        run(method=cross_entropy(), split=split, clean_mixup=CleanMixup())
    assert not folder.exists()
