"""Tests of the class probabilities: own prediction, neighbours' predictions, and their weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vri_pyro.label_issues import Evidence, Trusted, rank, smoothed
from vri_pyro.label_issues.beliefs import beliefs, consulted

CLASSES = 4


def evidence(right: int = 100, count: int = 100) -> Evidence:
    """Well-separated classes with 40% flipped labels, and a classifier that has memorised eight wrong labels.

    It predicts ``right`` of ``count`` held-out trusted examples correctly with high confidence, and the others wrongly
    with low confidence.
    """
    true, held_out = torch.arange(400) % CLASSES, torch.arange(count) % CLASSES
    given = torch.where(torch.arange(400) % 5 < 2, (true + 1) % CLASSES, true)
    decided = true.clone()
    decided[by_heart(given)] = given[by_heart(given)]
    features, others = (torch.eye(CLASSES)[c] + 0.01 * torch.randn(len(c), CLASSES) for c in (true, held_out))
    sure, doubtful = 8.0 * torch.eye(CLASSES)[held_out], 0.1 * torch.eye(CLASSES)[(held_out + 1) % CLASSES]
    logits = torch.where(torch.arange(count).unsqueeze(1) < right, sure, doubtful)
    return Evidence(given, 8.0 * torch.eye(CLASSES)[decided], features, Trusted(logits, others, held_out, count))


def mixed(evidence: Evidence, neighbours: int = 20, own: float | None = None) -> Tensor:
    return consulted(evidence, beliefs(evidence), neighbours, own, 0).p


def by_heart(given: Tensor) -> Tensor:
    return torch.nonzero(given != torch.arange(400) % CLASSES).squeeze(-1)[:8]


def test_own_and_neighbours_predictions_have_equal_weights_by_default() -> None:
    known = evidence()
    found = beliefs(known)
    alone = (known.logits.double() / found.temperature).softmax(-1)
    torch.testing.assert_close(found.own, alone)
    torch.testing.assert_close(mixed(known), alone / 2 + smoothed(alone, known.features, 20) / 2)
    assert torch.equal(mixed(known, own=1), mixed(known, neighbours=0))
    fifth = 0.2 * alone + 0.8 * smoothed(alone, known.features, 20)
    torch.testing.assert_close(mixed(known, own=0.2), fifth)


@pytest.mark.parametrize(
    ("right", "count", "learned"),
    [
        (100, 100, False),
        (60, 100, False),  # the agreement is 62%
        (45, 100, True),
        (11, 20, False),  # too few examples for a significant difference
        (0, 1, False),
    ],
)
def test_agreement_above_accuracy_indicates_memorised_labels(right: int, count: int, learned: bool) -> None:
    known = evidence(right, count)
    found = beliefs(known)
    assert found.agreement == pytest.approx(0.62)
    assert found.accuracy == (pytest.approx(right / count), count)
    assert found.learned_by_heart == learned
    torch.testing.assert_close(mixed(known), mixed(known, own=0.0 if learned else 0.5))


def test_neighbours_are_used_alone_without_held_out_examples() -> None:
    known = evidence()
    assert known.trusted is not None
    neighbours_alone = mixed(replace(known, trusted=None), own=0.0)
    for nothing in (None, replace(known.trusted, held_out=0)):
        torch.testing.assert_close(mixed(replace(known, trusted=nothing)), neighbours_alone)
    elsewhere = mixed(replace(known, trusted=None, trained_on=False))
    assert (elsewhere - neighbours_alone).abs().max() > 0.4
    assert not beliefs(replace(evidence(45), trained_on=False)).learned_by_heart


def test_trusted_examples_are_classified_in_the_same_way() -> None:
    known = evidence()
    assert known.trusted is not None
    logits = known.trusted.logits.clone()
    logits[0] = torch.tensor([0.0, 0.1, 0.0, 0.0])  # class 0, where the neighbours are confident
    logits[1] = torch.tensor([0.0, 0.0, 9.0, 0.0])  # class 1, where the example itself is more confident

    def decided(own: float) -> list[int]:
        seen = replace(known, trusted=replace(known.trusted, logits=logits))  # type: ignore[type-var]
        held_out = consulted(seen, beliefs(seen), 20, own, 0).held_out
        assert held_out is not None
        assert torch.equal(held_out[1], torch.arange(100) % CLASSES)
        return held_out[0][:2].argmax(-1).tolist()

    assert decided(0.0) == [0, 1]
    assert decided(0.6) == [0, 2]
    assert decided(1.0) == [1, 2]


def test_neighbours_detect_memorised_labels() -> None:
    known = evidence()
    some = by_heart(known.given)
    scores = {own: rank(known, draws=20, own=own).score[some] for own in (0.0, None, 1.0)}
    assert scores[1.0].max() < 0.05
    assert scores[None].min() > 0.8
    assert scores[0.0].min() > 0.95


def test_interval_allows_for_memorised_labels_only_after_training_on_them() -> None:
    widths = []
    for trained_on in (True, False):
        low, high = rank(replace(evidence(), trained_on=trained_on)).transition.noise_rate_interval()
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1]
