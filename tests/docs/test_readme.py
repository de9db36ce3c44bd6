"""What the README tells a newcomer to type works."""

from __future__ import annotations

import re
import shlex
from inspect import isabstract
from pathlib import Path
from types import ModuleType

import pytest

from vri_pyro import data, guides, methods, models
from vri_pyro.cli import main as cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.split("#")[0].split(">")[0].strip()
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("vri-pyro ") and "--help" not in line and "--print_config" not in line
]
PROGRAMS = [block for language, block in BLOCKS if language == "python"]


def test_readme_shows_commands_and_programs() -> None:
    assert {command.split()[1] for command in COMMANDS} == set(cli.COMMANDS)
    assert len(PROGRAMS) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_guide.py").write_text(next(program for program in PROGRAMS if "# my_guide.py" in program))
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    if "runs/latest" in command:
        assert cli.main(["fit", "--epochs", "1", "--threads", "1", "--quiet", "true"]) == 0
    name, *arguments = shlex.split(command)[1:]
    parser = cli.COMMANDS[name].build_parser()
    parser.instantiate(parser.parse_args(arguments))


@pytest.mark.parametrize("program", PROGRAMS, ids=["use", "own guide", "engine"])
def test_program_runs(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["fit", "--epochs", "1", "--threads", "1", "--quiet", "true"]) == 0  # the run that they speak of
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert "import" in program


@pytest.mark.parametrize("kind", [data.Source, data.LabelNoise, data.Augmentation])
def test_every_class_that_comes_with_the_package_is_listed(kind: type) -> None:
    exported = [getattr(data, name) for name in data.__all__]
    classes = [c.__name__ for c in exported if isinstance(c, type) and issubclass(c, kind) and not isabstract(c)]
    assert len(classes) >= 10
    assert [name for name in classes if f"`{name}`" not in README and name != "CentreCrop"] == []


@pytest.mark.parametrize("package", [guides, models, methods])
def test_every_model_prior_guide_input_and_peer_is_listed(package: ModuleType) -> None:
    assert [name for name in package.__all__ if f"`{name}`" not in README] == []


def test_every_configuration_of_a_peer_is_listed() -> None:
    configs = (ROOT / "experiments" / "configs").glob("*.yaml")
    methods = [path.stem for path in configs if "\nmethod:" in path.read_text()]
    peers = [name for name in methods if not name.startswith("vri")]
    assert len(peers) >= 10
    assert [name for name in peers if f"`{name}`" not in README] == []


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(((?!http|#)[^)]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
