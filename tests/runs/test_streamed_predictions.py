"""Predictions on streamed images are those of training, batch by batch, and name what cannot be read."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vri_pyro.data import Digits, ImageFiles, StreamedData, generator_for
from vri_pyro.data.augmentation import CentreCrop
from vri_pyro.runs.new_inputs import read_new_inputs
from vri_pyro.runs.prediction_table import columns, write_predictions
from vri_pyro.runs.predictor import Predictor
from vri_pyro.utils.errors import UserError

Train = Callable[..., Path]
CROP = ("--augmentation", "RandomCrop", "--augmentation.size", "10")
CLEAN_CROP = ("--clean_augmentation", "RandomCrop", "--clean_augmentation.size", "10")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of colour images of different sizes, of two classes."""
    root = tmp_path_factory.mktemp("photos")
    generator = generator_for(0)
    for part, count in (("noisy", 20), ("test", 8)):
        for name, brightness in (("cat", 90), ("dog", 230)):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                size = (14 + number % 5, 13 + number % 3, 3)
                pixels = (generator.random(size) * brightness).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def run(train: Train, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = ("--data", "ImageFolder", "--data.path", str(photos), "--data.size", "12", "--data.verified", "true")
    sizes = ("--split.noisy_size", "20", "--workers", "0", "--evaluate_every", "1")
    return train(tmp_path_factory.mktemp("images") / "run", *data, *sizes, *CROP, *CLEAN_CROP)


def test_images_are_scaled_cropped_and_standardised_as_in_training(run: Path, photos: Path) -> None:
    predictor = Predictor(run)
    images, _ = read_new_inputs(photos / "test", predictor.shape, predictor.dtype)
    assert isinstance(images, ImageFiles)
    names = [f"{part}/{number:02}.png" for part in ("cat", "dog") for number in range(8)]
    assert [images.listed(index) for index in range(len(images))] == names
    training = ImageFiles(photos / "test", names, 12)  # as the data source reads them
    examples = StreamedData(training, np.zeros(16, np.int64), "cpu", predictor.mean, predictor.std, crop=CentreCrop(10))
    with torch.no_grad():
        expected = [
            predictor.classifier(batch.x).logits.double().softmax(-1) for batch in examples.in_order(np.arange(16), 5)
        ]
    found = np.concatenate(list(predictor.predict_batches(images, batch_size=5)))
    np.testing.assert_array_equal(found, torch.cat(expected).numpy())


def test_accuracy_on_the_test_images_is_that_of_the_run(run: Path, photos: Path) -> None:
    predictor = Predictor(run)
    images, _ = read_new_inputs(photos / "test", predictor.shape, predictor.dtype)
    labels = np.repeat([0, 1], 8)
    accuracy = 100 * (predictor.predict(images).argmax(1) == labels).mean()  # type: ignore[arg-type]
    assert accuracy == pytest.approx(json.loads((run / "summary.json").read_text())["results"]["last"])


def test_training_data_are_not_needed(run: Path, photos: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(run, tmp_path / "copied")
    config = (elsewhere / "config.yaml").read_text()
    assert str(photos) in config
    (elsewhere / "config.yaml").write_text(config.replace(str(photos), "/nowhere"))
    (elsewhere / "split.npz").unlink()
    x = ImageFiles(photos / "test", ["cat/00.png"], 12)[:]
    np.testing.assert_array_equal(Predictor(elsewhere).predict(x), Predictor(run).predict(x))


def test_batches_do_not_depend_on_the_number_of_workers(run: Path, photos: Path) -> None:
    predictor = Predictor(run)
    images, _ = read_new_inputs(photos, predictor.shape, predictor.dtype)
    alone = list(predictor.predict_batches(images, batch_size=16))
    assert [len(batch) for batch in alone] == [16, 16, 16, 8]
    for own, shared in zip(alone, predictor.predict_batches(images, batch_size=16, workers=1), strict=True):
        np.testing.assert_array_equal(own, shared)


def test_unreadable_images_are_named_and_their_rows_are_empty(run: Path, photos: Path, tmp_path: Path) -> None:
    for number in range(3):
        shutil.copy(photos / "test" / "cat" / f"{number:02}.png", tmp_path)
    whole = (tmp_path / "01.png").read_bytes()
    (tmp_path / "01.png").write_bytes(whole[: len(whole) // 2])
    predictor = Predictor(run)
    images, _ = read_new_inputs(tmp_path, predictor.shape, predictor.dtype)
    table = tmp_path / "predictions.csv"
    with pytest.warns(UserWarning, match=r"01\.png is damaged or not an image .* replace it or remove it"):
        unreadable = write_predictions(
            table,
            predictor.predict_batches(images, batch_size=2),
            predictor.classes,
            images.listed,  # type: ignore[union-attr]
        )
    assert unreadable == 1
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["input"] for row in rows] == ["00.png", "01.png", "02.png"]
    assert [row["prediction"] == "" for row in rows] == [False, True, False]
    assert rows[1]["p_cat"] == rows[1]["p_dog"] == ""
    assert float(rows[2]["p_cat"]) + float(rows[2]["p_dog"]) == pytest.approx(1, abs=1e-6)


def test_nothing_is_written_if_no_image_is_readable(run: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    predictor = Predictor(run)
    images, _ = read_new_inputs(tmp_path / "photos", predictor.shape, predictor.dtype)
    batches = predictor.predict_batches(images)
    with (
        pytest.warns(UserWarning, match="a.png is damaged"),
        pytest.raises(UserError, match="none of the 1 inputs can be read"),
    ):
        write_predictions(tmp_path / "p.csv", batches, predictor.classes, images.listed)  # type: ignore[union-attr]
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_interrupted_table_keeps_the_previous_file(tmp_path: Path) -> None:
    def batches() -> Iterator[np.ndarray]:
        yield np.full((2, 2), 0.5, np.float32)
        raise KeyboardInterrupt

    (tmp_path / "p.csv").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        write_predictions(tmp_path / "p.csv", batches(), ("a", "b"), str)
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    assert (tmp_path / "p.csv").read_text() == "before"


def test_rows_are_written_before_the_next_batch_is_computed(tmp_path: Path) -> None:
    done: list[int] = []

    def batches() -> Iterator[np.ndarray]:
        for number in range(3):
            assert done == [2 * (before + 1) for before in range(number)]
            yield np.full((2, 2), 0.5, np.float32)

    write_predictions(tmp_path / "p.csv", batches(), ("a", "b"), str, done.append)
    assert done == [2, 4, 6]


def test_table_has_the_exact_probabilities(tmp_path: Path) -> None:
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 20
    probabilities = logits.softmax(-1).numpy()
    write_predictions(tmp_path / "p.csv", [probabilities[:20], probabilities[20:]], ("a", "b,c", "d"), str)
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert list(rows[0]) == columns(("a", "b,c", "d")) == ["input", "prediction", "p_a", "p_b,c", "p_d"]
    found = np.array([[row["p_a"], row["p_b,c"], row["p_d"]] for row in rows]).astype(np.float32)
    np.testing.assert_array_equal(found, probabilities)
    assert [row["prediction"] for row in rows] == [("a", "b,c", "d")[best] for best in probabilities.argmax(1)]
    assert [row["input"] for row in rows] == [str(number) for number in range(50)]


def test_image_files_of_digits_are_read_as_their_grey_arrays(train: Train, tmp_path: Path) -> None:
    predictor = Predictor(train(tmp_path / "run"))
    x = Digits().load().x_test[:5]
    (tmp_path / "images").mkdir()
    for number, image in enumerate(x[..., 0]):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    images, _ = read_new_inputs(tmp_path / "images", predictor.shape, predictor.dtype)
    np.testing.assert_array_equal(images[:], x)
    np.testing.assert_array_equal(np.concatenate(list(predictor.predict_batches(images))), predictor.predict(x))
    with pytest.raises(UserError, match="batch_size is 0; expected a value >= 1"):
        predictor.predict_batches(x, batch_size=0)
    with pytest.raises(UserError, match="workers is -1; expected a value >= 0"):
        predictor.predict_batches(x, workers=-1)


def test_a_run_without_a_validation_set_has_no_best_classifier(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "run", "--split.validation_per_class", "0", "--backbone", "MLP")
    with pytest.raises(UserError, match="has no best epoch because it has no validation set; use which='last'"):
        Predictor(run, "best")
