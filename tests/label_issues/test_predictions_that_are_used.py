"""Which predictions scores and noise rate are based on: of regressions on vectors, or of the classifier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.label_issues import Evidence, Trusted, rank
from vri_pyro.label_issues.input_candidates import input_candidates

CLASSES, SIZE, KNOWN = 3, 600, 60


def _evidence(vectors: bool) -> tuple[Evidence, Tensor]:
    """Return evidence of a classifier that has memorised all labels, and which of these are wrong."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(SIZE + KNOWN) % CLASSES
    x = 3 * F.one_hot(truth, CLASSES).double() + torch.randn(len(truth), CLASSES, generator=generator)
    given = torch.where(torch.rand(SIZE, generator=generator) < 0.3, (truth[:SIZE] + 1) % CLASSES, truth[:SIZE])
    memorised = 6 * F.one_hot(torch.cat([given, (truth[SIZE:] + (x[SIZE:, 0] > 0)) % CLASSES]), CLASSES).double()
    features = memorised + 0.1 * torch.randn(memorised.shape, generator=generator)
    known = Trusted(
        memorised[SIZE:], features[SIZE:], truth[SIZE:], held_out=KNOWN, inputs=x[SIZE:] if vectors else None
    )
    evidence = Evidence(given, memorised[:SIZE], features[:SIZE], known, inputs=x[:SIZE] if vectors else None)
    return evidence, given != truth[:SIZE]


def test_vectors_are_judged_by_regressions_whatever_the_classifier_has_memorised() -> None:
    evidence, wrong = _evidence(vectors=True)
    issues = rank(evidence)
    low, high = issues.transition.noise_rate_interval()
    assert low < float(wrong.double().mean()) < high
    assert not issues.by_classifier
    assert issues.learned_by_heart
    assert issues.accuracy is not None
    assert issues.accuracy[0] > 0.9
    assert issues.problem is None
    assert issues.warning is None


def test_images_are_judged_by_the_classifier_and_its_memory_is_told() -> None:
    evidence, _ = _evidence(vectors=False)
    issues = rank(evidence, draws=20)
    assert issues.by_classifier
    assert issues.problem == "memorised"
    assert "has memorised labels" in str(issues.warning)


def test_vectors_without_trusted_examples_and_vectors_without_use_are_told() -> None:
    evidence, _ = _evidence(vectors=True)
    unknown = rank(replace(evidence, trusted=None), draws=20)
    assert unknown.problem == "unknown"
    assert str(unknown.warning).startswith("There are no trusted examples, so nobody knows")
    generator = torch.Generator().manual_seed(1)
    assert evidence.trusted is not None
    of_trusted = replace(evidence.trusted, inputs=torch.randn(KNOWN, 2, generator=generator))
    useless = replace(evidence, inputs=torch.randn(SIZE, 2, generator=generator), trusted=of_trusted)
    issues = rank(useless, draws=20)
    if issues.by_classifier:
        pytest.fail("the classifier is no better than the regressions")
    assert issues.problem == "chance"
    assert str(issues.warning).startswith("Regressions on the inputs are correct on ")


def test_vectors_that_the_classifier_predicts_clearly_better_are_judged_by_it() -> None:
    evidence, _ = _evidence(vectors=True)
    assert evidence.trusted is not None
    right = 6 * F.one_hot(evidence.trusted.labels, CLASSES).double()
    noise = torch.randn(SIZE + KNOWN, 2, generator=torch.Generator().manual_seed(2))
    better = replace(
        evidence, inputs=noise[:SIZE], trusted=replace(evidence.trusted, logits=right, inputs=noise[SIZE:])
    )
    found, usual = (input_candidates(one, 40, 0) for one in (better, evidence))
    assert found is not None
    assert found.behind
    assert usual is not None
    assert not usual.behind
    issues = rank(better, draws=20)
    assert issues.by_classifier
    assert issues.noise_by_heads  # whatever the classifier has memorised
    kept_out = rank(replace(better, unseen=torch.arange(SIZE) < 100), draws=20)
    assert kept_out.by_classifier
    assert not kept_out.noise_by_heads
    assert not rank(replace(better, trained_on=False), draws=20).noise_by_heads


def test_of_many_classes_the_twenty_most_probable_are_kept() -> None:
    classes, size = 60, 400
    generator = np.random.default_rng(0)
    truth = generator.integers(classes, size=size)
    given = torch.from_numpy(np.where(generator.random(size) < 0.2, (truth + 1) % classes, truth))
    logits = torch.from_numpy(6.0 * np.eye(classes)[truth] + generator.standard_normal((size, classes)))
    issues = rank(Evidence(given, logits, logits, None, trained_on=False), draws=10)
    assert issues.joint.classes.shape == (size, 20)
    assert (issues.joint.classes[:, 0] == given.numpy()).all()
    torch.testing.assert_close(issues.posterior.sum(1), torch.ones(size, dtype=torch.float64))
    wrong = given.numpy() != truth
    assert issues.score[torch.from_numpy(wrong)].min() > issues.score[torch.from_numpy(~wrong)].median()
