"""Learning-rate schedules: their values, and the cyclic one against PyTorch's."""

from __future__ import annotations

import pytest
import torch

from vri_pyro.infer.schedules import Constant, Cosine, CyclicCosine, LinearWarmUp
from vri_pyro.utils.errors import UserError

TIMES = [i / 10 for i in range(100)]


def test_schedules_begin_at_the_given_rate_and_cosine_falls_to_zero() -> None:
    assert {Constant().factor(time, 10) for time in TIMES} == {1.0}
    factors = [Cosine().factor(time, 10) for time in TIMES]
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.5)
    assert factors == sorted(factors, reverse=True)
    assert 0 < factors[-1] < 1e-3


@pytest.mark.parametrize("half_period", [1, 4, 5])
def test_cyclic_cosine_equals_pytorchs_annealing_continued_past_t_max(half_period: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=half_period)
    for epoch in range(25):
        rates = {CyclicCosine(half_period).factor(epoch + part, 25) for part in (0.0, 0.3, 0.99)}
        assert len(rates) == 1  # constant within an epoch
        assert rates.pop() == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        annealing.step()


def test_cyclic_cosine_is_zero_for_one_epoch_per_period_as_in_the_papers_script() -> None:
    still = [epoch for epoch in range(30) if CyclicCosine().factor(epoch + 0.5, 30) < 1e-12]
    assert still == [5, 15, 25]


def test_warm_up_is_linear_and_ends_where_the_next_schedule_begins() -> None:
    schedule = LinearWarmUp(Cosine(), epochs=2, start=0.2)
    assert [schedule.factor(time, 10) for time in (0, 0.5, 1, 1.5)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    for time in (2.0, 4.5, 9.9):
        assert schedule.factor(time, 10) == Cosine().factor(time - 2, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CyclicCosine(0), "schedule.half_period is 0; expected a value >= 1"),
        (lambda: LinearWarmUp(Constant(), epochs=0), "schedule.epochs is 0; expected a value > 0"),
        (lambda: LinearWarmUp(Constant(), start=0), r"schedule.start is 0; expected a value in \(0, 1\]"),
        (lambda: LinearWarmUp(Constant(), start=2), r"schedule.start is 2; expected a value in \(0, 1\]"),
    ],
)
def test_impossible_schedules_are_refused(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
