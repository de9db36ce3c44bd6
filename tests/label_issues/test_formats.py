"""Files of label issues for other tools."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from vri_pyro.data import DeviceData, Examples, ImageFiles, StreamedData
from vri_pyro.label_issues import FORMATS, Evidence, LabelIssues, labelling_configuration, rank

CLASSES = ("cat", 'a "quoted" & <odd> one', os.fsdecode(b"\xfcgly"))
INDICES = np.array([4, 1, 3, 6, 0, 2])
FEW = np.array([0.5], dtype=np.float32)


@pytest.fixture
def issues() -> LabelIssues:
    torch.manual_seed(0)
    return rank(Evidence(torch.tensor([0, 1, 2, 0, 1, 2]), 3 * torch.randn(6, 3), torch.randn(6, 2)), neighbours=0)


def vectors() -> Examples:
    x = np.arange(21, dtype=np.float32).reshape(7, 3) / 4
    return DeviceData(x, np.zeros(7, dtype=int), "cpu", x.mean(0), x.std(0))


def images() -> Examples:
    x = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 1), dtype=np.uint8)
    return DeviceData(x, np.zeros(7, dtype=int), "cpu", FEW, FEW)


def files(folder: Path) -> Examples:
    names = [f"one of {number}, 50%#&.png" for number in range(7)]
    for name in names:
        Image.new("RGB", (5, 5)).save(folder / name)
    three = np.full(3, 0.5, dtype=np.float32)
    return StreamedData(ImageFiles(folder, names, 4), np.zeros(7, dtype=int), "cpu", three, three)


def written(name: str, path: Path, issues: LabelIssues, examples: Examples, **options: Any) -> Any:
    FORMATS[name].write(path, issues, INDICES, CLASSES, examples, **options)
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_format_begins_with_the_most_suspicious_label_and_stops_at_the_limit(
    issues: LabelIssues, tmp_path: Path
) -> None:
    order = INDICES[issues.order().numpy()]
    for name, form in FORMATS.items():
        for limit in (None, 2, 100):
            rows = written(name, tmp_path / form.name, issues, images(), limit=limit)
            found = [int((row.get("data") or row)["index"]) for row in rows]
            assert found == order[:limit].tolist()


def test_tasks_have_the_suggested_class_as_prediction_and_choices_of_the_configuration(
    issues: LabelIssues, tmp_path: Path
) -> None:
    tasks = written("label-studio", tmp_path / "a.json", issues, vectors(), true=np.array([0, 0, 0, -1, 1, 1]))
    view = ElementTree.fromstring((tmp_path / "a_config.xml").read_text(encoding="utf-8"))
    choices, text = view.find("Choices"), view.find("Text")
    assert choices is not None
    assert text is not None
    names = [choice.get("value") for choice in choices]
    assert names == ["cat", 'a "quoted" & <odd> one', r"\udcfcgly", "(none)"]
    posterior, order = issues.posterior, issues.order().tolist()
    for task, row in zip(tasks, order, strict=True):
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert result["value"]["choices"] == [names[int(issues.suggested[row])]]
        assert (result["from_name"], result["to_name"]) == (choices.get("name"), text.get("name"))
        assert choices.get("toName") == text.get("name")
        assert text.get("value") == "$text"
        assert prediction["score"] == pytest.approx(float(posterior[row].max()), abs=1e-6)
        assert task["data"]["score"] == pytest.approx(float(issues.score[row]), abs=1e-6)
        assert task["data"]["given"] == names[int(issues.given[row])]
    assert len({task["predictions"][0]["result"][0]["id"] for task in tasks}) == 6
    assert [task["data"]["true"] for task in tasks if task["data"]["index"] == 6] == ["(none)"]


def test_vectors_are_shown_as_text(issues: LabelIssues, tmp_path: Path) -> None:
    tasks = written("label-studio", tmp_path / "a.json", issues, vectors())
    texts = {task["data"]["index"]: task["data"]["text"] for task in tasks}
    assert texts[1] == "0.75, 1, 1.25"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_images_of_arrays_are_written_beside_the_tasks(issues: LabelIssues, tmp_path: Path) -> None:
    tasks = written("label-studio", tmp_path / "deep" / "a.json", issues, images(), limit=3)
    for task in tasks:
        path, url = tmp_path / "deep" / "a_images" / f"{task['data']['index']}.png", task["data"]["image"]
        assert url == f"/data/local-files/?d=a_images/{path.name}"
        with Image.open(path) as image:
            assert image.size == (4, 5)
            (batch,) = images().in_order(np.array([task["data"]["index"]]), 1)
            shown = (255 * images().original(batch.x)[0, 0]).round().numpy()
            assert np.array_equal(np.asarray(image), shown)
    assert len(list((tmp_path / "deep" / "a_images").iterdir())) == 3


def test_urls_of_image_files_are_the_prefix_and_the_quoted_path(issues: LabelIssues, tmp_path: Path) -> None:
    tasks = written("label-studio", tmp_path / "a.json", issues, files(tmp_path), url_prefix="https://host/x/")
    for task in tasks:
        url = task["data"]["image"]
        assert not set(" #&?") & set(url)
        assert unquote(url) == f"https://host/x/{task['data']['path']}"
    assert (
        "/data/local-files/?d=one"
        in written("label-studio", tmp_path / "a.json", issues, files(tmp_path))[0]["data"]["image"]
    )


def test_fiftyone_gets_absolute_paths_of_existing_images(
    issues: LabelIssues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = written("csv", Path("plain.csv"), issues, files(tmp_path))
    for examples in (files(tmp_path), images()):
        rows = written("fiftyone", Path("fo.csv"), issues, examples)
        assert next(iter(rows[0])) == "filepath"
        assert all(Path(row["filepath"]).is_absolute() and Path(row["filepath"]).is_file() for row in rows)
    rows = written("fiftyone", Path("fo.csv"), issues, files(tmp_path))
    assert [{name: row[name] for name in row if name != "filepath"} for row in rows] == plain
    assert all(row["filepath"] == str(tmp_path / row["path"]) for row in rows)


def test_many_classes_are_chosen_from_a_menu() -> None:
    few, many = (ElementTree.fromstring(labelling_configuration(list(map(str, range(n))), True)) for n in (3, 100))
    assert [view.find("Choices").get("layout") for view in (few, many)] == ["inline", "select"]  # type: ignore[union-attr]
    assert few.find("Image") is not None
