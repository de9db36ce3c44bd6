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
from vri_pyro.interfaces.transition_likelihood import glc_estimate, predicted_counts, updated_concentration
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
    pairs = torch.stack([context.predict(context.noisy).argmax(-1), context.labels_at(context.noisy)])
    for_each_pair = torch.zeros_like(algorithm.prior).index_put_(
        tuple(pairs), torch.ones(6, dtype=estimate.dtype), accumulate=True
    )
    torch.testing.assert_close(algorithm.concentration, algorithm.prior + for_each_pair)
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, initial[name])


@pytest.mark.parametrize(("clean", "trained"), [([], True), ([6, 7, 8], False)])
def test_prior_is_one_right_label_a_class_if_there_is_nothing_to_estimate_from(clean: list[int], trained: bool) -> None:
    classifier, algorithm = _built(prior_strength=5.0)
    algorithm.begin_training(_context(classifier, clean, trained))
    torch.testing.assert_close(algorithm.prior, torch.eye(CLASSES, dtype=torch.float64) + 1 / CLASSES)


def test_noise_is_found_from_predicted_classes_but_not_from_the_identity() -> None:
    """A classifier that imitates the noise gives each label the probability that it has in its class."""
    noise, count = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.6, 0.4], [0.4, 0.0, 0.6]], dtype=torch.float64), 3000
    true = torch.arange(count) % CLASSES
    y = torch.multinomial(noise[true], 1, generator=torch.Generator().manual_seed(0)).squeeze(-1)
    imitating = noise[true].clamp_min(1e-9).log()
    prior = torch.eye(CLASSES, dtype=torch.float64) + 1 / CLASSES

    def found(start: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        concentration = start
        for _ in range(300):
            concentration = updated_concentration(concentration, prior, logits, y, 1.0, 0.1)
        return concentration / concentration.sum(-1, keepdim=True)

    start = prior + predicted_counts(imitating, y)
    torch.testing.assert_close(start / start.sum(-1, keepdim=True), noise, atol=0.04, rtol=0)
    assert found(prior, imitating).diag().min() > 0.98
    assert found(start, 50 * imitating).diag().max() < 0.64  # a sure classifier keeps it


def test_regulariser_pulls_towards_the_running_mean_of_the_predictions() -> None:
    classifier, algorithm = _built(elr_weight=2.0, momentum=0.5)
    noisy = batch(12)._replace(index=torch.arange(12))
    before = classifier(noisy.x).logits.detach().softmax(-1)
    algorithm.step(noisy, noisy)
    torch.testing.assert_close(algorithm.memory.table, 0.5 * before)

    twin, transition = copy.deepcopy(classifier), algorithm.transition
    logits = twin(noisy.x).logits
    targets = (0.25 * before + 0.5 * logits.softmax(-1)).detach()
    correction = -(logits.softmax(-1) @ transition).log()[torch.arange(12), noisy.y].mean()
    (correction + 2.0 * (1 - (logits.softmax(-1) * targets).sum(-1)).log().mean()).backward()
    sgd(twin.parameters()).step()
    algorithm.step(noisy, noisy)
    for ours, theirs in zip(classifier.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_state_restores_the_transition_matrix() -> None:
    classifier, algorithm = _built()
    algorithm.begin_training(_context(classifier, [6, 7, 8]))
    algorithm.step(batch(8)._replace(index=torch.arange(8)), batch(8))
    _, other = _built()
    other.load_state_dict(algorithm.state_dict())
    torch.testing.assert_close(other.transition, algorithm.transition)
    torch.testing.assert_close(other.prior, algorithm.prior)
    torch.testing.assert_close(other.memory.table, algorithm.memory.table)
    assert other.size == algorithm.size == 6


def test_estimation_stage_takes_a_third_of_the_epochs() -> None:
    stage = Stage(LearnedTransition(), sgd, epochs=9)
    for clean_weight in (0.2, 0.0):
        stages = LearnedTransition(clean_weight=clean_weight).stages("training", stage)
        assert [one.epochs for one in stages.values()] == [3, 9]


@pytest.mark.parametrize(
    "options",
    [
        {"prior_strength": 0.0},
        {"rate": 0.0},
        {"rate": 1.5},
        {"elr_weight": -1.0},
        {"momentum": 1.0},
        {"clean_weight": -1.0},
    ],
)
def test_options_out_of_range_are_errors(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        _built(**options) if "clean_weight" not in options else LearnedTransition(**options).build(Dense(), sgd)
