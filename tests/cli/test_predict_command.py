"""``vri-pyro predict`` writes a table of predictions."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vri_pyro.calibration import CalibratedPredictor
from vri_pyro.data import Digits
from vri_pyro.runs.prediction_table import write_predictions
from vri_pyro.runs.predictor import Predictor
from vri_pyro.utils.errors import UserError

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
    found = np.array([[row[f"p_{name}"] for name in predictor.classes] for row in rows]).astype(float)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


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


@pytest.fixture
def validated(vri_pyro: Command) -> str:
    """A run with 10 validation labels a class."""
    assert vri_pyro("fit", "--config", "tiny.yaml", "--split.validation_per_class", "10", "--quiet", "true").status == 0
    return "run"


def test_sets_are_listed_by_name_beside_unchanged_predictions(
    validated: str, photos: np.ndarray, vri_pyro: Command, here: Path
) -> None:
    assert vri_pyro("predict", validated, "photos", "--device", "cpu", "--output", "plain.csv").status == 0
    shown = vri_pyro("predict", validated, "photos", "--coverage", "0.9", "--device", "cpu")
    assert shown.status == 0
    assert "at least 90% of new inputs, in the mean over calibrations. This one used 100 trusted" in shown.stdout
    assert "validation labels of the run; in 95% of calibrations with as many, the coverage is between" in shown.stdout
    plain, rows = _rows(here / "plain.csv"), _rows(here / "predictions.csv")
    assert list(rows[0])[:3] == ["input", "prediction", "set"]
    assert [{name: cell for name, cell in row.items() if name != "set"} for row in rows] == plain
    calibrated = CalibratedPredictor(validated)
    with pytest.warns(UserWarning, match="of the held-out examples have a set of all 10 classes") as caught:
        expected, probabilities = calibrated.predict_set(photos, 0.9), calibrated.predict(photos)
    assert str(caught[0].message) in shown.stdout
    for row, inside, p in zip(rows, expected, probabilities, strict=True):
        names = row["set"].split("|")
        assert names[0] == row["prediction"]
        assert names == sorted(
            (calibrated.classes[k] for k in np.flatnonzero(inside)), key=lambda n: -float(row[f"p_{n}"])
        )
        assert len(names) == inside.sum()
        assert p.argmax() == calibrated.classes.index(names[0])


def test_options_of_sets_reach_them(validated: str, photos: np.ndarray, vri_pyro: Command, here: Path) -> None:
    options = ("--coverage", "0.8", "--score", "aps", "--randomise", "true", "--by_class", "true", "--device", "cpu")
    shown = vri_pyro("predict", validated, "photos", *options)
    assert "of at least 80% of new inputs, of each class" in shown.stdout
    expected = CalibratedPredictor(validated).predict_set(photos, 0.8, score="aps", randomise=True, by_class=True)
    assert [len(row["set"].split("|")) for row in _rows(here / "predictions.csv")] == expected.sum(1).tolist()


def test_calibrated_probabilities_are_written_with_the_temperature_on_the_console(
    validated: str, photos: np.ndarray, vri_pyro: Command, here: Path
) -> None:
    shown = vri_pyro("predict", validated, "photos", "--calibrated", "true", "--device", "cpu")
    calibrated = CalibratedPredictor(validated)
    assert calibrated.temperature.told in shown.stdout
    assert "100 trusted validation labels of the run" in shown.stdout
    rows, expected = _rows(here / "predictions.csv"), calibrated.predict_calibrated(photos)
    found = np.array([[row[f"p_{name}"] for name in calibrated.classes] for row in rows]).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert not np.allclose(found, calibrated.predict(photos), atol=1e-3)


def test_noisy_validation_labels_are_corrected(vri_pyro: Command, here: Path, photos: np.ndarray) -> None:
    options = ("--split.validation_from", "noisy", "--split.validation_per_class", "30", "--epochs", "30")
    assert vri_pyro("fit", "--config", "tiny.yaml", *options, "--quiet", "true").status == 0
    shown = vri_pyro("predict", "run", "photos", "--coverage", "0.8", "--calibrated", "true", "--device", "cpu")
    assert shown.status == 0
    assert "The sets asymptotically contain the true class of at least 80% of new inputs" in shown.stdout
    assert "300 noisy validation labels of the run, which say as much about the coverage as" in shown.stdout
    assert "300 noisy validation labels of the run and the estimated transition matrix." in shown.stdout
    held_out = CalibratedPredictor("run").held_out
    assert held_out.transition is not None
    assert held_out.transition.shape == (50, 10, 10)
    assert held_out.frequencies is not None


def test_an_unreadable_image_has_no_set(validated: str, photos: np.ndarray, vri_pyro: Command, here: Path) -> None:
    (here / "photos" / "b.png").write_bytes(b"no image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert vri_pyro("predict", validated, "photos", "--coverage", "0.9", "--calibrated", "true").status == 0
    assert [row["set"] == "" for row in _rows(here / "predictions.csv")] == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--coverage 1.5", "coverage is 1.5; expected a value in (0, 1), such as 0.9"),
        ("--coverage 0", "coverage is 0.0; expected a value in (0, 1), such as 0.9"),
        ("--coverage high", "--coverage: expected a number, not 'high'"),
        ("--coverage 0.9 --score raps", "--score: expected one of 'lac', 'aps', not 'raps'"),
        ("--coverage 0.9 --randomise true", "randomise is set but the score is 'lac'"),
        ("--by_class true", "score, by_class and randomise are options of prediction sets; set --coverage"),
        ("--coverage 0.9 --which best", "the best epoch was chosen on the validation labels, so that they cannot"),
        ("--coverage 0.999", "prediction sets with coverage 0.999 need at least 999 trusted labels held out of"),
        ("--coverage 0.95 --by_class true", "prediction sets with coverage 0.95 need at least 19 trusted labels of a"),
    ],
)
def test_bad_options_of_sets_are_one_sentence_and_write_nothing(
    validated: str, photos: np.ndarray, vri_pyro: Command, here: Path, arguments: str, complaint: str
) -> None:
    shown = vri_pyro("predict", validated, "photos", *arguments.split())
    assert shown.status == 2
    assert shown.stderr.startswith(f"error: {complaint}")
    assert len(shown.stderr.splitlines()) == 1
    assert not (here / "predictions.csv").exists()


def test_a_run_without_held_out_labels_has_no_sets(vri_pyro: Command, here: Path, photos: np.ndarray) -> None:
    options = ("--config", "tiny.yaml", "--split.validation_per_class", "0", "--quiet", "true")
    assert vri_pyro("fit", *options).status == 0
    shown = vri_pyro("predict", "run", "photos", "--coverage", "0.9")
    assert shown.status == 2
    assert shown.stderr.startswith("error: run has no validation labels held out of training; train with --split.valid")
    assert vri_pyro("predict", "run", "photos").status == 0


def test_class_names_with_the_separator_of_sets_are_refused(here: Path) -> None:
    with pytest.raises(UserError, match=r"the class name 'a\|b' contains '\|', which separates the names in a set"):
        write_predictions(here / "p.csv", [], ["a|b", "c"], str, sets=lambda p: p > 0)


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
