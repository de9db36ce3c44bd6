"""GLC: the transition matrix is estimated per class, and corrects only the noisy examples of a batch."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from infer.toys import CLASSES, INPUTS, Dense, batch
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.data import DeviceData
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import glc_estimate, noisy_log_probabilities
from vri_pyro.methods import GLC
from vri_pyro.methods.base import Stage
from vri_pyro.methods.descent import Descent
from vri_pyro.methods.glc import GLCDescent
from vri_pyro.utils.errors import UserError

sgd = partial(SGD, lr=0.1)
MATRIX = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]], dtype=torch.float64)
LABELS = np.array([0, 1, 1, 0, 2, 1, 0, 2, 1, 2])


def _examples() -> DeviceData:
    x = np.random.default_rng(0).normal(size=(len(LABELS), INPUTS))
    return DeviceData(x, LABELS, "cpu", np.zeros(INPUTS), np.ones(INPUTS))


def _context(classifier: Dense, clean: list[int]) -> TrainingContext:
    examples = _examples()
    return TrainingContext(
        classifier,
        lambda positions: [examples.batch(positions).x],
        examples.y,
        noisy=torch.arange(len(LABELS)),
        clean=torch.tensor(clean, dtype=torch.int64),
    )


def _estimate(classifier: Dense, clean: list[int]) -> torch.Tensor:
    context = _context(classifier, clean)
    return glc_estimate(context.predict(context.clean), context.labels_at(context.clean))


def test_forward_correction_multiplies_probabilities_by_the_matrix() -> None:
    logits = torch.randn(5, CLASSES)
    torch.testing.assert_close(noisy_log_probabilities(logits, MATRIX), (logits.softmax(-1) @ MATRIX).log())
    torch.testing.assert_close(noisy_log_probabilities(logits, torch.eye(CLASSES)), logits.log_softmax(-1))


NEVER_GIVEN = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_label_with_probability_zero_has_a_gradient(dtype: torch.dtype) -> None:
    logits = torch.tensor([[500.0, 0.0, -500.0]], dtype=dtype, requires_grad=True)
    loss = F.nll_loss(noisy_log_probabilities(logits, torch.eye(CLASSES, dtype=dtype)), torch.tensor([2]))
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss.detach(), torch.tensor(1000.0, dtype=dtype))
    torch.testing.assert_close(gradient, torch.tensor([[1.0, 0.0, -1.0]], dtype=dtype))


@pytest.mark.parametrize("label", [0, 2])
def test_loss_and_gradient_are_finite_for_a_class_that_is_never_given(label: int) -> None:
    logits = torch.randn(1, 3, requires_grad=True)
    loss = F.nll_loss(noisy_log_probabilities(logits, NEVER_GIVEN), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_estimate_is_the_mean_prediction_per_class_of_clean_examples() -> None:
    classifier, examples, clean = Dense(dropout=0.5), _examples(), [8, 0, 3, 5]
    estimate = _estimate(classifier, clean)
    assert classifier.training
    p = copy.deepcopy(classifier).eval()(examples.batch(np.arange(10)).x).logits.softmax(-1).detach()
    torch.testing.assert_close(estimate[0], (p[0] + p[3]) / 2)
    torch.testing.assert_close(estimate[1], (p[5] + p[8]) / 2)
    torch.testing.assert_close(estimate.sum(-1), torch.ones(CLASSES))


def test_row_of_a_class_without_clean_examples_is_the_identity() -> None:
    estimate = _estimate(Dense(), [0, 3, 5])
    assert estimate[2].tolist() == [0, 0, 1]
    with pytest.raises(UserError, match="no clean examples"):
        _estimate(Dense(), [])


def test_training_with_a_class_without_clean_examples_is_finite_and_takes_its_labels_as_they_are() -> None:
    classifier = Dense()
    algorithm = _begun(classifier, [0, 3, 5])
    noisy = batch(7)._replace(index=torch.tensor([4, 0, 9, 2, 1, 7, 3]))
    assert algorithm.step(noisy, noisy)["gradient_norm"].isfinite()
    certain = torch.tensor([[-50.0, -50.0, 50.0]])
    as_given = noisy_log_probabilities(certain, algorithm.transition)
    torch.testing.assert_close(as_given[0, 2], torch.tensor(0.0))
    assert (algorithm.transition[:2, 2] > 0).all()  # its label may still be given to examples of the other classes


def _begun(classifier: Dense, clean: list[int]) -> GLCDescent:
    algorithm = GLC(clean_weight=0.0).build(classifier, sgd)
    algorithm.begin_training(_context(classifier, clean))
    return algorithm


def test_step_corrects_only_noisy_examples() -> None:
    classifier, noisy = Dense(), batch(7)._replace(index=torch.tensor([4, 0, 9, 2, 1, 7, 3]))
    algorithm = _begun(classifier, [0, 1, 4])
    reference = copy.deepcopy(classifier)
    metrics = algorithm.step(noisy, noisy)

    p = reference(noisy.x).logits.softmax(-1)
    clean = torch.tensor([True, True, False, False, True, False, False])
    likelihood = torch.where(clean[:, None], p, p @ algorithm.transition).gather(1, noisy.y[:, None])
    loss = -likelihood.log().mean()
    torch.testing.assert_close(metrics["loss"], loss.detach())
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    for now, before, g in zip(classifier.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(now.detach(), before.detach() - 0.1 * g)


def test_matrix_is_estimated_with_the_trained_classifier_which_then_restarts() -> None:
    classifier, clean = Dense(), [0, 1, 4]
    initial = copy.deepcopy(classifier.state_dict())
    algorithm = GLC().build(classifier, partial(SGD, lr=0.1, momentum=0.9))
    with torch.no_grad():
        for p in classifier.parameters():
            p.add_(torch.randn_like(p))
    expected = _estimate(classifier, clean)
    algorithm.begin_training(_context(classifier, clean))
    torch.testing.assert_close(algorithm.transition, expected, rtol=0, atol=0)
    torch.testing.assert_close(classifier.state_dict(), initial, rtol=0, atol=0)


def test_estimation_stage_is_as_long_as_the_main_stage_by_default() -> None:
    for epochs, expected in ((None, 7), (2, 2)):
        method = GLC(estimation_epochs=epochs)
        stages = method.stages("training", Stage(method, sgd, 7))
        assert {name: stage.epochs for name, stage in stages.items()} == {"estimation": expected, "training": 7}
        assert [stage.method.pool for stage in stages.values()] == ["noisy", "noisy_and_clean"]


def test_estimation_stage_does_not_use_clean_labels() -> None:
    method = GLC(clean_weight=1.0)
    first, second = method.stages("training", Stage(method, sgd, 7)).values()
    built = [stage.method.build(Dense(), sgd) for stage in (first, second)]
    assert [algorithm.clean_weight for algorithm in built if isinstance(algorithm, Descent)] == [0.0, 1.0]


def test_batch_without_an_index_raises() -> None:
    with pytest.raises(
        UserError, match="the batch has no index, which GLC needs to identify the clean examples; set its index"
    ):
        GLC().build(Dense(), sgd).step(batch(7), batch(5))


@pytest.mark.parametrize("classes", [32, 33, 200])
def test_noisy_log_probabilities_are_the_same_with_and_without_gradients(classes: int) -> None:
    logits = 5 * torch.randn(20, classes, dtype=torch.float64)
    transition = torch.rand(classes, classes, dtype=torch.float64)
    transition[:, 3] = 0
    transition /= transition.sum(1, keepdim=True)
    in_log_space = noisy_log_probabilities(logits, transition)
    with torch.no_grad():
        found = noisy_log_probabilities(logits, transition)
    possible = torch.arange(classes) != 3
    torch.testing.assert_close(found[:, possible], in_log_space[:, possible], rtol=1e-12, atol=1e-12)
    assert (found[:, 3] < -9e3).all()
    assert (in_log_space[:, 3] < -9e3).all()
    draws = torch.stack([transition, transition.flip(0)]).unsqueeze(1)  # one matrix per draw, for all examples
    with torch.no_grad():
        of_draws = noisy_log_probabilities(logits, draws)
    torch.testing.assert_close(of_draws[0], found)
    torch.testing.assert_close(of_draws[1, :, possible], noisy_log_probabilities(logits, draws[1, 0])[:, possible])
