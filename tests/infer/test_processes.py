"""Several processes on the shares of a batch take the steps of one process on the whole batch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pyro
import pytest
import torch
from torch import multiprocessing

from vri_pyro.utils.processes import Share

from . import in_processes
from .in_processes import NAMES, NOISY

Found = dict[str, Any]
# A finite difference divides rounding errors of the outputs, which depend on the batch size, by its step.
TOLERANCES = {"SplitFiniteDifference": 1e-6}


@pytest.fixture(scope="module", params=[2, 3])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """What each of 2 or 3 processes found."""
    folder, count = tmp_path_factory.mktemp("processes"), request.param
    multiprocessing.spawn(in_processes.run, (count, in_processes.free_port(), folder), nprocs=count)
    return [torch.load(folder / f"{count}-{rank}.pt") for rank in range(count)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Found]:
    """What one process finds, case by case, so that it is computed once for both numbers of processes."""
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_one_process(name: str, shared: list[Found], alone: dict[str, Found]) -> None:
    if name not in alone:
        with warnings.catch_warnings(), pyro.validation_enabled(False):
            warnings.simplefilter("ignore")
            alone[name] = in_processes.record(name)
    expected = alone[name]
    tolerance = next((t for part, t in TOLERANCES.items() if part in name), 1e-10)
    for found in shared:
        assert found[name].keys() == expected.keys()
        torch.testing.assert_close(found[name], expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("name", ["own statistics", "hierarchical, Adam"])
def test_processes_have_equal_states_bit_for_bit(name: str, shared: list[Found]) -> None:
    first, *others = (found[name] for found in shared)
    for other in others:
        assert all(torch.equal(other[part], value) for part, value in first.items())


def test_running_statistics_are_the_means_of_those_of_the_shares(shared: list[Found]) -> None:
    found = {part: value for part, value in shared[0]["own statistics"].items() if "running" in part}
    assert len(found) == 2
    assert all(value.isfinite().all() and value.std() > 0 for value in found.values())


def test_dropout_masks_differ_between_processes_and_between_passes(shared: list[Found]) -> None:
    masks = shared[0]["masks"]
    rows = [Share(rank, len(shared)).rows(NOISY) for rank in range(len(shared))]
    least = min(row.stop - row.start for row in rows)
    firsts = [masks[number, row][:least] for number in range(2) for row in rows]
    assert all(not torch.equal(a, b) for k, a in enumerate(firsts) for b in firsts[:k])


def test_shares_cover_every_batch_without_overlap() -> None:
    for count in (1, 2, 3, 7):
        for total in (0, 1, 5, 100):
            shares = [Share(rank, count) for rank in range(count)]
            assert [row for share in shares for row in range(total)[share.rows(total)]] == list(range(total))
            sizes = [share.size(total) for share in shares]
            assert sizes == sorted(sizes, reverse=True)
            assert sum(sizes) == total
            assert max(sizes) == math.ceil(total / count)
