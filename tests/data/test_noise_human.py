"""Human labels: alignment with examples, safe reading of every file type, and errors for unsuitable files."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vri_pyro.data import Arrays, Compose, HumanLabels, NoNoise, Split, UniformExclusive, generator_for, make_split
from vri_pyro.utils.errors import UserError

TRUTH = np.arange(60) % 3
GIVEN = np.where(np.arange(60) % 4 == 0, (TRUTH + 1) % 3, TRUTH)


def _write(path: Path, key: str = "worse_label", given: Any = GIVEN, truth: Any = TRUTH) -> Path:
    arrays = {key: given, "clean_label": truth, "aggre_label": TRUTH}
    if path.suffix == ".npy":
        np.save(path, given)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        torch.save(arrays, path)
    return path


def _split(arrays: Arrays, noise: Any, clean_per_class: int = 2, seed: int = 0) -> Split:
    return make_split(arrays, noise, clean_per_class, 3, None, seed)


@pytest.mark.parametrize(
    ("name", "key"), [("labels.npy", None), ("labels.npz", "worse_label"), ("labels.pt", "worse_label")]
)
@given(clean=st.integers(1, 10), seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_every_noisy_example_gets_its_own_label(
    tmp_path_factory: pytest.TempPathFactory,
    arrays_of: Callable[..., Arrays],
    name: str,
    key: str | None,
    clean: int,
    seed: int,
) -> None:
    path = _write(tmp_path_factory.mktemp("human") / name)
    split = _split(arrays_of(3, 20), HumanLabels(path, key), clean, seed)
    assert np.array_equal(split.given_labels, GIVEN[split.noisy_indices])
    assert np.array_equal(split.clean_labels, TRUTH[split.clean_indices])
    assert split.nominal_rate == pytest.approx(split.realised_rate)
    assert split.noise.startswith("HumanLabels(path=")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_pt_file_of_any_integer_type_is_read(tmp_path: Path, blobs: Arrays, dtype: str) -> None:
    path = _write(tmp_path / "labels.pt", given=GIVEN.astype(dtype))
    assert np.array_equal(
        (split := _split(blobs, HumanLabels(path, "worse_label"))).given_labels, GIVEN[split.noisy_indices]
    )


def test_pt_file_of_tensors_is_read(tmp_path: Path, blobs: Arrays) -> None:
    path = _write(tmp_path / "labels.pt", given=torch.from_numpy(GIVEN), truth=torch.from_numpy(TRUTH))
    split = _split(blobs, HumanLabels(path, "worse_label"))
    assert np.array_equal(split.given_labels, GIVEN[split.noisy_indices])


def test_pt_file_written_under_numpy_1_is_read(tmp_path: Path, blobs: Arrays) -> None:
    with zipfile.ZipFile(_write(tmp_path / "new.pt")) as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    split = _split(blobs, HumanLabels(tmp_path / "old.pt", "worse_label"))
    assert np.array_equal(split.given_labels, GIVEN[split.noisy_indices])


def test_coarse_labels_are_checked_against_the_coarse_truth(tmp_path: Path, blobs: Arrays) -> None:
    arrays = {"noisy_coarse_label": GIVEN, "clean_coarse_label": TRUTH, "clean_label": TRUTH + 40}
    torch.save(arrays, tmp_path / "labels.pt")
    assert _split(blobs, HumanLabels(tmp_path / "labels.pt", "noisy_coarse_label")).realised_rate > 0


def test_whole_training_set_is_relabelled_without_a_split(tmp_path: Path) -> None:
    noise = HumanLabels(_write(tmp_path / "labels.npy"))
    noisy = noise.apply(TRUTH, np.zeros((60, 1), np.float32), 4, generator_for(0, "noise"))
    assert np.array_equal(noisy.labels, GIVEN)
    assert noisy.transition[3].tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(noisy.transition[:3], noisy.realised_transition[:3])


def test_further_noise_can_be_put_on_human_labels(tmp_path: Path, blobs: Arrays) -> None:
    noise = Compose((HumanLabels(_write(tmp_path / "labels.npy")), UniformExclusive(1.0)))
    split = _split(blobs, noise)
    assert (split.given_labels != GIVEN[split.noisy_indices]).all()


@pytest.mark.parametrize(
    ("path", "key", "message"),
    [
        ("labels.csv", None, r"got the file labels\.csv; expected one of \.npy, \.npz, \.pt"),
        ("labels.npy", "worse_label", r"an \.npy file has only one array; remove the key"),
        ("labels.pt", None, "got no key for labels.pt; set key to the name of the label array, such as worse_label"),
        ("labels.npz", None, "got no key"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_at_once(path: str, key: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        HumanLabels(path, key)


@pytest.mark.parametrize("name", ["labels.npz", "labels.pt"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"given": GIVEN[:59]}, r"worse_label in .* has shape \(59,\) but the training set has 60 examples"),
        ({"given": np.append(GIVEN, 0)}, r"has shape \(61,\)"),
        ({"given": GIVEN[:, None]}, r"has shape \(60, 1\)"),
        ({"truth": TRUTH[:59]}, r"clean_label in .* has shape \(59,\)"),
        (
            {"truth": TRUTH[::-1].copy()},
            "was made for other data: 30 of its 45 true labels differ from .* original order",
        ),
        ({"given": GIVEN + 1}, "is 3; labels are 0 to 2"),
        ({"given": GIVEN - 1}, "is -1; labels are 0 to 2"),
        ({"key": "random_label1"}, "lacks worse_label .*it contains random_label1, clean_label, aggre_label"),
    ],
)
def test_labels_that_do_not_fit_the_data_are_refused(
    tmp_path: Path, blobs: Arrays, name: str, changes: dict[str, Any], message: str
) -> None:
    path = _write(tmp_path / name, **changes)
    with pytest.raises(UserError, match=message):
        _split(blobs, HumanLabels(path, "worse_label"))


def test_labels_that_are_no_integers_are_refused(tmp_path: Path, blobs: Arrays) -> None:
    with pytest.raises(UserError, match="has dtype float64 but must have an integer dtype"):
        _split(blobs, HumanLabels(_write(tmp_path / "labels.npy", given=GIVEN / 1)))
    torch.save({"worse_label": GIVEN.tolist()}, tmp_path / "labels.pt")
    with pytest.raises(UserError, match=r"worse_label in .* is a list; save a NumPy array or a tensor"):
        _split(blobs, HumanLabels(tmp_path / "labels.pt", "worse_label"))


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_nothing_in_a_pt_file_is_run(
    tmp_path: Path, blobs: Arrays, monkeypatch: pytest.MonkeyPatch, write: Callable[[Any, Path], Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"worse_label": _Trap()}, Path("labels.pt"))
    with pytest.raises(UserError, match="is damaged or contains Python objects"):
        _split(blobs, HumanLabels("labels.pt", "worse_label"))
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["labels.npy", "labels.npz", "labels.pt"])
def test_missing_or_damaged_file_is_refused(tmp_path: Path, blobs: Arrays, name: str) -> None:
    noise = HumanLabels(tmp_path / name, None if name == "labels.npy" else "worse_label")
    with pytest.raises(UserError, match=r"The file .* does not exist; expected an? "):
        _split(blobs, noise)
    contents = _write(tmp_path / name).read_bytes()
    for length in (0, 1, 30, len(contents) // 2, len(contents) - 30):
        (tmp_path / name).write_bytes(contents[:length])
        with pytest.raises(UserError, match=str(tmp_path / name)):
            _split(blobs, noise)
    (tmp_path / name).write_bytes(b"no such format")
    with pytest.raises(UserError, match=str(tmp_path / name)):
        _split(blobs, noise)


def test_pt_file_of_a_bare_tensor_is_refused(tmp_path: Path, blobs: Arrays) -> None:
    torch.save(torch.from_numpy(GIVEN), tmp_path / "labels.pt")
    with pytest.raises(UserError, match=r"contains a Tensor; expected a \.pt file"):
        _split(blobs, HumanLabels(tmp_path / "labels.pt", "worse_label"))


def test_reading_leaves_pytorchs_safe_list_as_it_was(tmp_path: Path, blobs: Arrays) -> None:
    before = set(torch.serialization.get_safe_globals())
    _split(blobs, HumanLabels(_write(tmp_path / "labels.pt"), "worse_label"))
    assert set(torch.serialization.get_safe_globals()) == before


def test_split_without_noise_is_not_moved_by_human_labels(tmp_path: Path, blobs: Arrays) -> None:
    human, plain = _split(blobs, HumanLabels(_write(tmp_path / "labels.npy"))), _split(blobs, NoNoise())
    assert np.array_equal(human.noisy_indices, plain.noisy_indices)
    assert np.array_equal(human.clean_indices, plain.clean_indices)
