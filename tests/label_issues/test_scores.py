"""Tests of label scores against their definitions and other implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.distributions import kl_divergence

from vri_pyro.diagnostics import rectified
from vri_pyro.guides import DiagonalNormal, NoLatents
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.transition_likelihood import clean_posterior
from vri_pyro.label_issues import (
    Evidence,
    LabelIssues,
    Trusted,
    conformal_p_values,
    detection,
    distance_to_nearest,
    loss,
    margin,
    mean_over_nearest,
    probability_of_no_class,
    rank,
    rectification_effect,
    self_confidence,
    smoothed,
    surprise,
)
from vri_pyro.label_issues.open_set import upper_p_values
from vri_pyro.models import CrossEntropy, Rectification
from vri_pyro.utils.errors import UserError

FEATURES, CLASSES, SIZE = 5, 4, 30


@pytest.fixture
def output() -> ClassifierOutput:
    return ClassifierOutput(2 * torch.randn(SIZE, CLASSES), torch.randn(SIZE, FEATURES))


@pytest.fixture
def given() -> Tensor:
    return torch.arange(SIZE) % CLASSES


def test_prediction_scores_are_one_minus_cleanlabs_quality_scores(output: ClassifierOutput, given: Tensor) -> None:
    rank = pytest.importorskip("cleanlab.rank")
    p = output.logits.double().softmax(-1)
    for score, method in ((self_confidence, "self_confidence"), (margin, "normalized_margin")):
        quality = rank.get_label_quality_scores(given.numpy(), p.numpy(), method=method)
        torch.testing.assert_close(score(p, given), 1 - torch.from_numpy(quality))
    torch.testing.assert_close(loss(output.logits.double(), given).exp(), 1 / (1 - self_confidence(p, given)))


def test_clean_posterior_is_bayes_rule(output: ClassifierOutput, given: Tensor) -> None:
    p, transition = output.logits.double().softmax(-1), torch.rand(CLASSES, CLASSES).double()
    transition /= transition.sum(-1, keepdim=True)
    found = clean_posterior(p.log(), transition, given)
    for row in range(SIZE):
        joint = torch.stack([p[row, c] * transition[c, given[row]] for c in range(CLASSES)])
        torch.testing.assert_close(found[row], joint / joint.sum())
    certain = torch.eye(CLASSES).double()
    torch.testing.assert_close(clean_posterior(p.log(), certain, given), certain[given])


def test_clean_posterior_is_the_prediction_if_no_class_is_possible() -> None:
    p = torch.tensor([[1.0, 0.0], [0.4, 0.6]])
    found = clean_posterior(p.log(), torch.eye(2), torch.tensor([1, 1]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_surprise_equals_the_closed_form_and_excludes_global_latents(output: ClassifierOutput, given: Tensor) -> None:
    model, guide = Rectification(FEATURES, CLASSES), DiagonalNormal(FEATURES, CLASSES, hidden=(6,))
    expected = kl_divergence(guide.posterior(output, given), model.prior(output.features)).detach()
    torch.testing.assert_close(surprise(model, guide, output, given, draws=3), expected)

    def with_global(output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        pyro.sample("everyones", dist.Normal(0.0, 1.0))
        return model(output, y)

    def guide_with_global(output: ClassifierOutput, y: Tensor) -> None:
        pyro.sample("everyones", dist.Normal(5.0, 1.0))
        guide(output, y)

    torch.testing.assert_close(surprise(with_global, guide_with_global, output, given), expected)
    nothing = surprise(CrossEntropy(FEATURES, CLASSES), NoLatents(FEATURES, CLASSES), output, given)
    assert torch.equal(nothing, torch.zeros(SIZE))


def test_surprise_is_not_scaled_by_subsampling(output: ClassifierOutput, given: Tensor) -> None:
    def model(output: ClassifierOutput, y: Tensor) -> None:
        with pyro.plate("data", 10 * SIZE, subsample=range(SIZE)):
            pyro.sample("v", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Categorical(logits=output.logits), obs=y)

    def guide(output: ClassifierOutput, y: Tensor) -> None:
        with pyro.plate("data", 10 * SIZE, subsample=range(SIZE)):
            pyro.sample("v", dist.Normal(output.logits[:, 0], 1.0))

    torch.testing.assert_close(surprise(model, guide, output, given), output.logits[:, 0] ** 2 / 2)


def test_rectification_effect_is_the_reduction_of_the_loss(output: ClassifierOutput, given: Tensor) -> None:
    seen = rectified(Rectification(FEATURES, CLASSES), DiagonalNormal(FEATURES, CLASSES, hidden=(6,)), output, given)
    torch.testing.assert_close(rectification_effect(seen), loss(output.logits, given) - seen.loss)


@pytest.mark.parametrize("most", [SIZE, 12])
def test_neighbours_exclude_the_example_itself(output: ClassifierOutput, most: int) -> None:
    marks = torch.eye(SIZE)
    weights = smoothed(marks, output.features, neighbours=3, most=most)
    torch.testing.assert_close(weights.sum(-1), torch.ones(SIZE))
    assert torch.equal(weights.diagonal(), torch.zeros(SIZE))
    assert (weights > 0).sum(-1).tolist() == [3] * SIZE
    assert int((weights > 0).any(0).sum()) <= most
    if most == SIZE:
        cosines = torch.nn.functional.cosine_similarity(output.features[:, None], output.features[None], dim=-1)
        cosines.fill_diagonal_(-2)
        for row in range(SIZE):
            assert set(weights[row].nonzero().flatten().tolist()) == set(cosines[row].topk(3).indices.tolist())


def test_few_examples_have_few_neighbours(output: ClassifierOutput) -> None:
    p = output.logits.softmax(-1)
    torch.testing.assert_close(smoothed(p[:2], output.features[:2]), p[:2].flip(0))
    assert torch.equal(smoothed(p[:1], output.features[:1]), p[:1])
    assert torch.equal(smoothed(p, output.features, neighbours=0), p)
    torch.testing.assert_close(
        mean_over_nearest(output.features[:4], output.features[4:9], p[4:9]), p[4:9].mean(0).expand(4, -1)
    )


def test_distance_excludes_the_example_itself() -> None:
    features = torch.randn(8, FEATURES, dtype=torch.float64)
    own = distance_to_nearest(features[:3], features, neighbours=1)
    torch.testing.assert_close(own, torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    others = distance_to_nearest(features[:3], features, neighbours=1, left_out=torch.arange(3))
    for row in range(3):
        rest = torch.cat([features[:row], features[row + 1 :]])
        expected = 1 - torch.nn.functional.cosine_similarity(features[row], rest, dim=-1).max()
        torch.testing.assert_close(others[row], expected)


def test_p_values_of_exchangeable_examples_are_uniform() -> None:
    p = conformal_p_values(torch.randn(3000), torch.randn(300))
    assert (p > 0).all()
    assert (p <= 1).all()
    assert abs(float((p <= 0.1).float().mean()) - 0.1) < 0.06
    torch.testing.assert_close(
        conformal_p_values(torch.tensor([-9.0, 0.5, 9.0]), torch.tensor([0.0, 1.0, 0.5])),
        torch.tensor([1.0, 3 / 4, 1 / 4]),
    )


def test_upper_p_values_hold_for_19_of_20_samples_of_trusted_examples() -> None:
    generator = np.random.default_rng(0)
    for farther in (0, 3, 18):
        bound = float(upper_p_values(np.array([(1 + farther) / 21]), 20)[0])
        # the p-value of an example just nearer than the trusted one before: its distance as a uniform variable
        shares = np.sort(generator.random((4000, 20)))[:, farther]
        assert np.mean(shares <= bound) == pytest.approx(0.95, abs=0.015)
    found = upper_p_values(np.array([1.0, 3 / 4, 1 / 4]), 3)
    assert found == pytest.approx([1.0, 0.95 ** (1 / 3), 1 - 0.05 ** (1 / 3)])


@pytest.mark.parametrize("trusted", [2, 10, 20, 300])
def test_exchangeable_examples_are_not_open_set_however_few_are_trusted(trusted: int) -> None:
    generator, found = torch.Generator().manual_seed(trusted), []
    for _ in range(200):
        p = conformal_p_values(torch.randn(1000, generator=generator), torch.randn(trusted, generator=generator))
        found.append(float(probability_of_no_class(p, trusted).mean()))
    assert np.mean(found) < 0.005
    assert np.quantile(found, 0.95) < 0.01


@pytest.mark.parametrize(("trusted", "found", "false"), [(200, 0.9, 0.02), (60, 0.85, 0.05)])
def test_group_far_from_the_trusted_examples_is_open_set(trusted: int, found: float, false: float) -> None:
    distances = torch.cat([torch.randn(1200), 8 + torch.randn(800)])
    none = probability_of_no_class(conformal_p_values(distances, torch.randn(trusted)), trusted)
    assert float(none[1200:].mean()) > found
    assert float(none[:1200].mean()) < false


@pytest.mark.parametrize("clean", [True, False])
def test_class_without_held_out_examples_is_not_open_set(clean: bool) -> None:
    classes, directions = 4, 20 * torch.eye(4, 8)

    def drawn(count: int, some: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count * some) % some
        return directions[labels] + torch.randn(len(labels), 8), labels

    features, labels = drawn(300, classes)
    held_out, clean_set = drawn(20, classes - 1), drawn(20, classes if clean else classes - 1)
    trusted = torch.cat([held_out[0], clean_set[0]]), torch.cat([held_out[1], clean_set[1]])
    known = Trusted(trusted[0] @ directions[:classes].T, *trusted, held_out=len(held_out[1]))
    found = rank(Evidence(labels, features @ directions[:classes].T, features, known), neighbours=5, draws=2)
    assert found.posterior[labels == classes - 1, -1].max() < 0.1
    assert (found.suggested == labels).double().mean() > 0.98


def test_warning_for_memorised_labels() -> None:
    true, held_out = torch.arange(400) % CLASSES, torch.arange(100) % CLASSES
    given = torch.where(torch.arange(400) % 5 < 2, (true + 1) % CLASSES, true)
    decided = torch.where(torch.arange(100) < 70, held_out, (held_out + 1) % CLASSES)
    known = Trusted(5.0 * torch.eye(CLASSES)[decided], torch.randn(100, 6), held_out, held_out=100)

    def ranked(labels: Tensor, trusted: Trusted | None = known) -> LabelIssues:
        return rank(Evidence(given, 5.0 * torch.eye(CLASSES)[labels], torch.randn(400, 6), trusted), draws=2)

    warning = ranked(given).warning
    assert warning is not None
    assert "agrees with 100% of the labels that it was trained on but is correct on 70% of" in warning
    assert "it has memorised labels" in warning
    assert ranked(true).warning is None  # the agreement is 60%
    assert "No trusted examples were held out of training" in ranked(given, None).warning
    elsewhere = Evidence(given, 5.0 * torch.eye(CLASSES)[given], torch.randn(400, 6), known, trained_on=False)
    assert rank(elsewhere, draws=2).warning is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": -1}, "neighbours is -1; expected an integer >= 0"),
        ({"own": 1.5}, "own is 1.5; expected a weight"),
        ({"own": -0.1}, "own is -0.1; expected a weight"),
        ({"draws": 0}, "draws is 0; expected an integer >= 1"),
    ],
)
def test_invalid_options_raise(options: dict[str, Any], message: str) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(UserError, match=message):
        rank(Evidence(labels, torch.randn(4, 3), torch.randn(4, 2)), **options)


@pytest.mark.parametrize(("right", "told"), [(30, True), (40, True), (60, False), (100, False)])
def test_warning_for_a_classifier_near_chance(right: int, told: bool) -> None:
    classes, held_out = torch.arange(400) % CLASSES, torch.arange(100) % CLASSES
    decided = torch.where(torch.arange(100) < right, held_out, (held_out + 1) % CLASSES)
    known = Trusted(5.0 * torch.eye(CLASSES)[decided], torch.randn(100, 6), held_out, held_out=100)
    logits = 5.0 * torch.eye(CLASSES)[classes.roll(1)]
    warning = rank(Evidence(classes, logits, torch.randn(400, 6), known), draws=2).warning
    assert (warning is not None) == told
    if warning is not None:
        assert warning.startswith(f"The classifier is correct on {right}% of the held-out examples, hardly above")


def test_no_examples_raise() -> None:
    with pytest.raises(UserError, match="there are no examples to score"):
        rank(Evidence(torch.zeros(0, dtype=torch.int64), torch.randn(0, 3), torch.randn(0, 2)))


def test_detection_equals_scikit_learn_for_scores_of_any_scale() -> None:
    score, wrong = 1e3 * torch.randn(200).double(), torch.rand(200) < 0.3
    score[wrong] += 800
    score[::7] = score[0]  # ties
    found = detection(score, wrong, at=(5, 60, 300))
    assert found is not None
    assert found.auroc == pytest.approx(roc_auc_score(wrong, score))
    assert found.average_precision == pytest.approx(average_precision_score(wrong, score))
    assert set(found.precision_at) == {5, 60}
    top = score.argsort(descending=True)[:5]
    assert found.precision_at[5] == pytest.approx(float(wrong[top].float().mean()))


def test_detection_without_wrong_or_correct_labels_is_none_and_invalid_arguments_raise() -> None:
    assert detection(torch.randn(5), torch.zeros(5, dtype=torch.bool)) is None
    assert detection(torch.randn(5), torch.ones(5, dtype=torch.bool)) is None
    with pytest.raises(UserError, match=r"score has shape \[5\] and wrong \[4\]"):
        detection(torch.randn(5), torch.zeros(4, dtype=torch.bool))
    with pytest.raises(UserError, match="at contains 0; expected values of k >= 1"):
        detection(torch.randn(4), torch.tensor([True, False, True, False]), at=(0,))


@pytest.mark.parametrize("trained_on", [True, False])
def test_progress_of_the_ranking_rises_to_one(output: ClassifierOutput, given: Tensor, trained_on: bool) -> None:
    told: list[float] = []
    rank(Evidence(given, output.logits, output.features, trained_on=trained_on), draws=4, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
