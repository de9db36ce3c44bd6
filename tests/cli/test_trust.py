"""Commands execute no code that a run folder, a configuration file or the working directory brings along."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from campaign.exploits import (
    CONFIGURATIONS,
    NAMES,
    SHADOWS,
    Stranger,
    hostile_run,
    quietly,
    works_when_trusted,
)

from cli.conftest import TINY, Command
from vri_pyro.cli.main import main

GUIDE = """\
open("executed", "a").close()
from vri_pyro.guides import NoLatents
class Mine(NoLatents):
    '''A guide.'''
"""
FIT = ("fit", "--config", "cross_entropy", "--epochs", "1", "--split.noisy_size", "100", "--device", "cpu")
SMALL = ("--backbone", "MLP", "--backbone.hidden", "[8]", "--threads", "1", "--quiet", "true", "--report", "false")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "run"
    assert main([*FIT, *SMALL, "--output", str(folder)]) == 0
    return folder


@pytest.fixture
def stranger(run: Path, here: Path) -> Iterator[Stranger]:
    path = [*sys.path]
    yield Stranger(run)
    sys.path[:] = path


@pytest.fixture
def mine(here: Path, vri_pyro: Command) -> Path:
    """A run with a guide of the user's own, named on the command line."""
    (here / "guide_of_mine.py").write_text(GUIDE)
    given = ("--method.guide", "guide_of_mine.Mine", "--output", "mine")
    assert vri_pyro(*FIT, *SMALL, *given).status == 0
    return here / "mine"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configuration_of_a_stranger_executes_nothing_unless_trusted(name: str, stranger: Stranger) -> None:
    assert works_when_trusted(stranger, CONFIGURATIONS[name])
    folder, mark = stranger.folder(CONFIGURATIONS[name])
    for words in (
        ["relabel", str(folder), "--corrections", str(folder / "metrics.csv"), "--output", str(folder / "new.npz")],
        ["predict", str(folder), str(folder / "split.npz"), "--output", str(folder / "new.csv")],
        ["data", "--config", str(folder / "config.yaml"), "--picture", str(folder / "new.png")],
    ):
        assert "error: " in quietly(lambda words=words: main(words))
        assert not mark.exists()


@pytest.mark.parametrize("command", ["report", "issues", "diagnose", "export", "relabel", "predict"])
def test_every_command_that_reads_a_run_has_the_option(command: str, stranger: Stranger, run: Path) -> None:
    folder, mark = stranger.folder(CONFIGURATIONS["name of the backbone"])
    more = {
        "export": ["--format", "torch", "--output", "exported"],
        "relabel": ["--corrections", "none.csv", "--output", "new.npz"],
        "predict": [str(folder / "split.npz")],
        "diagnose": ["--examples", "3", "--draws", "100"],
    }.get(command, [])
    said = quietly(lambda: main([command, str(folder), *more]))
    assert (
        f"{folder / 'config.yaml'} names code that is not part of vri_pyro: {mark.name.removeprefix('executed_')}.Net"
        in said
    )
    assert not mark.exists()
    assert "names code" not in quietly(lambda: main([command, str(folder), *more, "--trust", "true"]))
    assert mark.exists()


def test_class_on_the_command_line_is_trusted_and_its_run_opens_again(mine: Path, vri_pyro: Command) -> None:
    assert vri_pyro("issues", str(mine), "--device", "cpu").status == 0
    assert vri_pyro("fit", "--config", str(mine / "config.yaml"), "--resume", "true").status == 0


def test_own_run_that_was_changed_or_moved_is_not_trusted(
    mine: Path, here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.copytree(mine, here / "moved"))
    assert "guide_of_mine.Mine" in vri_pyro("issues", str(moved), "--device", "cpu").stderr
    monkeypatch.chdir(moved)
    assert "guide_of_mine.Mine" in vri_pyro("issues", str(mine), "--device", "cpu").stderr
    monkeypatch.chdir(here)
    with (mine / "config.yaml").open("a") as file:
        file.write("# a comment\n")
    assert "guide_of_mine.Mine" in vri_pyro("issues", str(mine), "--device", "cpu").stderr
    assert vri_pyro("issues", str(mine), "--device", "cpu", "--trust", "true").status == 0


def test_class_in_a_file_needs_trust(here: Path, vri_pyro: Command) -> None:
    (here / "net_of_mine.py").write_text("from vri_pyro.backbones import MLP\nclass Net(MLP):\n    '''A network.'''\n")
    (here / "mine.yaml").write_text("backbone: {class_path: net_of_mine.Net, init_args: {hidden: [4]}}\n")
    words = [*FIT, "--config", "mine.yaml", "--threads", "1", "--report", "false", "--output"]
    refused = vri_pyro(*words, "refused")
    assert refused.status == 2
    assert refused.stderr.startswith("error: mine.yaml names code that is not part of vri_pyro: net_of_mine.Net; if")
    assert not (here / "refused").exists()
    assert vri_pyro(*words, "trusted", "--trust", "true").status == 0
    assert "trust" not in yaml.safe_load((here / "trusted" / "config.yaml").read_text())


def test_file_cannot_trust_itself(here: Path, vri_pyro: Command) -> None:
    (here / "theirs.yaml").write_text("trust: true\nbackbone: {class_path: theirs.Net}\n")
    assert "names code" in vri_pyro(*FIT, "--config", "theirs.yaml").stderr


def test_name_of_a_file_on_the_command_line_is_not_a_class(here: Path, vri_pyro: Command) -> None:
    (here / "theirs.py").write_text(GUIDE)
    (here / "theirs.yaml").write_text("backbone: theirs.yaml\n")
    assert "theirs.yaml names code" in vri_pyro(*FIT, "--config", "theirs.yaml").stderr
    assert not (here / "executed").exists()


def test_file_beside_an_own_run_is_not_trusted_with_it(mine: Path, here: Path, vri_pyro: Command) -> None:
    (here / "theirs.yaml").write_text("backbone: {class_path: theirs.Net}\n")
    said = vri_pyro("fit", "--config", str(mine / "config.yaml"), "--config", "theirs.yaml", "--output", "new").stderr
    assert "theirs.yaml names code that is not part of vri_pyro: theirs.Net" in said


def test_sweep_trains_with_a_class_of_the_command_line(here: Path, vri_pyro: Command) -> None:
    (here / "swept.py").write_text("from vri_pyro.backbones import MLP\nclass Net(MLP):\n    '''A network.'''\n")
    (here / "small.yaml").write_text(TINY.replace("output: run\n", ""))
    words = ("--epochs", "1", "--seeds", "0", "--grid", "backbone=swept.Net,vri_pyro.backbones.MLP", "--output", "all")
    done = vri_pyro("sweep", "--config", "small.yaml", *words)
    assert done.status == 0, done.stderr
    assert "2/2" in done.stdout


def test_commands_that_read_do_not_import_from_the_working_directory(
    run: Path, here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(here))])
    assert vri_pyro("issues", str(run), "--device", "cpu").status == 0
    assert str(here) not in sys.path


def test_worker_processes_do_not_import_from_the_working_directory(run: Path, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    here, images = tmp_path / "downloads", tmp_path / "images"
    here.mkdir()
    for name in ("a", "b"):
        (images / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng(number).integers(256, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / name / f"{number}.png")
    data = ("--data", "ImageFolder", "--data.path", str(images), "--data.size", "8", "--data.verified", "true")
    words = [*FIT, *SMALL, *data, "--split.noisy_size", "null", "--workers", "0", "--output", str(tmp_path / "run")]
    assert "error: " not in quietly(lambda: main(words))
    for name in SHADOWS:
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    control = [sys.executable, "-c", "import mlflow"]  # workers are started in this way
    subprocess.run(control, cwd=here, env=environment, check=True)
    (tmp_path / "executed").unlink()
    entry = tmp_path / "entry.py"
    entry.write_text(
        "import sys\nfrom vri_pyro.cli.main import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    predict = ["predict", str(tmp_path / "run"), str(images), "--workers", "1", "--batch_size", "4"]
    command = [sys.executable, str(entry), *predict]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


def test_hostile_names_are_text_wherever_they_are_shown(here: Path) -> None:
    said = quietly(lambda: main([*hostile_run(here / "photos"), "--output", "run"]))
    for words in (
        ["issues", "run", "--device", "cpu"],
        ["report", "run", "--device", "cpu"],
        ["predict", "run", "photos", "--workers", "0"],
        ["data", "--config", "run/config.yaml"],
        ["export", "run", "--format", "torch", "--output", "card"],
    ):
        said += quietly(lambda words=words: main(words))
    assert "error: " not in said
    page = (here / "run" / "report.html").read_text()
    for text in (said, page, (here / "card" / "README.md").read_text()):
        assert not {"\x1b", "\x9b", "\x07", "\x08", "\r", "\u202e", "\u2066"} & set(text)
    assert r"\x1b]0;owned\x07cat" in said
    assert "[red]" in said
    assert re.search(r"\\x1b|\\x9b|\\x08|\\u202e|\\u2066", page)
    assert not [name for name in ("script", "image", "vector image", "style") if NAMES[name] in page]
    assert str(here) not in page


def test_names_that_look_like_formulas_return_from_the_table(here: Path, vri_pyro: Command) -> None:
    assert vri_pyro(*hostile_run(here / "photos"), "--output", "run").status == 0
    assert vri_pyro("issues", "run", "--device", "cpu").status == 0
    with (here / "run" / "label_issues.csv").open(newline="") as lines:
        rows = [row | {"corrected": row["given"]} for row in csv.DictReader(lines)]
    assert not [cell for row in rows for cell in (row["given"], row["path"]) if cell[:1] in "=+-@\t\r"]
    assert any(row["given"] == "'=1+1" for row in rows)
    with (here / "checked.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[:-1])  # a split needs a noisy example
    done = vri_pyro("relabel", "run", "--corrections", "checked.csv", "--output", "new.npz")
    assert done.status == 0, done.stderr
    assert f"0 labels changed, {len(rows) - 1} confirmed, 0 examples removed" in done.stdout
