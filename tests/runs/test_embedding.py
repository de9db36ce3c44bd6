"""Features that a network extracts into a folder: their values, resumption, refusals and damage."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vri_pyro import Classifier, ClassifierOutput
from vri_pyro.backbones import MLP, SmallCNN
from vri_pyro.data import Arrays, Digits, FeatureFolder, ImageFolder
from vri_pyro.data.feature_files import FeatureFiles
from vri_pyro.runs.embedding import embed
from vri_pyro.utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.* has random weights, so its features say little:UserWarning")

Factory = Callable[[tuple[int, ...], int], Classifier]
FROM = {"backbone": {"class_path": "tests.Network", "init_args": {"width": 3}}, "data": {"class_path": "Digits"}}


class Raw(Classifier):
    """A network whose features are the first pixels of an image, times a factor; it counts the images."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, factor: float = 1.0, width: int = 4) -> None:
        super().__init__()
        self.feature_dim, self.num_classes, self.seen = width, num_classes, 0
        self.factor, self.head = nn.Parameter(torch.tensor(factor)), nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> ClassifierOutput:
        self.seen += len(x)
        features = self.factor * x.flatten(1)[:, : self.feature_dim]
        return ClassifierOutput(self.head(features), features)


def factory(network: Classifier) -> Factory:
    return lambda input_shape, num_classes: network


@pytest.fixture
def arrays() -> Arrays:
    generator = np.random.default_rng(0)
    x, y = generator.integers(256, size=(70, 4, 5, 3)).astype(np.uint8), generator.integers(3, size=70)
    return Arrays(
        *(x[:50], y[:50], x[50:], y[50:], ("a", "b", "ç")),
        clean_indices=np.array([4, 1, 9]),
        validation_indices=np.array([30]),
    )


def raw(factor: float = 1.0) -> Raw:
    torch.manual_seed(0)
    return Raw((3, 4, 5), 3, factor)


def expected(images: np.ndarray, dtype: str = "float16") -> np.ndarray:
    scaled = torch.from_numpy(images).float().permute(0, 3, 1, 2).flatten(1)[:, :4] / 255
    return scaled.numpy().astype(dtype).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(("rows", "batch"), [(20, 7), (7, 20), (50, 50), (1000, 3)])
def test_features_labels_and_masks_are_those_of_the_data(
    arrays: Arrays, tmp_path: Path, dtype: str, rows: int, batch: int
) -> None:
    done: list[int] = []
    embed(
        *(arrays, factory(raw()), tmp_path / "f"),
        made_from=FROM,
        dtype=dtype,  # type: ignore[arg-type]
        rows_per_file=rows,
        batch_size=batch,
        progress=done.append,
    )
    found = FeatureFolder(tmp_path / "f").load()
    assert found.x_test is not None and arrays.x_test is not None  # noqa: PT018
    np.testing.assert_array_equal(found.x_train[:], expected(arrays.x_train[:], dtype))
    np.testing.assert_array_equal(found.x_test[:], expected(arrays.x_test[:], dtype))
    for name in ("y_train", "y_test", "clean_indices", "validation_indices"):
        np.testing.assert_array_equal(getattr(found, name), getattr(arrays, name))
    assert found.classes == arrays.classes
    assert found.y_train_clean is None
    assert done == [*range(batch, 50, batch), 50, *range(50 + batch, 70, batch), 70]
    assert len(list((tmp_path / "f").glob("*.npy"))) == -(-50 // rows) + -(-20 // rows)


@pytest.mark.parametrize(
    "changes",
    [{"verified": False}, {"y_train_clean": np.full(50, -1), "open_set": True}, {"x_test": None, "y_test": None}],
)
@pytest.mark.filterwarnings("ignore:.* has no verified labels")
def test_what_is_known_of_the_labels_is_kept(arrays: Arrays, tmp_path: Path, changes: dict[str, object]) -> None:
    data = replace(arrays, clean_indices=None, validation_indices=None, **changes)
    embed(data, factory(raw()), tmp_path, made_from=FROM)
    found = FeatureFolder(tmp_path).load()
    assert (found.verified, found.open_set, found.observed) == (data.verified, data.open_set, data.observed)
    assert (found.x_test is None) == (data.x_test is None)
    for name in ("y_train_clean", "y_test"):
        np.testing.assert_array_equal(getattr(found, name), getattr(data, name))


def test_the_network_is_in_evaluation_mode_and_its_random_weights_are_the_same_every_time(
    arrays: Arrays, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    for name in ("a", "b"):
        torch.manual_seed(ord(name))
        embed(arrays, SmallCNN, tmp_path / name, made_from=FROM, batch_size=33)
    torch.set_rng_state(state)
    first, second = (FeatureFolder(tmp_path / name).load().x_train[:] for name in ("a", "b"))
    np.testing.assert_array_equal(first, second)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallCNN((3, 4, 5), 3).eval()
    with torch.no_grad():
        features = network(torch.from_numpy(arrays.x_train[:]).permute(0, 3, 1, 2) / 255).features
    np.testing.assert_allclose(first, features.numpy(), atol=1e-3)


def test_vectors_reach_the_network_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    data = Arrays(x, np.arange(30) % 2, None, None, ("a", "b"))
    embed(data, lambda shape, classes: MLP(shape, classes, hidden=()), tmp_path, made_from=FROM, dtype="float32")
    np.testing.assert_array_equal(FeatureFolder(tmp_path).load().x_train[:], x)


def test_streamed_images_are_read_and_an_unreadable_one_is_named(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(8, 6, 6, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        place = tmp_path / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    data = ImageFolder(tmp_path / "photos", size=6, verified=True).load()
    embed(data, factory(raw()), tmp_path / "f", made_from=FROM, batch_size=3, rows_per_file=4)
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])
    np.testing.assert_array_equal(FeatureFolder(tmp_path / "f").load().x_train[:], expected(pixels[order]))
    (tmp_path / "photos" / "b" / "5.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"5\.png is damaged"):
        embed(data, factory(raw()), tmp_path / "g", made_from=FROM, batch_size=3)


def test_an_interrupted_extraction_continues_at_the_first_missing_file(arrays: Arrays, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done >= 30:
            raise KeyboardInterrupt

    options = {"made_from": FROM, "rows_per_file": 15, "batch_size": 4}
    with pytest.raises(KeyboardInterrupt):
        embed(arrays, factory(raw()), tmp_path, progress=stop, **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"features-train-00002\.npy is missing, since the extraction did not finish"):
        FeatureFolder(tmp_path).load()
    kept = (tmp_path / "features-train-00001.npy").stat().st_mtime_ns
    network, done = raw(), list[int]()
    embed(arrays, factory(network), tmp_path, progress=done.append, **options)  # type: ignore[arg-type]
    assert network.seen == 40
    assert done[:2] == [15, 30]
    assert (tmp_path / "features-train-00001.npy").stat().st_mtime_ns == kept
    np.testing.assert_array_equal(FeatureFolder(tmp_path).load().x_train[:], expected(arrays.x_train[:]))
    again = raw()
    embed(arrays, factory(again), tmp_path, **options)  # type: ignore[arg-type]
    assert again.seen == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dtype": "float32"}, "dtype is float32 instead of float16"),
        ({"rows_per_file": 9}, "rows_per_file is 9 instead of 8192"),
        ({"backbone": factory(raw(2.0))}, "the weights of the backbone differ"),
        (
            {"made_from": FROM | {"backbone": {"class_path": "tests.Network", "init_args": {"width": 5}}}},
            "backbone.init_args.width is 5 instead of 3",
        ),
        ({"made_from": FROM | {"data": {"class_path": "CIFAR10"}}}, "data.class_path is CIFAR10 instead of Digits"),
        ({"labels": True}, r"1 of 50 training labels differ \(example 7\)"),
        ({"pixels": True}, r"1 of 50 training inputs differ \(example 7\)"),
        ({"trusted": True}, "clean_indices of the data differ"),
    ],
)
def test_a_folder_of_other_features_is_refused_with_what_differs(
    arrays: Arrays, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    embed(arrays, factory(raw()), tmp_path, made_from=FROM)
    x, y = arrays.x_train[:], arrays.y_train.copy()
    data = arrays
    if change.pop("labels", False):
        y[7] = (y[7] + 1) % 3
        data = replace(arrays, y_train=y)
    if change.pop("pixels", False):
        x = x.copy()
        x[7] += 1
        data = replace(arrays, x_train=x)
    if change.pop("trusted", False):
        data = replace(arrays, clean_indices=np.array([2]))
    options = {"backbone": factory(raw()), "made_from": FROM} | change
    with pytest.raises(UserError, match=f"extracted differently: {told}; choose another --output"):
        embed(data, folder=tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (1e6, r"feature \d of training example 0 is [\d.e+]+, too large for float16 \(65,504\); .* --dtype float32"),
        (float("nan"), "feature 0 of training example 0 is nan; use another backbone"),
    ],
)
def test_a_feature_that_cannot_be_stored_is_named(arrays: Arrays, tmp_path: Path, factor: float, told: str) -> None:
    with pytest.raises(UserError, match=told):
        embed(arrays, factory(raw(factor)), tmp_path / "f", made_from=FROM)
    assert not (tmp_path / "f").exists()


def test_a_network_whose_features_have_another_shape_is_refused(arrays: Arrays, tmp_path: Path) -> None:
    network = raw()
    network.feature_dim, network.head = 1000, nn.Linear(60, 3)
    with pytest.raises(
        UserError, match=r"Raw returned features of shape \[50, 60\] for 50 inputs; expected \[50, 1000"
    ):
        embed(arrays, factory(network), tmp_path, made_from=FROM)


@pytest.fixture
def folder(arrays: Arrays, tmp_path: Path) -> Path:
    embed(arrays, factory(raw()), tmp_path / "f", made_from=FROM, rows_per_file=30)
    return tmp_path / "f"


def _rewritten(folder: Path, **changes: object) -> None:
    path = folder / "features.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_damage_of_a_file_is_one_sentence(folder: Path) -> None:
    first = folder / "features-train-00000.npy"
    content = first.read_bytes()
    for damaged in (content[:50], content[:-1], b"", b"nothing", content.replace(b"<f2", b"|O ")):
        first.write_bytes(damaged)
        with pytest.raises(UserError, match=r"features-train-00000\.npy (is damaged|has) .*delete it and run the same"):
            FeatureFolder(folder).load()
    np.save(first, np.zeros((30, 5), dtype=np.float16))
    with pytest.raises(UserError, match=r"has float16 \[30, 5\] but features\.json says float16 \[30, 4\]"):
        FeatureFolder(folder).load()


@pytest.mark.parametrize("name", ["dim", "dtype", "rows_per_file", "train", "test", "verified", "made_from", "format"])
@pytest.mark.parametrize("value", [None, -1, 1.5, "x", [], 10**30])
def test_an_invalid_description_is_one_sentence(folder: Path, name: str, value: object) -> None:
    _rewritten(folder, **{name: value})
    with pytest.raises(UserError, match=rf"features\.json (is damaged: {name} is|was written by a newer)"):
        FeatureFolder(folder).load()


def test_a_description_that_promises_more_than_there_is_is_refused_before_memory_is_allocated(folder: Path) -> None:
    _rewritten(folder, train=2**40)
    with pytest.raises(
        UserError, match=r"features-train-00001\.npy has float16 \[20, 4\] but .* says float16 \[30, 4\]"
    ):
        FeatureFolder(folder).load()
    _rewritten(folder, rows_per_file=2**40)
    with pytest.raises(UserError, match=r"features-train-00000\.npy has float16 \[30, 4\] but"):
        FeatureFolder(folder).load()


def test_other_text_than_a_description_is_one_sentence(folder: Path) -> None:
    for text in ("", "[]", "{", "\ud800".encode(errors="surrogatepass").decode("latin1")):
        (folder / "features.json").write_text(text)
        with pytest.raises(UserError, match="expected a folder that vri-pyro embed has written"):
            FeatureFolder(folder).load()
    (folder / "features.json").unlink()
    with pytest.raises(UserError, match=r"has no features\.json"):
        FeatureFolder(folder).load()


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    first = folder / "features-train-00000.npy"
    first.rename(tmp_path / "elsewhere.npy")
    first.symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(UserError, match=r"features-train-00000\.npy is a link, .*; replace it"):
        FeatureFolder(folder).load()


def test_labels_that_do_not_fit_are_one_sentence(folder: Path) -> None:
    _rewritten(folder, train=30)
    with pytest.raises(UserError, match=r"In .*labels\.npz: y_train has 50 labels for 30 examples"):
        FeatureFolder(folder).load()


def test_a_second_process_waits_outside(arrays: Arrays, tmp_path: Path) -> None:
    def start_another(done: int) -> None:
        with pytest.raises(UserError, match="is in use by process"):
            embed(arrays, factory(raw()), tmp_path, made_from=FROM)

    embed(arrays, factory(raw()), tmp_path, made_from=FROM, progress=start_another)


def test_files_are_listed_in_their_description(folder: Path) -> None:
    files = FeatureFiles(folder)
    description = files.read_description()
    assert (description.dim, description.dtype, description.train, description.test) == (4, "float16", 50, 20)
    assert description.made_from["backbone"] == FROM["backbone"]
    assert {"vri_pyro", "torch", "device"} <= set(description.made_by)


def test_digits_embedded_by_the_identity_train_as_the_digits(tmp_path: Path) -> None:
    """The features of a linear classifier are its inputs: pixels in 0..1."""
    digits = Digits().load()
    embed(digits, lambda shape, k: MLP(shape, k, hidden=()), tmp_path, made_from=FROM, dtype="float32")
    found = FeatureFolder(tmp_path).load()
    np.testing.assert_array_equal(found.x_train[:], (digits.x_train[:] / np.float32(255)).reshape(-1, 64))


def test_random_weights_are_warned_of_and_stored_ones_are_not(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    arrays = Arrays(x, np.arange(8) % 2, None, None, ("a", "b"))
    with pytest.warns(UserWarning, match="SmallCNN has random weights, so its features say little; use a pretrained"):
        embed(arrays, SmallCNN, tmp_path / "random", made_from=FROM)
    stored = SmallCNN((3, 8, 8), 2).state_dict()

    def loaded(shape: tuple[int, ...], classes: int) -> Classifier:
        network = SmallCNN(shape, classes)
        network.load_state_dict(stored)
        return network

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(arrays, loaded, tmp_path / "stored", made_from=FROM)
