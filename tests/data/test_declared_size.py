"""Files that declare more data than memory holds are refused before memory is allocated."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.data import NpzFile, Table
from vri_pyro.data import declared_size as module
from vri_pyro.data.declared_size import physical_memory
from vri_pyro.data.noise.array_files import read_npy, read_pt
from vri_pyro.data.npz import read_npz
from vri_pyro.runs.new_inputs import read_new_inputs
from vri_pyro.utils.errors import UserError

HUGE = (10**6, 10**6, 3)


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    """The header of an .npy file that declares a shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": dtype})
    return buffer.getvalue()


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, contents in members.items():
            file.writestr(f"{name}.npy", contents)
    return path


def peak(call: Callable[[], Any]) -> int:
    """Peak of the memory that a call allocates, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine with 1 MiB of memory."""
    monkeypatch.setattr(module, "physical_memory", lambda: 2**20)
    return 2**20


def test_memory_is_that_of_the_system() -> None:
    memory = physical_memory()
    assert memory is None or 2**28 < memory < 2**50


@pytest.mark.parametrize("dtype", ["<f8", "|u1", "<U1000000"])
def test_a_header_that_declares_more_than_its_file_is_refused_unallocated(tmp_path: Path, dtype: str) -> None:
    path = archive(tmp_path / "a.npz", x=header(HUGE, dtype))
    with pytest.raises(UserError, match=r"x in .*a\.npz is truncated or damaged"):
        read_npz(path, ["x"])
    (tmp_path / "a.npy").write_bytes(header(HUGE, dtype))
    with pytest.raises(UserError, match=r"a\.npy is not a valid \.npy file of numbers"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(UserError, match=r"a\.npy is damaged or not an \.npy file .* declares .* bytes of data but"):
        read_new_inputs(tmp_path / "a.npy", (3,), "float64")


def test_negative_and_overflowing_shapes_are_refused(tmp_path: Path) -> None:
    for number, shape in enumerate([(-1,), (2**40, 2**40), (2**62, 4)]):
        path = archive(tmp_path / f"{number}.npz", x=header(shape))
        with pytest.raises(UserError, match="is truncated or damaged"):
            read_npz(path, ["x"])


def test_a_compressed_array_beyond_memory_is_refused_unallocated(tmp_path: Path, small_memory: int) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(4 * small_memory, np.uint8), y=np.zeros(3))
    assert path.stat().st_size < small_memory / 50

    def refused() -> None:
        with pytest.raises(UserError, match=r"x in .*bomb\.npz would take 0\.0 GiB but this machine has 0\.0 GiB"):
            read_npz(path, ["x"])

    assert peak(refused) < small_memory
    assert read_npz(path, ["y"])["y"].tolist() == [0, 0, 0]  # the other arrays of the file can be read


def test_arrays_that_exceed_memory_together_are_refused(tmp_path: Path, small_memory: int) -> None:
    half = np.zeros(int(0.6 * small_memory), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x=half, y=half)
    assert len(read_npz(tmp_path / "a.npz", ["x"])["x"]) == len(half)
    with pytest.raises(UserError, match=r"The arrays x, y in .*a\.npz together would take"):
        read_npz(tmp_path / "a.npz", ["x", "y"])


def test_highly_compressed_arrays_below_memory_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(2**24, np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 2**24 / 500
    assert read_npz(tmp_path / "a.npz", ["x"])["x"].shape == (2**24,)


def test_a_member_that_is_not_an_array_is_refused_by_its_size(tmp_path: Path, small_memory: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x", b"\0" * (2 * small_memory))
        file.writestr("y", b"\0")
    with pytest.raises(UserError, match=r"x in .* would take"):
        read_npz(tmp_path / "a.npz", ["x"])
    with pytest.raises(UserError, match=r"y in .* is not a NumPy array"):
        read_npz(tmp_path / "a.npz", ["y"])


def test_the_message_names_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "physical_memory", lambda: 16 * 2**30)
    with pytest.raises(UserError) as raised:
        module.check_memory("x_train in a.npz", 40 * 2**30)
    assert str(raised.value) == (
        "x_train in a.npz would take 40.0 GiB but this machine has 16.0 GiB of memory; store less or smaller data."
    )
    monkeypatch.setattr(module, "physical_memory", lambda: None)  # a system that does not say
    module.check_memory("x", 2**60)


def test_every_source_of_arrays_checks_sizes(tmp_path: Path, small_memory: int) -> None:
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((2 * small_memory, 1), np.uint8), y_train=np.zeros(3))
    with pytest.raises(UserError, match=r"x_train in .* would take"):
        NpzFile(tmp_path / "a.npz").load()
    np.savez_compressed(tmp_path / "b.npz", x=np.zeros((2 * small_memory, 1), np.uint8))
    with pytest.raises(UserError, match=r"x in .* would take"):
        read_new_inputs(tmp_path / "b.npz", (1,), "uint8")
    np.save(tmp_path / "c.npy", np.zeros(2 * small_memory, np.uint8))
    with pytest.raises(UserError, match=r"The array in .*c\.npy would take"):
        read_npy(tmp_path / "c.npy")
    torch.save({"labels": torch.zeros(2 * small_memory, dtype=torch.uint8)}, tmp_path / "d.pt")
    with pytest.raises(UserError, match=r"The contents of .*d\.pt would take"):
        read_pt(tmp_path / "d.pt", ["labels"])


def test_tables_that_declare_more_than_memory_are_refused(tmp_path: Path, small_memory: int) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = 20_000
    table = pyarrow.table({"path": ["a.png"] * rows, "label": ["b"] * rows, "split": ["train"] * rows})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 10_000
    with pytest.raises(UserError, match=r"The table in .*t\.parquet would take"):
        Table(tmp_path / "t.parquet").load()
    with pytest.raises(UserError, match=r"The table in .*t\.parquet would take"):
        read_new_inputs(tmp_path / "t.parquet", (3,), "float32")


def test_pickled_arrays_stay_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}] * 3, dtype=object)
    np.savez(tmp_path / "a.npz", x=objects)
    with pytest.raises(UserError, match="is an array of Python objects, and unpickling could run arbitrary code"):
        read_npz(tmp_path / "a.npz", ["x"])
    np.save(tmp_path / "a.npy", objects)
    with pytest.raises(UserError, match=r"is not a valid .npy file of numbers"):
        read_npy(tmp_path / "a.npy")


def test_a_size_that_the_archive_understates_is_not_exceeded(tmp_path: Path) -> None:
    contents = header((10**6,), "|u1") + b"\0" * 10**6
    path = archive(tmp_path / "a.npz", x=contents)
    spoiled = bytearray(path.read_bytes())
    for place in range(len(spoiled) - 4):  # the uncompressed size, in both headers of the member
        if spoiled[place : place + 4] == struct.pack("<I", len(contents)):
            spoiled[place : place + 4] = struct.pack("<I", 500)
    path.write_bytes(spoiled)
    with pytest.raises(UserError, match=r"x in .* is truncated or damaged"):
        read_npz(path, ["x"])
