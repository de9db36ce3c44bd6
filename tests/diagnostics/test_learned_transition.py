"""Estimated transition matrices, on labels and predictions whose matrix is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.diagnostics import averaged_transition, learned_transition
from vri_pyro.utils.errors import UserError

TRUE = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5]])


def test_predictions_that_follow_the_matrix_give_it_back() -> None:
    classes = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    torch.testing.assert_close(averaged_transition(classes, TRUE[classes]), TRUE, rtol=0, atol=1e-15)


def test_distributions_of_one_predicted_class_are_averaged() -> None:
    predicted = torch.tensor([1, 1, 0])
    probabilities = torch.tensor([[0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
    torch.testing.assert_close(averaged_transition(predicted, probabilities), torch.tensor([[1.0, 0.0], [0.4, 0.6]]))


def test_given_labels_are_counted_and_a_class_that_is_never_predicted_has_the_identitys_row() -> None:
    torch.manual_seed(0)
    predicted, given = torch.randint(3, (200,)), torch.randint(4, (200,))
    estimated = averaged_transition(predicted, torch.nn.functional.one_hot(given, 4).double())
    np.testing.assert_allclose(estimated, realised_transition(predicted.numpy(), given.numpy(), 4), rtol=1e-14)
    assert estimated[3].tolist() == [0, 0, 0, 1]


class Own(nn.Module):
    def __init__(self, transition: object) -> None:
        super().__init__()
        self.transition = transition


def test_models_own_matrix_is_found_wherever_it_is_kept() -> None:
    assert learned_transition(nn.Module(), object()) is None
    assert learned_transition(Own(nn.Parameter(TRUE))).equal(TRUE)  # type: ignore[union-attr]
    buffered = nn.Module()
    buffered.register_buffer("transition", TRUE)
    assert learned_transition(nn.Module(), buffered, Own(TRUE.mT)).equal(TRUE)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(2, 3), r"Own.transition is \[2, 3\]; make it a tensor of shape \[K, K\]"),
        ([[1.0]], "Own.transition is list; make it"),
        (TRUE.T, "rows of Own.transition do not sum to 1; let row i be"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learned_transition(Own(matrix))
