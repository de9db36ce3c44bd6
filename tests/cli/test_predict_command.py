"""``vri-pyro predict`` writes a table of predictions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vri_pyro.data import Digits
from vri_pyro.runs.predictor import Predictor

from .conftest import Command


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def run(vri_pyro: Command) -> str:
    assert vri_pyro("fit", "--config", "tiny.yaml", "--quiet", "true").status == 0
    return "run"


@pytest.fixture
def photos(here: Path) -> np.ndarray:
    """Three digits in the folder photos, as arrays."""
    (here / "photos" / "more").mkdir(parents=True)
    digits = Digits().load().x_test[:3]
    for name, digit in zip(("a.png", "b.png", "more/c.png"), digits[..., 0], strict=True):
        Image.fromarray(digit).save(here / "photos" / name)
    return digits


def test_predictions_of_a_folder_are_those_of_the_predictor(
    run: str, photos: np.ndarray, vri_pyro: Command, here: Path
) -> None:
    shown = vri_pyro("predict", run, "photos", "--batch_size", "2", "--workers", "0", "--device", "cpu")
    assert shown.status == 0
    assert shown.stdout.splitlines() == ["3 images in photos", f"predictions: {here / 'predictions.csv'}"]
    assert shown.stderr == ""
    rows, predictor = _rows(here / "predictions.csv"), Predictor(run)
    expected = np.concatenate(list(predictor.predict_batches(photos, 2)))
    assert [row["input"] for row in rows] == ["a.png", "b.png", "more/c.png"]
    assert [row["prediction"] for row in rows] == [predictor.classes[best] for best in expected.argmax(1)]
    found = np.array([[row[f"p_{name}"] for name in predictor.classes] for row in rows]).astype(np.float32)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("always")
def test_an_unreadable_image_is_a_warning_and_an_empty_row(
    run: str, photos: np.ndarray, vri_pyro: Command, here: Path
) -> None:
    (here / "photos" / "b.png").write_bytes(b"no image")
    shown = vri_pyro("predict", run, "photos", "--output", "p.csv")
    assert shown.status == 0
    assert shown.stderr.startswith("warning: photos/b.png is damaged or not an image")
    assert len(shown.stderr.splitlines()) == 1
    assert "1 of 3 images could not be read; their predictions are empty" in shown.stdout
    assert [row["prediction"] == "" for row in _rows(here / "p.csv")] == [False, True, False]


def test_which_array_was_read_is_shown(run: str, vri_pyro: Command, here: Path) -> None:
    digits = Digits().load()
    np.savez(here / "digits.npz", x_test=digits.x_test, y_test=digits.y_test)
    shown = vri_pyro("predict", run, "digits.npz", "--which", "best", "--output", "new/p.csv")
    assert shown.stdout.startswith("array x_test in digits.npz\n")
    rows = _rows(here / "new" / "p.csv")
    assert [row["input"] for row in rows] == [str(number) for number in range(len(digits.x_test))]
    expected = Predictor(run, "best").predict(digits.x_test).argmax(1)
    assert [int(row["prediction"]) for row in rows] == expected.tolist()


def test_terminals_show_a_progress_bar(
    run: str, photos: np.ndarray, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "predicting" not in vri_pyro("predict", run, "photos").stdout
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert "predicting" in vri_pyro("predict", run, "photos").stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "the run folder or the inputs are missing; use `vri-pyro predict RUN INPUTS`"),
        ("run", "the run folder or the inputs are missing; use `vri-pyro predict RUN INPUTS`"),
        ("photos photos", "photos is not a run folder; use the --output folder of vri-pyro fit"),
        ("run nothing", "nothing does not exist; expected a folder of images, an image, or an .npz, .npy, .csv or"),
        ("run photos --which worst", "--which: expected one of 'last', 'best', not 'worst'"),
        ("run photos --batch_size 0", "batch_size is 0; expected a value >= 1"),
        ("run photos --workers -1", "workers is -1; expected a value >= 0"),
        (
            "run outside.csv",
            "outside.csv, row 1: '../a.png' is outside of .; set --root to a folder that holds all images",
        ),
        ("run photos --bits 3", "bits is 3; expected a number of bits per channel from 8 to 16, or null"),
        ("run photos --output photos", "cannot write photos: it is a folder; use the path of a file"),
        ("run photos/a.png --output photos/a.png", "photos/a.png is both the input and the output; choose another"),
        (
            "run wide.npy",
            "x has uint8 inputs of shape [1, 9, 9] but the run was trained on uint8 inputs of",
        ),
        ("run floats.npy", "x has float32 inputs of shape [1, 8, 8] but the run was trained on uint8 inputs"),
        ("run long.npy", "x has dtype int64; convert it to uint8 (0 to 255) or float32."),
    ],
)
def test_bad_input_is_one_sentence(
    run: str, photos: np.ndarray, vri_pyro: Command, here: Path, arguments: str, complaint: str
) -> None:
    (here / "outside.csv").write_text("path\n../a.png\n")
    np.save(here / "wide.npy", np.zeros((2, 9, 9), np.uint8))
    np.save(here / "floats.npy", np.zeros((2, 8, 8), np.float32))
    np.save(here / "long.npy", np.zeros((2, 8, 8), np.int64))
    shown = vri_pyro("predict", *arguments.split())
    assert shown.status == 2
    assert shown.stderr.startswith(f"error: {complaint}")
    assert len(shown.stderr.splitlines()) == 1
    assert not (here / "predictions.csv").exists()
