"""Half precision, decisions on the device, and learning rates as tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pyro
import pytest
import torch
from on_gpu.sections import Reads
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vri_pyro.backbones import MLP, SmallCNN
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.functional import classifier_output
from vri_pyro.infer.guard import FiniteGuard
from vri_pyro.infer.hypergradient import SplitJVP, SplitVJP
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.models import Rectification
from vri_pyro.utils.device import set_speed
from vri_pyro.utils.errors import UserError

CLASSES = 4


@pytest.fixture(autouse=True)
def single_precision_without_validation() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    with pyro.validation_enabled(False):  # validation reads values
        yield
    torch.set_default_dtype(before)


def _algorithm(classifier: Classifier, fused: bool = False, lr: Any = 0.05, **options: Any) -> BilevelSVI:
    shape = classifier.feature_dim, CLASSES
    torch.manual_seed(1)
    model, guide = Rectification(*shape), DiagonalNormal(*shape, hidden=(16,))
    inner = SGD(classifier.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3, fused=fused)
    outer = Adam([*model.parameters(), *guide.parameters()], lr=1e-2, fused=fused)
    return BilevelSVI(classifier, model, guide, inner, outer, **options)


def _batches(shape: tuple[int, ...], size: int = 12) -> tuple[Batch, Batch]:
    generator = torch.Generator().manual_seed(0)
    made = [
        Batch(torch.randn(size, *shape, generator=generator), torch.randint(CLASSES, (size,), generator=generator))
        for _ in range(2)
    ]
    return made[0], made[1]


def _cnn() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN((1, 8, 8), CLASSES, channels=(8, 8))


@pytest.mark.parametrize("strategy", [SplitJVP, SplitVJP])
def test_autocast_changes_a_step_by_no_more_than_the_error_of_bfloat16(strategy: type) -> None:
    whole, half = _cnn(), _cnn()
    half.autocast = torch.bfloat16
    found = []
    for classifier in (whole, half):
        algorithm = _algorithm(classifier, hypergradient=strategy())
        torch.manual_seed(2)
        gradients = algorithm.outer_gradients(*_batches((1, 8, 8)))
        found.append(torch.cat([g.flatten() for g in gradients if g is not None]))
    error = float((found[0] - found[1]).norm() / found[0].norm())
    assert 0 < error < 0.05  # bfloat16 has 8 bits of mantissa: 0.4% an operation


def test_under_autocast_all_that_is_outside_the_classifier_stays_in_single_precision() -> None:
    classifier = _cnn()
    classifier.autocast = torch.bfloat16
    inside: list[torch.dtype] = []
    classifier.head.register_forward_hook(lambda _m, _i, output: inside.append(output.dtype))
    algorithm = _algorithm(classifier)
    seen: list[torch.dtype] = []
    algorithm.guide.register_forward_pre_hook(lambda _, args: seen.append(args[0].logits.dtype))
    metrics = algorithm.step(*_batches((1, 8, 8)))
    assert torch.bfloat16 in inside
    assert set(seen) == {torch.float32}
    assert all(value.dtype == torch.float32 for value in metrics.values())
    assert all(p.dtype == torch.float32 for p in classifier.parameters())


@pytest.mark.parametrize("options", [{}, {"late": True}, {"share_forward": False}])
def test_a_step_of_fused_optimisers_reads_from_the_device_once(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), fused=True, **options)
    noisy, clean = _batches((5,))
    for _ in range(12):  # the first steps check the adjoint identity
        algorithm.step(noisy, clean)
    read: list[Any] = []
    original: Callable[..., dict[str, float]] = FiniteGuard.read
    monkeypatch.setattr(FiniteGuard, "read", staticmethod(lambda metrics: read.append(1) or original(metrics)))
    monkeypatch.setattr("vri_pyro.infer.bilevel.check_batch", lambda *_: None)  # reads labels on the CPU only
    with Reads() as readings:
        algorithm.step(noisy, clean)
    assert (len(read), readings.count) == (1, 0)


@pytest.mark.parametrize("late", [False, True])
def test_fused_optimisers_take_the_steps_of_the_others(late: bool) -> None:
    weights = []
    for fused in (False, True):
        torch.manual_seed(0)
        algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)).double(), fused=fused, late=late)
        for part in (algorithm.model, algorithm.guide):
            part.double()
        noisy, clean = (batch._replace(x=batch.x.double()) for batch in _batches((5,)))
        torch.manual_seed(3)
        for _ in range(5):
            algorithm.step(noisy, clean)
        both = (*algorithm.classifier.parameters(), *algorithm.guide.parameters())
        weights.append(torch.cat([p.detach().flatten() for p in both]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-10, atol=1e-12)


def _everything(algorithm: BilevelSVI) -> list[Tensor]:
    optimizers = (algorithm.inner_optimizer, algorithm.outer_optimizer)
    states = [v for optimizer in optimizers for state in optimizer.state.values() for v in state.values()]
    return [t.detach().clone() for t in (*algorithm.classifier.parameters(), *algorithm.guide.parameters(), *states)]


def test_a_non_finite_batch_changes_nothing_although_fused_optimisers_decide_on_the_device() -> None:
    torch.manual_seed(0)
    algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), fused=True)
    noisy, clean = _batches((5,))
    for _ in range(12):
        algorithm.step(noisy, clean)
    before = _everything(algorithm)
    algorithm.step(noisy._replace(x=noisy.x * torch.inf), clean)
    for was, now in zip(before, _everything(algorithm), strict=True):
        torch.testing.assert_close(now, was, rtol=0, atol=0)
    assert algorithm.skipped == 1
    algorithm.step(noisy, clean)
    assert algorithm.skipped == 1
    assert not torch.equal(_everything(algorithm)[0], before[0])


def test_a_skipped_first_step_leaves_the_momentum_of_a_fused_optimiser_alone() -> None:
    torch.manual_seed(0)
    algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), fused=True)
    noisy, clean = _batches((5,))
    start = copy.deepcopy(algorithm.classifier.state_dict())
    algorithm.check(noisy, clean)
    algorithm.step(noisy._replace(x=noisy.x * torch.inf), clean)
    assert algorithm.skipped == 1
    assert not algorithm.inner_optimizer.state
    for name, value in algorithm.classifier.state_dict().items():
        torch.testing.assert_close(value, start[name], rtol=0, atol=0)


def test_a_learning_rate_as_a_tensor_gives_the_steps_of_the_number() -> None:
    weights = []
    for lr in (0.05, torch.tensor(0.05)):
        torch.manual_seed(0)
        algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), lr=lr)
        torch.manual_seed(3)
        for _ in range(3):
            algorithm.step(*_batches((5,)))
        weights.append(nn.utils.parameters_to_vector(algorithm.classifier.parameters()).detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_a_learning_rate_of_zero_may_be_a_tensor() -> None:
    torch.manual_seed(0)
    algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), lr=torch.tensor(0.0))
    assert all(value.isfinite() for value in algorithm.step(*_batches((5,))).values())
    assert algorithm.skipped == 0


class _Tokens(Classifier):
    """Classifies the mean of embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = 6, CLASSES
        self.words, self.head = nn.Embedding(9, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = self.words(x).mean(1)
        return ClassifierOutput(self.head(features), features)


def test_outputs_for_integer_inputs_are_single_precision_under_autocast() -> None:
    classifier = _Tokens()
    classifier.autocast = torch.bfloat16
    output = classifier_output(classifier, torch.randint(9, (4, 3)))
    assert (output.logits.dtype, output.features.dtype) == (torch.float32, torch.float32)


def test_autocast_of_the_caller_stays_on() -> None:
    classifier = MLP((5,), CLASSES, hidden=(8,))
    with torch.autocast("cpu", torch.bfloat16):
        assert classifier_output(classifier, torch.randn(2, 5)).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("every", [2, 3])
def test_guide_and_prior_move_in_every_nth_step_alone(every: int) -> None:
    torch.manual_seed(0)
    algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), outer_every=every)
    noisy, clean = _batches((5,))
    moved = []
    for _ in range(2 * every):
        before = nn.utils.parameters_to_vector(algorithm.guide.parameters()).clone()
        metrics = algorithm.step(noisy, clean)
        moved.append(not torch.equal(before, nn.utils.parameters_to_vector(algorithm.guide.parameters())))
        assert ("meta_loss" in metrics) == moved[-1]
    assert moved == [number % every == 0 for number in range(2 * every)]


def test_a_late_step_takes_the_gradient_of_the_virtual_step() -> None:
    """The classifier moves as it would with the guide of before, whatever guide and prior learn in the step."""
    weights = []
    for rate in (0.0, 1.0):
        torch.manual_seed(0)
        algorithm = _algorithm(MLP((5,), CLASSES, hidden=(8,)), late=True, clean_weight=0.3)
        for group in algorithm.outer_optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(3)
        algorithm.step(*_batches((5,)))
        weights.append(nn.utils.parameters_to_vector(algorithm.classifier.parameters()).detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)


def test_late_steps_are_refused_if_the_kl_reaches_the_classifier() -> None:
    with pytest.raises(UserError, match=r"late is set, but inner_kl_weight is 0.1 .* set inner_kl_weight=0 or la"):
        _algorithm(MLP((5,), CLASSES, hidden=(8,)), late=True, detach_features=False, inner_kl_weight=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int8, "bfloat16"])
def test_other_precisions_than_bfloat16_are_refused(dtype: Any) -> None:
    classifier = MLP((4,), 3)
    classifier.autocast = dtype
    with pytest.raises(UserError, match=r"MLP.autocast is .*; expected torch.bfloat16 or None"):
        classifier_output(classifier, torch.randn(3, 4))


def test_options_of_cuda_devices_are_set() -> None:
    for tf32, benchmark in ((True, False), (False, True), (False, False)):
        set_speed(tf32=tf32, cudnn_benchmark=benchmark)
        assert torch.backends.cuda.matmul.allow_tf32 is tf32
        assert torch.backends.cudnn.benchmark is benchmark
