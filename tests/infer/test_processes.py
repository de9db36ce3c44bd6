"""Several processes on the shares of a batch take the steps of one process on the whole batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pyro
import pytest
import torch
from torch import multiprocessing

from vri_pyro.data.batch import Batch, check_batch
from vri_pyro.infer.probe import check_classifier
from vri_pyro.utils import processes
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import joined, mean
from vri_pyro.utils.processes import Share

from . import in_processes
from .in_processes import NOISY, names
from .toys import CLASSES, INPUTS, Dense

Found = dict[str, Any]
# A finite difference divides rounding errors of the outputs, which depend on the batch size, by its step.
TOLERANCES = {"SplitFiniteDifference": 1e-6, "SplitForwardDifference": 1e-4}


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[Found]]:
    """A function that returns what each of so many processes found; they start at its first call.

    They are forked from a process that has done the imports, which take seconds.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(["vri_pyro.methods", "torch.distributed"])

    @cache
    def found(count: int) -> list[Found]:
        folder = tmp_path_factory.mktemp("processes")
        arguments = count, in_processes.free_port(), folder
        multiprocessing.start_processes(in_processes.run, arguments, nprocs=count, start_method="forkserver")
        return [torch.load(folder / f"{count}-{rank}.pt") for rank in range(count)]

    return found


@pytest.fixture(params=[2, 3])
def shared(request: pytest.FixtureRequest, spawned: Callable[[int], list[Found]]) -> list[Found]:
    """What each of 2 or 3 processes found."""
    return spawned(request.param)


@pytest.fixture(scope="module")
def alone() -> dict[str, Found]:
    """What one process finds, case by case, so that it is computed once for both numbers of processes."""
    return {}


@pytest.mark.parametrize(
    ("shared", "name"), [(count, name) for count in (2, 3) for name in names(count)], indirect=["shared"]
)
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


def test_evaluation_and_selection_are_those_of_one_process(shared: list[Found]) -> None:
    expected = in_processes.judged()
    for found in shared:
        torch.testing.assert_close(found["judged"], expected, rtol=1e-10, atol=1e-10)


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


@pytest.fixture
def second_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process take itself for the second of three, which it cannot reach."""
    monkeypatch.setattr(processes, "_group", processes._Group(Share(1, 3), local_rank=1, store=None))


@pytest.mark.usefixtures("second_of_three")
def test_batch_of_another_size_than_the_share_is_refused() -> None:
    whole = Batch(torch.randn(7, INPUTS), torch.arange(7) % CLASSES)
    assert len(whole.shared().x) == 2
    check_batch("noisy", whole.shared(), CLASSES)
    with pytest.raises(UserError, match=r"7 inputs in process 1 of 3 .* batch\.shared\(\)"):
        check_batch("noisy", whole, CLASSES)
    with pytest.raises(UserError, match="2 examples for 3 processes"):
        check_batch("noisy", Batch(whole.x[:1], whole.y[:2]), CLASSES)


@pytest.mark.usefixtures("second_of_three")
def test_network_that_returns_other_rows_is_refused_before_anything_is_exchanged() -> None:
    with pytest.raises(UserError, match="returned 3 rows for the 2 examples of this process"):
        joined(torch.zeros(3, 4), 7)


@pytest.mark.usefixtures("second_of_three")
def test_synchronised_batch_normalisation_is_refused() -> None:
    whole = Batch(torch.randn(7, INPUTS), torch.arange(7) % CLASSES)
    with pytest.raises(UserError, match="SyncBatchNorm"):
        check_classifier(Dense(torch.nn.SyncBatchNorm), whole.shared())


@pytest.mark.usefixtures("second_of_three")
def test_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="has 1 GPUs and process 2 has none"):
        choose_device("auto")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set; start the processes with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; expected a number"),
    ],
)
def test_incomplete_environment_is_refused(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message), processes.started():
        pass


def test_one_process_exchanges_nothing() -> None:
    tensors = [torch.ones(2), None]
    with processes.started():
        assert mean(tensors)[0] is tensors[0]
        assert joined(tensors[0], 2) is tensors[0]
        assert not processes.several()
        assert processes.is_first()
        assert processes.may_tell()
        assert processes.from_first(lambda: 5) == processes.largest(5) == 5
