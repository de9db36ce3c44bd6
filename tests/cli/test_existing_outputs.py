"""Commands replace their own earlier outputs, keep what a person has filled in, and touch no other file."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vri_pyro.data import Split

from .conftest import Command, trained_in

ISSUES = ("issues", "run", "--device", "cpu")
DIAGNOSE = ("diagnose", "run", "--examples", "5", "--draws", "100")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run; not to be changed."""
    return trained_in(tmp_path_factory.mktemp("trained"), ISSUES)


@pytest.fixture
def run(trained: Path, here: Path) -> Path:
    """A copy of the run, with a table of label issues, in the working directory."""
    shutil.copytree(trained, here / "run")
    return here / "run"


def edited(table: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Change every row of a table, the header included."""
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(change(row) for row in rows)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_filled_in_cells_of_label_issues_are_kept(run: Path, vri_pyro: Command) -> None:
    table = run / "label_issues.csv"
    before = rows_of(table)
    answers = {before[3]["index"]: "7", before[700]["index"]: "(none)"}
    edited(table, lambda row: [*row, *(("corrected", "note") if row[0] == "index" else (answers.get(row[0], ""), ""))])
    done = vri_pyro(*ISSUES)
    assert done.status == 0, done.stderr
    assert "2 filled-in cells of the column corrected were kept" in done.stdout
    after = rows_of(table)
    assert {row["index"]: row["corrected"] for row in after if row["corrected"]} == answers
    assert [row["index"] for row in after] == [row["index"] for row in before]

    kept = table.read_bytes()
    done = vri_pyro(*ISSUES, "--limit", "5")
    assert done.status == 2
    assert "has 2 filled-in cells of the column corrected, which a table of 5 examples could lose" in done.stderr
    assert vri_pyro(*ISSUES, "--limit", "5", "--output", "top.csv").status == 0
    assert vri_pyro(*ISSUES, "--limit", "6", "--output", "top.csv").status == 0  # nothing is filled in
    assert table.read_bytes() == kept


def test_table_whose_filled_in_cells_would_be_lost_is_refused(
    run: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vri_pyro.label_issues.rank", None)  # nothing is computed
    table = run / "label_issues.csv"
    text = table.read_text()
    trusted = str(Split.load(run / "split.npz").clean_indices[0])
    first, given = (rows_of(table)[0][name] for name in ("index", "given"))
    other = "8" if given == "7" else "7"

    def filled(place: int, cell: str) -> Callable[[list[str]], list[str]]:
        """Fill in 7 in the first row, where another cell is changed, too."""

        def change(row: list[str]) -> list[str]:
            if row[0] != first:
                return [*row, "corrected" if row[0] == "index" else ""]
            return [*row[:place], cell, *row[place + 1 :], "7"]

        return change

    for edit, message in (
        (lambda row: [*row, "", "7" if row[0] == first else ""], "is in a column without a name of its own"),
        (filled(0, trusted), f"but example {trusted}, whose given label is {given!r} there, is not ranked in the run"),
        (filled(2, other), f"whose given label is {other!r} there, has the given label {given!r} in the run"),
        (filled(0, ""), "which is filled in, has no index of its own"),
        (lambda row: [";".join(row)], "not a table of label issues (its columns are separated by semicolons"),
        (lambda row: row[:2], "already exists and is not a table of label issues (it has no column given)"),
    ):
        edited(table, edit)
        kept = table.read_bytes()
        done = vri_pyro(*ISSUES)
        assert done.status == 2, message
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert table.read_bytes() == kept
        table.write_text(text)


def test_own_outputs_are_replaced_and_other_files_are_not(run: Path, vri_pyro: Command, here: Path) -> None:
    split = Split.load(run / "split.npz")
    assert split.true_labels is not None
    sample = list(zip(split.noisy_indices.tolist(), split.true_labels.tolist(), strict=True))[::20]
    Path("sample.csv").write_text("index,label\n" + "".join(f"{index},{label}\n" for index, label in sample))
    np.save("inputs.npy", np.zeros((3, 8, 8, 1), dtype=np.uint8))
    files = {
        "a.csv": ("predict", "run", "inputs.npy", "--output"),
        "a.json": ("certify", "run", "--random_sample", "sample.csv", "--output"),
        "a.html": ("report", "run", "--output"),
        "a.nc": (*DIAGNOSE, "--output"),
        "n.npz": ("noise", "--output"),
        "a.png": ("data", "--config", "tiny.yaml", "--picture"),
        "tasks.json": (*ISSUES, "--format", "label-studio", "--limit", "3", "--output"),
    }
    for name, command in files.items():
        for _ in range(2):
            done = vri_pyro(*command, name)
            assert done.status == 0, done.stderr
    Image.new("L", (5, 5)).save("photo.png")
    np.savez("arrays.npz", x=np.zeros(3))
    tasks = json.loads(Path("tasks.json").read_text())
    Path("annotated.json").write_text(json.dumps([task | {"annotations": []} for task in tasks]))
    noted = [f"{line},{'note' if number == 0 else ''}" for number, line in enumerate(Path("a.csv").read_text().split())]
    Path("noted.csv").write_text("\n".join(noted))
    Path("b.csv").write_text("index,given,true\n")
    others = {
        "a.csv": ("noted.csv", "sample.csv", "photo.png"),
        "a.json": ("tasks.json", "sample.csv", "photo.png"),
        "a.html": ("tiny.yaml", "photo.png"),
        "a.nc": ("n.npz", "photo.png"),
        "n.npz": ("arrays.npz", "b.npz"),  # whose table would be b.csv
        "a.png": ("photo.png", "inputs.npy"),
        "tasks.json": ("annotated.json", "a.json"),
    }
    for name, refused in others.items():
        for other in refused:
            kept = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
            done = vri_pyro(*files[name], other)
            assert done.status == 2, (name, other)
            assert "already exists and is not" in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert {path: path.read_bytes() for path in here.iterdir() if path.is_file()} == kept


def test_folder_with_other_files_is_not_used(run: Path, vri_pyro: Command, here: Path) -> None:
    mine = {"config.yaml": "epochs: 1\n", "labels.npz": "my own", "sweep.csv": "my own"}
    for name, text in mine.items():
        (here / name).write_text(text)
    for command, named in (
        (("fit", "--config", "tiny.yaml", "--output", "."), "config.yaml already exists and is not the complete"),
        (("sweep", "--config", "tiny.yaml", "--output", "."), "config.yaml already exists and is not the complete"),
        (("sweep", "--config", "tiny.yaml", "--output", "run"), "run contains a run; choose another --output"),
        (("embed", "--data", "Digits", "--backbone", "MLP", "--output", "run"), "already has other files, such as"),
        (("embed", "--data", "Digits", "--backbone", "MLP", "--output", "."), "already has other files, such as"),
    ):
        done = vri_pyro(*command)
        assert done.status == 2
        assert named in done.stderr
        assert {name: (here / name).read_text() for name in mine} == mine


def test_configuration_matrix_and_images_beside_an_output_are_not_replaced(
    run: Path, vri_pyro: Command, here: Path
) -> None:
    Path("x_config.xml").write_text("<View>my own</View>")
    Path("y_transition.csv").write_text("my own\n")
    (here / "z_images").mkdir()
    (here / "z_images" / "0.png").write_bytes(b"my own")
    for name, named in (("x.json", "x_config.xml"), ("y.json", "y_transition.csv"), ("z.json", "z_images")):
        done = vri_pyro(*ISSUES, "--format", "label-studio", "--output", name)
        assert done.status == 2
        assert f"{named} already exists" in done.stderr
        if named != "y_transition.csv":
            done = vri_pyro("check", "run", "--format", "label-studio", "--output", name)
            assert f"{named} already exists" in done.stderr
        assert not Path(name).exists()
