"""Tests of transition matrix estimates on data with a known matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.diagnostics import averaged_transition, learned_transition
from vri_pyro.utils.errors import UserError

TRUE = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5]])


def test_predictions_that_follow_a_matrix_recover_it() -> None:
    classes = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    torch.testing.assert_close(averaged_transition(classes, TRUE[classes]), TRUE, rtol=0, atol=1e-15)


def test_distributions_are_averaged_by_predicted_class() -> None:
    predicted = torch.tensor([1, 1, 0])
    probabilities = torch.tensor([[0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
    torch.testing.assert_close(averaged_transition(predicted, probabilities), torch.tensor([[1.0, 0.0], [0.4, 0.6]]))


def test_one_hot_labels_give_frequencies_and_an_unpredicted_class_has_the_identity_row() -> None:
    torch.manual_seed(0)
    predicted, given = torch.randint(3, (200,)), torch.randint(4, (200,))
    estimated = averaged_transition(predicted, torch.nn.functional.one_hot(given, 4).double())
    np.testing.assert_allclose(estimated, realised_transition(predicted.numpy(), given.numpy(), 4), rtol=1e-14)
    assert estimated[3].tolist() == [0, 0, 0, 1]


class Own(nn.Module):
    def __init__(self, transition: object) -> None:
        super().__init__()
        self.transition = transition


def test_transition_is_found_as_parameter_or_buffer_in_order() -> None:
    assert learned_transition(nn.Module(), object()) is None
    assert learned_transition(Own(nn.Parameter(TRUE))).equal(TRUE)  # type: ignore[union-attr]
    buffered = nn.Module()
    buffered.register_buffer("transition", TRUE)
    assert learned_transition(nn.Module(), buffered, Own(TRUE.mT)).equal(TRUE)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(2, 3), r"Own.transition has shape \[2, 3\]; expected a tensor of shape \[K, K\]"),
        ([[1.0]], "Own.transition is a list; expected a tensor"),
        (TRUE.T, "rows of Own.transition do not sum to 1; expected row i to be"),
    ],
)
def test_invalid_transition_matrix_raises(matrix: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learned_transition(Own(matrix))
