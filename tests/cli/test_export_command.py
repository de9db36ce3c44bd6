"""``vri-pyro export`` writes a checked network and a model card."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import Command


@pytest.fixture
def run(vri_pyro: Command) -> str:
    assert vri_pyro("fit", "--config", "tiny.yaml", "--quiet", "true").status == 0
    return "run"


def test_files_are_written_and_their_check_is_shown(run: str, vri_pyro: Command, here: Path) -> None:
    shown = vri_pyro("export", run, "--format", "onnx", "safetensors", "--output", "exported", "--which", "best")
    assert shown.status == 0
    assert shown.stderr == ""
    first, second, last = shown.stdout.splitlines()
    assert first.startswith("model.onnx: largest difference of a probability from the run ")
    assert first.endswith(", on 256 training inputs")
    assert second == (
        "model.safetensors: largest difference of a probability from the run 0.0e+00, on 256 training inputs"
    )
    assert last == f"export: {here / 'exported'}"
    names = {path.name for path in (here / "exported").iterdir()}
    assert names == {"README.md", "config.json", "model.onnx", "model.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "arguments are missing; use `vri-pyro export RUN --format FORMAT --output FOLDER`"),
        ("run --format onnx", "arguments are missing; use `vri-pyro export RUN --format FORMAT --output FOLDER`"),
        ("run --format pickle --output exported", "--format: expected one of 'onnx', 'torch', 'safetensors', not 'pi"),
        ("full --format torch --output exported", "full is not a run folder; use the --output folder of vri-pyro fit"),
        ("run --format torch --output full", "is not empty; choose another folder, or delete this one"),
        ("run --format torch --output tiny.yaml", "tiny.yaml: it is not a folder; use another path"),
        ("run --format torch --output tiny.yaml/inside", "cannot write"),
        ("run --format onnx --output exported", "--format onnx needs onnx: pip install 'vri-pyro[onnx]'"),
    ],
)
def test_bad_input_is_one_sentence(
    run: str, vri_pyro: Command, here: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, complaint: str
) -> None:
    (here / "full").mkdir()
    (here / "full" / "thesis.tex").write_text("")
    monkeypatch.setitem(sys.modules, "onnx", None)
    shown = vri_pyro("export", *arguments.split())
    assert shown.status == 2
    assert complaint in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert not (here / "exported").exists()
    assert [path.name for path in (here / "full").iterdir()] == ["thesis.tex"]
