"""Verified pairs in the training methods that learn the transition matrix: exact counts, and closer to the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from infer.toys import CLASSES, INPUTS, Dense
from scipy.special import gammaln
from torch.distributions import Categorical, Dirichlet
from torch.optim import SGD

from vri_pyro.data import DeviceData
from vri_pyro.guides import DiagonalNormal, Hierarchical
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import estimate_with_pairs, glc_estimate, updated_concentration
from vri_pyro.methods.glc import GLCDescent
from vri_pyro.methods.learned_transition import LearnedTransitionDescent
from vri_pyro.models import HierarchicalRectification

sgd = partial(SGD, lr=0.1)
PAIRS = torch.tensor([[5, 3, 0], [0, 7, 1], [2, 0, 0]])


def context(classifier: Dense, pairs: torch.Tensor | None = PAIRS) -> TrainingContext:
    labels = np.array([0, 1, 1, 0, 2, 1, 0, 2, 1, 2])
    x = np.random.default_rng(0).normal(size=(len(labels), INPUTS))
    data = DeviceData(x, labels, "cpu", np.zeros(INPUTS), np.ones(INPUTS))
    return TrainingContext(
        classifier,
        lambda positions: [data.batch(positions).x],
        data.y,
        noisy=torch.arange(6),
        clean=torch.arange(6, 10),
        pair_counts=pairs,
    )


def test_context_from_tensors_passes_the_pairs_on() -> None:
    x, y = torch.zeros(4, INPUTS), torch.tensor([0, 1, 2, 0])
    found = TrainingContext.from_tensors(Dense(), y, x, y, pair_counts=PAIRS)
    assert found.pair_counts is PAIRS
    prior = torch.full((CLASSES, CLASSES), 0.5, dtype=torch.float64)
    assert torch.equal(found.with_pairs(prior), prior + PAIRS)
    assert TrainingContext.from_tensors(Dense(), y, x, y).with_pairs(prior) is prior


def test_pairs_are_counts_in_the_prior_of_the_hierarchical_model_and_of_learned_transition() -> None:
    classifier = Dense()
    model, guide = (
        HierarchicalRectification(classifier.feature_dim, CLASSES),
        Hierarchical(classifier.feature_dim, CLASSES, partial(DiagonalNormal, hidden=(4,))),
    )
    model.begin_training(context(classifier, None))
    before = model.concentration.clone()
    model.begin_training(context(classifier))
    torch.testing.assert_close(model.concentration, before + PAIRS)
    guide.begin_training(model, context(classifier))
    torch.testing.assert_close(guide.concentration, model.concentration)

    learned = [LearnedTransitionDescent(one, sgd(one.parameters()), clean_weight=0.0) for one in (Dense(), Dense())]
    for algorithm, pairs in zip(learned, (None, PAIRS), strict=True):
        algorithm.begin_training(context(classifier, pairs))
    torch.testing.assert_close(learned[1].prior, learned[0].prior + PAIRS)
    torch.testing.assert_close(learned[1].concentration, learned[0].concentration + PAIRS)
    untrained = LearnedTransitionDescent(classifier, sgd(classifier.parameters()), clean_weight=0.0)
    expected = untrained.prior + PAIRS
    untrained.begin_training(replace(context(classifier), trained=False))
    torch.testing.assert_close(untrained.prior, expected)


def test_prior_with_counts_is_the_exact_posterior_given_the_pairs() -> None:
    """Bayes' rule at five matrices: the density of the posterior is prior times likelihood over evidence."""
    prior = torch.tensor([[4.0, 1.0, 0.5], [0.2, 6.0, 0.3], [1.0, 1.0, 1.0]], dtype=torch.float64)
    posterior = context(Dense()).with_pairs(prior)
    rows = Dirichlet(torch.ones(CLASSES, dtype=torch.float64)).sample((5, CLASSES))
    pairs = [(c, y) for c in range(CLASSES) for y in range(CLASSES) for _ in range(int(PAIRS[c, y]))]
    likelihood = sum(Categorical(rows[:, c]).log_prob(torch.tensor(y)) for c, y in pairs)
    evidence = 0.0  # of the pairs one after the other: the share of the count of the label so far
    counts = prior.clone()
    for c, y in pairs:
        evidence += float((counts[c, y] / counts[c].sum()).log())
        counts[c, y] += 1
    expected = Dirichlet(prior).log_prob(rows).sum(1) + likelihood - evidence
    torch.testing.assert_close(Dirichlet(posterior).log_prob(rows).sum(1), expected)


def test_glc_corrects_its_estimate_by_the_pairs_and_is_unchanged_without() -> None:
    classifier = Dense()
    found, plain = (GLCDescent(one, sgd(one.parameters())) for one in (Dense(), Dense()))
    found.begin_training(context(classifier))
    plain.begin_training(context(classifier, None))
    alone = context(classifier)
    estimate = glc_estimate(alone.predict(alone.clean), alone.labels_at(alone.clean))
    assert torch.equal(plain.transition, estimate)
    torch.testing.assert_close(found.transition, estimate_with_pairs(estimate, PAIRS))


def test_corrected_estimate_is_the_posterior_mean_written_out() -> None:
    estimate = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]])
    counts, logs, means = PAIRS.numpy(), [], []
    for strength in np.geomspace(1, 10_000, 25):
        prior, log = strength * estimate + 0.01 / 3, 0.0
        for row, seen in zip(prior, counts, strict=True):
            log += gammaln(row.sum()) - gammaln(row.sum() + seen.sum())
            log += sum(gammaln(a + n) - gammaln(a) for a, n in zip(row, seen, strict=True))
        logs.append(log)
        means.append((prior + counts) / (prior + counts).sum(1, keepdims=True))
    weights = np.exp(np.array(logs) - max(logs))
    expected = np.tensordot(weights / weights.sum(), np.array(means), 1)
    found = estimate_with_pairs(torch.from_numpy(estimate), PAIRS)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, dtype=torch.float64))
    half = estimate_with_pairs(torch.from_numpy(estimate).float(), PAIRS)
    assert half.dtype == torch.float32


@pytest.mark.parametrize("confusion", [0.0, 0.3])
def test_corrected_estimate_is_no_worse_than_glcs_and_far_better_if_the_classifier_errs(confusion: float) -> None:
    size, eye = 5, np.eye(5)
    transition = 0.6 * eye + 0.4 * np.roll(eye, 1, axis=1)
    estimate = ((1 - confusion) * eye + confusion * (1 - eye) / (size - 1)) @ transition
    errors = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        counts = np.stack([generator.multinomial(20, row) for row in transition])
        found = estimate_with_pairs(torch.from_numpy(estimate), torch.from_numpy(counts)).numpy()
        errors.append([np.abs(one - transition).sum() / size for one in (estimate, found, counts / 20)])
    without, known, alone = np.mean(errors, axis=0)
    if confusion:
        assert known < 0.6 * without
    else:
        assert without == 0
        assert known < 0.5 * alone


def test_posterior_of_t_after_all_labels_is_closer_to_the_truth_with_pairs() -> None:
    """Natural-gradient steps on 300 labels of an overconfident classifier, with and without 120 pairs in the prior."""
    transition = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]], dtype=torch.float64)
    errors = []
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(300, 3, generator=generator, dtype=torch.float64)
        true = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
        given = torch.multinomial(transition[true], 1, generator=generator).squeeze(1)
        checked = torch.arange(120) % 3
        theirs = torch.multinomial(transition[checked], 1, generator=generator).squeeze(1)
        counts = torch.bincount(3 * checked + theirs, minlength=9).reshape(3, 3)
        row = []
        for pairs in (None, counts):
            prior = context(Dense(), pairs).with_pairs(10 * torch.eye(3, dtype=torch.float64) + 1 / 3)
            concentration = prior
            for _ in range(60):
                concentration = updated_concentration(concentration, prior, 2 * logits, given, 1.0, 0.3)
            drawn = Dirichlet(concentration).sample((200,))
            row.append(float((drawn - transition).abs().mean()))
        errors.append(row)
    without, known = np.mean(errors, axis=0)
    assert known < 0.75 * without
    assert sum(one[1] < one[0] for one in errors) >= 7
