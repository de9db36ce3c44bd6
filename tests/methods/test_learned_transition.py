"""Cross entropy through a transition matrix that is learned along with the classifier."""

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
from vri_pyro.interfaces.transition_likelihood import glc_estimate
from vri_pyro.methods import LearnedTransition
from vri_pyro.methods.base import Stage
from vri_pyro.methods.learned_transition import LearnedTransitionDescent
from vri_pyro.utils.errors import UserError

sgd = partial(SGD, lr=0.1)


def _context(classifier: Dense, clean: list[int], trained: bool = True) -> TrainingContext:
    labels = np.array([0, 1, 1, 0, 2, 1, 0, 2, 1, 2])
    x = np.random.default_rng(0).normal(size=(len(labels), INPUTS))
    data = DeviceData(x, labels, "cpu", np.zeros(INPUTS), np.ones(INPUTS))
    return TrainingContext(
        classifier,
        lambda positions: [data.batch(positions).x],
        data.y,
        noisy=torch.arange(6),
        clean=torch.tensor(clean, dtype=torch.int64),
        trained=trained,
    )


def _built(**options: float) -> tuple[Dense, LearnedTransitionDescent]:
    classifier = Dense()
    return classifier, LearnedTransitionDescent(classifier, sgd(classifier.parameters()), clean_weight=0.0, **options)


def test_step_is_a_step_on_the_corrected_loss_and_moves_t_towards_the_expected_counts() -> None:
    classifier, algorithm = _built(prior_strength=4.0, rate=0.25)
    algorithm.size, noisy = 60, batch(12)
    twin, concentration = copy.deepcopy(classifier), algorithm.concentration.clone()
    transition = concentration / concentration.sum(-1, keepdim=True)
    logits = twin(noisy.x).logits
    F.nll_loss((logits.softmax(-1) @ transition).log(), noisy.y).backward()
    sgd(twin.parameters()).step()
    algorithm.step(noisy, noisy)
    for ours, theirs in zip(classifier.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)

    expected = torch.zeros(CLASSES, CLASSES, dtype=logits.dtype)
    log_mean = concentration.digamma() - concentration.sum(-1, keepdim=True).digamma()
    for row, label in zip(logits.detach(), noisy.y.tolist(), strict=True):
        responsibility = row.softmax(-1) * log_mean.exp()[:, label]
        expected[:, label] += responsibility / responsibility.sum()
    target = algorithm.prior + 60 / 12 * expected
    torch.testing.assert_close(algorithm.concentration, 0.75 * concentration + 0.25 * target)


def test_prior_is_glcs_estimate_and_the_classifier_restarts() -> None:
    classifier, algorithm = _built(prior_strength=2.0)
    initial = copy.deepcopy(classifier.state_dict())
    algorithm.step(batch(8), batch(8))
    context = _context(classifier, [6, 7, 8, 9])
    estimate = glc_estimate(context.predict(context.clean), context.labels_at(context.clean))
    algorithm.begin_training(context)
    counts = torch.tensor([[1.0], [1.0], [2.0]], dtype=estimate.dtype)
    torch.testing.assert_close(algorithm.prior, counts * estimate + 1 / CLASSES)
    torch.testing.assert_close(algorithm.concentration, algorithm.prior)
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, initial[name])


@pytest.mark.parametrize(("clean", "trained"), [([], True), ([6, 7, 8], False)])
def test_prior_says_that_labels_are_right_if_there_is_nothing_to_estimate_from(clean: list[int], trained: bool) -> None:
    classifier, algorithm = _built(prior_strength=5.0)
    algorithm.begin_training(_context(classifier, clean, trained))
    torch.testing.assert_close(algorithm.prior, 5.0 * torch.eye(CLASSES, dtype=torch.float64) + 1 / CLASSES)


def test_state_restores_the_transition_matrix() -> None:
    classifier, algorithm = _built()
    algorithm.begin_training(_context(classifier, [6, 7, 8]))
    algorithm.step(batch(8), batch(8))
    _, other = _built()
    other.load_state_dict(algorithm.state_dict())
    torch.testing.assert_close(other.transition, algorithm.transition)
    torch.testing.assert_close(other.prior, algorithm.prior)
    assert other.size == algorithm.size == 6


def test_estimation_stage_needs_clean_examples() -> None:
    stage = Stage(LearnedTransition(), sgd, epochs=9)
    assert [one.epochs for one in LearnedTransition().stages("training", stage).values()] == [3, 9]
    assert list(LearnedTransition(clean_weight=0.0).stages("training", stage)) == ["training"]


@pytest.mark.parametrize("options", [{"prior_strength": 0.0}, {"rate": 0.0}, {"rate": 1.5}, {"clean_weight": -1.0}])
def test_options_out_of_range_are_errors(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        _built(**options) if "clean_weight" not in options else LearnedTransition(**options).build(Dense(), sgd)
