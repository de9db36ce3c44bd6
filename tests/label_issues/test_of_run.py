"""Tests of ``vri-pyro issues`` on trained runs."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vri_pyro.cli.main import main
from vri_pyro.data import Digits
from vri_pyro.label_issues import detection, evidence_of, rank
from vri_pyro.runs.run import Run

VECTOR = Path(__file__).parents[2] / "experiments" / "configs" / "vri_vector.yaml"


def fit(folder: Path, *options: str) -> Path:
    shared = ["--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[32]", "--threads", "1", "--device", "cpu"]
    assert main(["fit", *shared, "--quiet", "true", "--output", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("issues") / "run", "--epochs", "30", "--split.clean_per_class", "10")


def test_table_ranks_every_noisy_example(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["issues", str(folder), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "95% interval" in shown
    assert "AUROC" in shown
    with (folder / "label_issues.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    run = Run(folder)
    assert list(rows[0])[:7] == ["index", "path", "given", "suggested", "score", "uncertainty", "is_label_issue"]
    assert all(row["is_label_issue"] == str(float(row["score"]) > 0.5) for row in rows)
    assert sorted(int(row["index"]) for row in rows) == sorted(run.split.noisy_indices.tolist())
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    given = dict(zip(run.split.noisy_indices.tolist(), run.split.given_labels.tolist(), strict=True))
    assert all(run.classes[given[int(row["index"])]] == row["given"] for row in rows)
    with (folder / "label_issues_transition.csv").open(newline="") as file:
        entries = list(csv.DictReader(file))
    assert [(entry["class"], entry["given"]) for entry in entries] == list(itertools.product(run.classes, repeat=2))
    likely = [entry for entry in entries if float(entry["probability"]) > 0.02]
    assert len(likely) >= 10
    assert all(float(entry["low"]) < float(entry["probability"]) < float(entry["high"]) for entry in likely)
    for name in ("probability", "true"):
        matrix = np.array([float(entry[name]) for entry in entries]).reshape(10, 10)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-4)
    assert np.mean([abs(float(entry["probability"]) - float(entry["true"])) for entry in entries]) < 0.02
    top = rows[:100]
    assert np.mean([row["given"] != row["true"] for row in top]) > 0.9
    assert np.mean([row["suggested"] == row["true"] for row in top]) > 0.7


def test_combined_score_is_better_than_self_confidence(folder: Path) -> None:
    run = Run(folder)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    issues = rank(evidence_of(run, run.split.noisy_indices))
    assert torch.equal(torch.get_rng_state(), before)
    assert run.split.true_labels is not None
    wrong = torch.from_numpy(run.split.given_labels != run.split.true_labels)
    aurocs = {name: detection(score, wrong).auroc for name, score in issues.scores.items()}  # type: ignore[union-attr]
    assert {"rectification", "surprise", "open_set", "clean_class"} < set(aurocs)
    assert aurocs["combined"] > aurocs["self_confidence"]
    assert aurocs["combined"] > 0.9


def test_learned_transition_matrix_of_the_guide_is_used(folder: Path) -> None:
    run = Run(folder)
    found = evidence_of(run, run.split.noisy_indices[:10], draws=1).transition
    assert found is not None
    assert torch.equal(found, run.guide.transition)  # type: ignore[arg-type]


def test_trained_on_is_false_for_labels_not_used_in_training(folder: Path, tmp_path: Path) -> None:
    run = Run(folder)
    assert evidence_of(run, run.split.noisy_indices[:10], draws=1).trained_on
    options = ["--split.clean_per_class", "10", "--epochs", "1"]
    other = Run(fit(tmp_path / "clean", "--config", str(VECTOR.with_name("clean_only.yaml")), *options))
    assert np.array_equal(other.trained_on, other.split.clean_indices)
    assert not evidence_of(other, other.split.noisy_indices[:10]).trained_on
    fine_tuned = ["--config", str(VECTOR.with_name("fine_tuned.yaml")), *options, "--fine_tuning.epochs", "1"]
    both = Run(fit(tmp_path / "noisy, then clean", *fine_tuned))
    assert np.array_equal(both.trained_on, np.union1d(both.split.noisy_indices, both.split.clean_indices))
    assert evidence_of(both, both.split.noisy_indices[:10]).trained_on


@pytest.mark.filterwarnings("default::UserWarning")  # printed by the command
def test_table_lists_the_paths_of_image_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = Digits().load()
    for part, images, labels in (
        ("noisy", digits.x_train[:120], digits.y_train[:120]),
        ("clean", digits.x_train[120:160], digits.y_train[120:160]),
        ("test", digits.x_test[:20], digits.y_test[:20]),
    ):
        for number, (image, label) in enumerate(zip(images[..., 0], labels, strict=True)):
            (tmp_path / part / f"digit {label % 3}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).convert("RGB").save(tmp_path / part / f"digit {label % 3}" / f"{number}.png")
    data = ["--data", "vri_pyro.data.ImageFolder", "--data.path", str(tmp_path), "--data.size", "8", "--workers", "0"]
    vector = [
        "--config",
        str(Path(__file__).parents[2] / "experiments" / "configs" / "vri_vector.yaml"),
        "--ema",
        "null",
    ]
    folder = fit(tmp_path / "run", *vector, *data, "--epochs", "8", "--noise", "Flip", "--noise.rate", "0.3")
    assert "Flip(rate=0.3) is injected into unverified labels" in capsys.readouterr().err
    assert main(["report", str(folder), "--device", "cpu"]) == 0
    assert "noisy/digit " in (folder / "report.html").read_text()
    assert main(["issues", str(folder), "--device", "cpu"]) == 0
    with (folder / "label_issues.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert (tmp_path / row["path"]).is_file()
        assert Path(row["path"]).parent.name == row["true"]


OWN = ("--epochs", "2", "--split.clean_per_class", "4", "--workers", "0", "--ema", "null", "--noise", "NoNoise")


def table_of_images(folder: Path) -> list[str]:
    """Write digits of two classes to image files, one with an invalid UTF-8 name; return a table's lines."""
    digits = Digits().load()
    lines = ["path,label,split"]
    for number, (image, label) in enumerate(zip(digits.x_train[:80, ..., 0], digits.y_train, strict=False)):
        name = f"img/{number}.png" if number else os.fsdecode(b"img/gr\xfcn.png")
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).convert("RGB").save(folder / name)
        if number:
            lines.append(f"{name},{'odd' if label % 2 else 'even'},{'test' if number < 20 else 'train'}")
    return lines


@pytest.mark.filterwarnings("default::UserWarning")  # printed by the command
def test_unverified_labels_give_no_true_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = table_of_images(tmp_path)
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(lines))
    data = ["--data", "Table", "--data.path", str(file), "--data.size", "8"]
    folder = fit(tmp_path / "run", "--config", str(VECTOR), *data, *OWN)
    assert main(["issues", str(folder), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "true rate" not in shown
    assert "The clean labels were drawn from unverified labels, so some of them may be wrong" in shown
    assert main(["report", str(folder), "--device", "cpu"]) == 0
    text = (folder / "report.html").read_text()
    assert "true rate" not in text
    assert "drawn from unverified labels" in text
    with (folder / "label_issues.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert "true" not in rows[0]
    listed = {line.split(",")[0]: line.split(",")[1] for line in lines[1:]}
    assert all(listed[row["path"]] == row["given"] for row in rows)

    for changed in ([lines[0], *reversed(lines[1:])], lines[:-1]):  # another order; one row less
        file.write_text("\n".join(changed))
        assert main(["issues", str(folder), "--device", "cpu"]) == 2
        assert "the data have changed since the run" in capsys.readouterr().err


@pytest.mark.filterwarnings("default::UserWarning")  # printed by the command
def test_names_that_are_invalid_utf8_are_escaped(tmp_path: Path) -> None:
    for green, (part, number) in enumerate({"noisy": 40, "clean": 4, "test": 4}.items()):
        for label in ("even", os.fsdecode(b"\xfcodd")):
            (tmp_path / part / label).mkdir(parents=True)
            for one in range(number):
                name = os.fsdecode(b"gr\xfcn%d.png" % one)
                Image.new("RGB", (8, 8), (one, green, 200 * (label != "even"))).save(tmp_path / part / label / name)
    data = ["--data", "ImageFolder", "--data.path", str(tmp_path), "--data.size", "8"]
    folder = fit(tmp_path / "run", "--config", str(VECTOR), *data, *OWN, "--split.validation_per_class", "0")
    assert main(["report", str(folder), "--device", "cpu"]) == 0
    assert (folder / "report.html").read_text(encoding="utf-8").endswith("</html>")
    assert main(["issues", str(folder), "--device", "cpu"]) == 0
    assert r"gr\udcfcn1.png" in (folder / "label_issues.csv").read_text(encoding="utf-8")
    assert r"\udcfcodd" in (folder / "label_issues_transition.csv").read_text(encoding="utf-8")


def test_scores_without_latents_and_trusted_labels_use_the_prediction_alone(tmp_path: Path) -> None:
    method = ["--method", "vri_pyro.methods.SingleLevel", "--method.model", "vri_pyro.models.CrossEntropy"]
    method += ["--method.guide", "vri_pyro.guides.NoLatents", "--method.pool", "noisy", "--method.clean_weight", "0"]
    sizes = ["--split.clean_per_class", "0", "--split.validation_per_class", "0"]
    folder = fit(tmp_path / "run", *method, *sizes, "--epochs", "1")
    assert main(["issues", str(folder), "--output", str(tmp_path / "own.csv"), "--device", "cpu"]) == 0
    header = (tmp_path / "own.csv").read_text().splitlines()[0]
    assert "open_set" not in header
    assert "combined" not in header
    assert "rectification" not in header


def test_output_that_is_a_folder_raises_before_the_ranking(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_transition.csv").mkdir()
    for place, named in ((".", "."), (tmp_path / "own.csv", "own_transition.csv")):
        assert main(["issues", str(folder), "--output", str(place), "--device", "cpu"]) == 2
        assert f"{named}: it is a folder; use the path of a file" in capsys.readouterr().err
    assert not (tmp_path / "own.csv").exists()


def test_folder_without_a_run_raises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["issues", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
