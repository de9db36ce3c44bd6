"""Vectors on disk: which rows are read, and that training on them equals training in memory."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.data import Arrays, BatchPlan, DeviceData, InstanceDependent, StoredData, StoredVectors, make_split
from vri_pyro.data.content_keys import content_keys
from vri_pyro.data.duplicates import find_duplicates
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.hashes import row_hashes
from vri_pyro.data.statistics import mean_and_std, overall_mean, sample_of
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.processes import Share


@pytest.fixture(params=["float16", "float32"])
def whole(request: pytest.FixtureRequest) -> np.ndarray:
    """Vectors [53, 6] with values that the dtype of the files can represent, as float32."""
    values = np.random.default_rng(0).normal(size=(53, 6)).astype(request.param)
    return values.astype(np.float32)


def _stored(folder: Path, whole: np.ndarray, dtype: str = "float32") -> StoredVectors:
    """The vectors in files of 20 rows."""
    for number, start in enumerate(range(0, len(whole), 20)):
        np.save(folder / f"{number}.npy", whole[start : start + 20].astype(dtype))
    return StoredVectors([np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))])


def _half_exact(whole: np.ndarray) -> str:
    return "float16" if (whole == whole.astype(np.float16)).all() else "float32"


@pytest.fixture
def stored(tmp_path: Path, whole: np.ndarray) -> StoredVectors:
    return _stored(tmp_path, whole, _half_exact(whole))


@pytest.mark.parametrize(
    "which",
    [
        slice(None),
        slice(3, 45),
        slice(50, 99),
        slice(10, 10),
        slice(40, 5, -3),
        np.array([52, 0, 19, 20, 20, 39, 40]),
        np.array([5, 6, 7]),
        np.array([], dtype=np.int64),
    ],
)
def test_slices_and_positions_read_the_rows_in_their_order(
    stored: StoredVectors, whole: np.ndarray, which: slice | np.ndarray
) -> None:
    found = stored[which]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, whole[which])


def test_a_part_reads_its_rows_in_its_order(stored: StoredVectors, whole: np.ndarray) -> None:
    positions = np.array([30, 2, 41, 2, 19])
    part = stored.part(positions).part(np.array([4, 0, 1]))
    assert part.shape == (3, 6)
    np.testing.assert_array_equal(part[:], whole[positions[[4, 0, 1]]])


def test_scattered_rows_are_asked_for_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []
    read = os.preadv
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, advice: done.append(("asked", start)))
    monkeypatch.setattr(os, "preadv", lambda file, into, start: done.append(("read", start)) or read(file, into, start))
    np.save(tmp_path / "wide.npy", np.arange(40 * 3000, dtype=np.float32).reshape(40, 3000))
    shard: Any = np.load(tmp_path / "wide.npy", mmap_mode="r")
    starts = [shard.offset + 4 * 3000 * row for row in (2, 7, 30)]
    found = StoredVectors([shard])[np.array([7, 30, 2])]
    np.testing.assert_array_equal(found, np.asarray(shard)[[7, 30, 2]])
    assert done == [("asked", start) for start in starts] + [("read", start) for start in starts]


def test_consecutive_rows_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, into, start: reads.append(start) or read(file, into, start))
    np.save(tmp_path / "x.npy", np.arange(80, dtype=np.float32).reshape(40, 2))
    assert StoredVectors([np.load(tmp_path / "x.npy", mmap_mode="r")])[5:25].sum() == np.arange(10, 50).sum()
    assert len(reads) == 1


def test_file_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((4000, 8), dtype=np.float32))
    vectors = StoredVectors([np.load(path, mmap_mode="r")])
    os.truncate(path, 50_000)
    assert len(vectors[:1000]) == 1000
    with pytest.raises(UserError, match=r"x\.npy is shorter than its header says; write it again"):
        vectors[3000:]


def test_a_copy_reads_the_same_after_the_original_is_gone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(80, dtype=np.float16).reshape(40, 2))
    vectors = StoredVectors([np.load(tmp_path / "x.npy", mmap_mode="r")])
    expected, copied = vectors[np.array([3, 1])], copy.deepcopy(vectors)
    del vectors
    np.testing.assert_array_equal(copied[np.array([3, 1])], expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_rows_that_were_read_do_not_stay_mapped(tmp_path: Path) -> None:
    """The memory of the process stays below a third of the files, whatever is read of them."""

    def mapped() -> int:
        (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssFile"))
        return int(line.split()[1]) // 1024

    np.save(tmp_path / "large.npy", np.zeros((40_000, 512), dtype=np.float32))
    before = mapped()
    vectors, positions = StoredVectors([np.load(tmp_path / "large.npy", mmap_mode="r")]), np.arange(40_000)
    most = 0
    for start in range(0, 40_000, 1000):
        vectors[positions[start : start + 1000]]
        most = max(most, mapped() - before)
    assert most < 78 / 3


def test_changes_of_an_array_in_memory_survive(tmp_path: Path) -> None:
    """Pages that were changed by copy on write must not be unmapped."""
    np.save(tmp_path / "x.npy", np.zeros((9000, 2), dtype=np.float32))
    shard = np.load(tmp_path / "x.npy", mmap_mode="c")
    shard[:] = 1
    vectors = StoredVectors([shard])
    for _ in range(2):
        assert vectors[:].min() == 1


def test_arrays_of_different_widths_or_without_rows_are_refused() -> None:
    with pytest.raises(UserError, match=r"float64 \[2, 3\], float64 \[2, 4\]; expected floats"):
        StoredVectors([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(UserError, match=r"int64 \[2, 3\]; expected floats"):
        StoredVectors([np.zeros((2, 3), dtype=np.int64)])
    with pytest.raises(UserError, match="no stored vectors"):
        StoredVectors([np.zeros((0, 3))])


def test_statistics_hashes_and_duplicates_equal_those_in_memory(stored: StoredVectors, whole: np.ndarray) -> None:
    for found, expected in zip(mean_and_std(stored), mean_and_std(whole), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(row_hashes(stored), row_hashes(whole))
    assert overall_mean(stored) == pytest.approx(whole.mean(dtype=np.float64))
    labels = np.arange(53) % 2
    on_disk, in_memory = (Arrays(x, labels, x, labels, ("a", "b")) for x in (stored, whole))
    assert Fingerprint.of(on_disk, sample_of(stored)).differences(Fingerprint.of(in_memory, whole), in_memory) == []
    splits = [make_split(arrays, InstanceDependent(0.4), 3, 3, None, seed=0) for arrays in (on_disk, in_memory)]
    np.testing.assert_array_equal(splits[0].given_labels, splits[1].given_labels)
    found = [find_duplicates(a, s, content_keys(a)) for a, s in zip((on_disk, in_memory), splits, strict=True)]
    assert found[0].leaked is not None
    assert found[0].told(found[0].leaked) == found[1].told(found[1].leaked)


def test_a_non_finite_value_is_named_by_its_dimension(tmp_path: Path) -> None:
    whole = np.zeros((30, 4), dtype=np.float32)
    whole[21, 2] = np.nan
    with pytest.raises(UserError, match="Dimension 2 of the inputs has a non-finite value"):
        mean_and_std(_stored(tmp_path, whole))


def test_batches_equal_those_of_the_same_vectors_in_memory(stored: StoredVectors, whole: np.ndarray) -> None:
    labels, scale = np.arange(53) % 3, mean_and_std(whole)
    on_disk, in_memory = StoredData(stored, labels, "cpu", *scale), DeviceData(whole, labels, "cpu", *scale)
    plan = BatchPlan(np.arange(1, 53), 10, 0, "noisy batches", views=2)
    batches = [
        *zip((on_disk.sequence(plan)(step) for step in (0, 7)), (in_memory.sequence(plan)(step) for step in (0, 7))),  # noqa: B905
        *zip(on_disk.in_order(np.array([9, 3, 50]), 2), in_memory.in_order(np.array([9, 3, 50]), 2), strict=True),
    ]
    assert len(batches) == 4
    for found, expected in batches:
        for name in ("x", "y", "index"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0)


def test_only_the_rows_of_the_batches_are_read(tmp_path: Path) -> None:
    """A set with a file that cannot be indexed serves batches of the other rows."""

    class Unreadable(np.ndarray):
        def __getitem__(self, which: object) -> np.ndarray:
            raise AssertionError("read")

    first = np.ones((20, 3), dtype=np.float32)
    vectors = StoredVectors([first, np.zeros((20, 3), dtype=np.float32).view(Unreadable)])
    data = StoredData(vectors, np.zeros(40, dtype=np.int64), "cpu", np.zeros(3), np.ones(3))
    (batch,) = data.in_order(np.array([3, 19]), 10)
    assert batch.x.tolist() == first[:2].tolist()
    with pytest.raises(AssertionError, match="read"):
        list(data.in_order(np.array([20]), 10))


def test_a_part_of_a_mapped_array_is_read_at_its_own_place(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float32).reshape(10, 2))
    part = StoredVectors([np.load(tmp_path / "x.npy", mmap_mode="r")[5:8]])
    assert part[np.array([0, 2])].tolist() == [[10, 11], [14, 15]]


def test_positions_out_of_range_raise(stored: StoredVectors) -> None:
    for position in (-1, len(stored)):
        with pytest.raises(IndexError, match="stored vectors"):
            stored[np.array([position])]


def test_a_process_gets_its_share_of_the_rows_and_all_labels(stored: StoredVectors, whole: np.ndarray) -> None:
    labels = np.arange(len(whole)) % 3
    data = StoredData(stored, labels, "cpu", np.zeros(6), np.ones(6))
    resident = DeviceData(whole, labels, "cpu", np.zeros(6), np.ones(6))
    plan = BatchPlan(np.arange(10), 4, 0, "noisy", share=Share(1, 2))
    found, expected = data.sequence(plan)(0), resident.sequence(plan)(0)
    assert (len(found.x), len(found.y)) == (2, 4)
    torch.testing.assert_close(found.x, expected.x)
