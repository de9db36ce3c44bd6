"""Tests of intervals of the noise rate that rest on little, and of the warnings about them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_circles

from vri_pyro.label_issues import find_label_issues
from vri_pyro.label_issues.checked_arrays import checked_arrays
from vri_pyro.label_issues.interval_checks import checked_interval
from vri_pyro.label_issues.joint_posterior import JointPosterior
from vri_pyro.label_issues.transition_posterior import TransitionPosterior


def _posterior(wrong: np.ndarray) -> JointPosterior:
    p = np.stack([1 - wrong, wrong], axis=1)
    rates = torch.linspace(-0.01, 0.01, 21, dtype=torch.float64) + wrong.mean()
    found = TransitionPosterior(torch.eye(2, dtype=torch.float64)[None].expand(21, 2, 2), rates)
    return JointPosterior(found, np.tile([0, 1], (len(wrong), 1)), p, np.zeros(len(wrong)), 2)


@pytest.mark.parametrize("trusted", [None, range(20)])
def test_predictions_at_chance_say_nothing_about_the_noise(trusted: range | None) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((600, 5)), np.arange(600) % 4
    with pytest.warns(UserWarning, match="hardly above chance: wrong labels cannot be identified"):
        found = find_label_issues(y, features=x, trusted=trusted)
    low, high = found.attrs["noise_rate_interval"]
    assert low == 0
    assert high > 0.6


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_share_of_wrong_labels_is_found_where_no_line_separates_the_classes(rate: float) -> None:
    x, truth = make_circles(600, noise=0.1, factor=0.5, random_state=0)
    wrong = np.random.default_rng(1).random(600) < rate
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_label_issues(np.where(wrong, 1 - truth, truth), features=x)
    low, high = found.attrs["noise_rate_interval"]
    assert low <= wrong.mean() <= high
    assert high < wrong.mean() + 0.05


@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_noise_alone_does_not_look_like_chance(rate: float) -> None:
    generator = np.random.default_rng(1)
    truth = np.arange(800) % 2
    x = generator.standard_normal((800, 5)) + 3 * truth[:, None]
    y = np.where(generator.random(800) < rate, 1 - truth, truth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_label_issues(y, features=x)
    low, high = found.attrs["noise_rate_interval"]
    assert low <= (y != truth).mean() <= high


def _messages(verified_wrong: int, kind: str) -> list[str]:
    """Verify some of 500 labels; the posterior says that 90% of those that differ are wrong, and 2% of the others."""
    given = np.zeros(500, dtype=np.int64)
    given[250:] = 1
    differs = np.arange(500) % 10 == 0
    decided = np.where(differs, 1 - given, given)
    some = np.flatnonzero(differs)[:30] if kind == "differing" else np.arange(100) * 5 + 1
    verified: list[int | None] = [None] * 500
    for number, at in enumerate(some):
        verified[at] = int(1 - given[at] if number < verified_wrong else given[at])
    arrays = checked_arrays(given, None, np.zeros((500, 1)), None, [0, 1], verified)
    posterior = _posterior(np.where(differs, 0.9, 0.02)[~arrays.trusted])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        checked_interval(posterior, decided, arrays, chosen=kind == "by score")
    return [str(one.message) for one in told]


@pytest.mark.parametrize(
    ("verified_wrong", "kind", "warned"),
    [
        (2, "random", False),
        (25, "random", True),
        (27, "differing", False),
        (20, "differing", True),
        (25, "by score", False),
    ],
)
def test_verified_labels_that_do_not_fit_the_estimate_are_told(verified_wrong: int, kind: str, warned: bool) -> None:
    messages = _messages(verified_wrong, kind)
    assert (
        any(f"{verified_wrong} of {30 if kind == 'differing' else 100} verified" in one for one in messages) == warned
    )
    assert len(messages) == warned


def test_probabilities_that_agree_with_every_label_are_warned_of() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=60)
    with pytest.warns(
        UserWarning, match="pred_probs agree with every one of the 60 labels, .*cross_val_predict; if"
    ) as c:
        find_label_issues(labels, np.eye(3)[labels])
    assert c[0].filename == __file__
    nearly = np.eye(3)[np.append((labels[0] + 1) % 3, labels[1:])]
    for given, p in ((labels, nearly), (labels[:49], np.eye(3)[labels[:49]])):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            find_label_issues(given, p)
        assert not [one for one in caught if "agree with every" in str(one.message)]
