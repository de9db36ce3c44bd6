"""The distribution of a given label against the categorical distribution that it equals."""

from __future__ import annotations

import pyro
import pytest
import torch
from torch.distributions import Categorical

from vri_pyro.interfaces.given_label import GivenLabel
from vri_pyro.interfaces.transition_likelihood import noisy_log_probabilities

SHAPES = [((5,), ()), ((5,), (3, 1)), ((3, 5), (5,)), ((2, 3, 5), (3, 1)), ((), ())]


def _case(logits_shape: tuple[int, ...], matrix_shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(*logits_shape, 4, dtype=torch.double, generator=generator, requires_grad=True)
    scores = torch.randn(*matrix_shape, 4, 4, dtype=torch.double, generator=generator)
    return logits, scores.softmax(-1).requires_grad_()


@pytest.mark.parametrize(("logits_shape", "matrix_shape"), SHAPES)
def test_log_probability_and_its_gradients_are_those_of_the_categorical_distribution(
    logits_shape: tuple[int, ...], matrix_shape: tuple[int, ...]
) -> None:
    logits, transition = _case(logits_shape, matrix_shape)
    found = GivenLabel(logits, transition)
    expected = Categorical(logits=noisy_log_probabilities(logits, transition))
    assert found.batch_shape == expected.batch_shape
    y = torch.randint(4, logits_shape[-1:], generator=torch.Generator().manual_seed(1))
    ours, theirs = found.log_prob(y), expected.log_prob(y)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weights = torch.rand_like(ours)
    (of_logits, of_matrix), (expected_logits, expected_matrix) = (
        torch.autograd.grad((weights * log_p).sum(), (logits, transition)) for log_p in (ours, theirs)
    )
    torch.testing.assert_close(of_logits, expected_logits)
    # The categorical distribution divides by the sum of a row, so T's gradients agree along changes that keep the sum.
    torch.testing.assert_close(_along_the_simplex(of_matrix), _along_the_simplex(expected_matrix))


def _along_the_simplex(gradient: torch.Tensor) -> torch.Tensor:
    return gradient - gradient.mean(-1, keepdim=True)


def test_probabilities_sum_to_one_and_samples_follow_them() -> None:
    logits, transition = _case((5,), ())
    label = GivenLabel(logits.detach(), transition.detach())
    torch.testing.assert_close(label.probs.sum(-1), torch.ones(5, dtype=torch.double))
    pyro.set_rng_seed(0)
    drawn = torch.nn.functional.one_hot(label.sample((20_000,)), 4).double().mean(0)
    torch.testing.assert_close(drawn, label.probs, rtol=0, atol=0.015)


def test_enumerated_labels_have_the_probabilities_of_all_classes() -> None:
    logits, transition = _case((3, 5), (5,))
    label = GivenLabel(logits, transition)
    values = label.enumerate_support()
    assert values.shape == (4, 3, 5)
    torch.testing.assert_close(label.log_prob(values).movedim(0, -1), label.logits)


def test_expanded_distribution_gives_the_same_probabilities() -> None:
    logits, transition = _case((5,), ())
    y = torch.tensor([0, 1, 2, 3, 0])
    expanded = GivenLabel(logits, transition).expand((7, 5))
    torch.testing.assert_close(expanded.log_prob(y), GivenLabel(logits, transition).log_prob(y).expand(7, 5))


def test_a_label_that_no_class_can_have_gets_a_finite_log_probability_with_a_gradient() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    never = torch.tensor([[0.5, 0.5, 0.0]] * 3)
    log_p = GivenLabel(logits, never).log_prob(torch.tensor([2]))
    assert bool(log_p.isfinite().all())
    (gradient,) = torch.autograd.grad(log_p.sum(), logits)
    assert bool(gradient.isfinite().all())
