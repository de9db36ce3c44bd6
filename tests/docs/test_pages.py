"""What the README and the documentation tell a reader to type works."""

from __future__ import annotations

import re
import shutil
import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot

import vri_pyro
from vri_pyro.cli import main as cli
from vri_pyro.cli.catalogue import KINDS, choices
from vri_pyro.cli.old_names import with_current_names

from .pages import (
    DOCS,
    PAGES,
    ROOT,
    Block,
    Command,
    anchors,
    blocks,
    commands,
    lines,
    name_of,
    programs,
    without_blocks,
)

WITH_PROGRAMS = [page for page in PAGES if programs(page)]
COMMANDS = [command for page in PAGES for command in commands(page)]
README = ROOT / "README.md"
USING = DOCS / "using_a_model.md"
SHORT = {
    "fit": ["--epochs", "1", "--threads", "1", "--quiet", "true"],
    "diagnose": ["--examples", "30", "--draws", "100"],
}


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as the pages suppose one in ``runs/latest``."""
    folder = tmp_path_factory.mktemp("finished") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert cli.main(["fit", *SHORT["fit"]]) == 0
    return folder / "latest"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, beside the repository's experiments; modules in it can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    return tmp_path


def prepare(page: Path, folder: Path, run: Path, text: str) -> None:
    """Write the page's modules, and put the finished run where the text expects it."""
    for block in blocks(page):
        if block.language == "python" and block.file:
            (folder / block.file).write_text(block.text)
            sys.modules.pop(block.file.removesuffix(".py"), None)
    for line in lines(page):
        if match := re.search(r"--print_config > (\S+)", line):
            (folder / match[1]).write_text("seed: 1\n")
    if "runs/latest" in text:
        shutil.copytree(run, folder / "runs" / "latest")


def test_every_command_is_shown() -> None:
    assert {command.name for command in COMMANDS} == set(cli.COMMANDS)
    assert programs(README)


@pytest.mark.parametrize(
    "command", COMMANDS, ids=[f"{name_of(each.page)}: {each.name} {' '.join(each.arguments)}" for each in COMMANDS]
)
def test_command_is_understood(command: Command, folder: Path, finished_run: Path) -> None:
    prepare(command.page, folder, finished_run, " ".join(command.arguments))
    parser = cli.module_of(command.name).build_parser()
    if any(argument.endswith(".help") for argument in command.arguments):
        with pytest.raises(SystemExit, match="0"):  # prints the options of a class
            parser.parse_args(with_current_names(command.arguments))
    else:
        parser.instantiate(parser.parse_args(with_current_names(command.arguments)))


def test_commands_and_programs_of_using_a_model_run_in_order(folder: Path, finished_run: Path) -> None:
    prepare(USING, folder, finished_run, "runs/latest")
    written = {command: ["vri-pyro", command.name, *command.arguments] for command in commands(USING)}
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(USING):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(USING), "exec"), names)
        for line in block.text.splitlines():
            if line.startswith("vri-pyro "):
                (command,) = (each for each, words in written.items() if words == line.split())
                assert cli.main([command.name, *command.arguments]) == 0
    assert {"predictions.csv", "exported"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("page", [page for page in WITH_PROGRAMS if page != USING], ids=name_of)
@pytest.mark.usefixtures("short_choice")
def test_programs_of_a_page_run_in_order(page: Path, folder: Path, finished_run: Path) -> None:
    text = "".join(block.text for block in programs(page))
    prepare(page, folder, finished_run, text)
    run_needed_commands(page, text)
    names: dict[str, object] = {"__name__": "page"}
    with mpl.rc_context({"backend": "agg"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="arviz")  # of a small posterior, whose k-hat are high
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto distribution")
        warnings.filterwarnings("ignore", message="More than 20 figures")
        # The finished run is too short to predict well.
        warnings.filterwarnings("ignore", message=".* of the held-out examples have a set of all 10 classes")
        for block in programs(page):
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        pyplot.close("all")


def run_needed_commands(page: Path, text: str) -> None:
    """Run, for as short as possible, the page's commands that make what its programs read."""
    for command in commands(page):
        arguments = list(command.arguments)
        makes = {
            "fit": arguments[arguments.index("--output") + 1] if "--output" in arguments else "",
            "diagnose": f"{arguments[0]}/posterior.nc" if arguments else "",
        }.get(command.name, "")
        if (makes and f'"{makes}' in text) or (command.name == "fit" and makes and f'"{makes}/' in text):
            assert cli.main([command.name, *arguments, *SHORT[command.name]]) == 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    def unclear(block: Block) -> bool:
        return block.reason is not None and len(block.reason) < 10

    assert [block.line for block in blocks(page) if unclear(block)] == []
    # A marker anywhere else would be without effect.
    assert page.read_text().count("<!-- not run") == sum(block.reason is not None for block in blocks(page)) + (
        page.name == "CONTRIBUTING.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_linked_file_and_heading_exists(page: Path) -> None:
    def broken(link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        return not target.exists() or (anchor != "" and anchor not in anchors(target))

    links = re.findall(r"\]\(((?!http|mailto)[^)\s]+)\)", without_blocks(page))
    assert [link for link in links if broken(link)] == []


def test_anchors_are_those_of_headings(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `run` of Fit, twice\n\n## Is it?\n\n## Is it?\n\n```\n# no heading\n```\n")
    assert anchors(page) == {"a-run-of-fit-twice", "is-it", "is-it-1"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_target_and_script_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in lines(page):
        if line.startswith("make "):
            assert set(line.split()[1:]) <= targets
        for script in re.findall(r"python (\S+\.py)", line):
            assert (ROOT / script).exists(), script


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_that_an_option_can_name_is_in_the_documentation(kind: str) -> None:
    text = "\n".join(page.read_text() for page in PAGES if page.is_relative_to(DOCS))
    if f"```{{registry}} {kind}\n" in text:
        return
    assert [name for name in choices(kind) if not re.search(rf"`(~?[\w.]*\.)?{name}`", text)] == []


def test_every_configuration_is_in_the_documentation() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    names = [path.stem for path in (ROOT / "experiments" / "configs").glob("*.yaml")]
    assert len(names) >= 20
    assert [name for name in names if not re.search(rf"\b{name}(\.yaml)?\b", text)] == []


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "api" / "index.md").read_text()
    assert [name for name in vri_pyro.__all__ if f"`vri_pyro.{name}`" not in text] == []


def test_every_folder_is_in_the_reference() -> None:
    documented = set(re.findall(r"```\{package\} (\S+)\n", "\n".join(page.read_text() for page in PAGES)))
    folders = {"vri_pyro", "vri_pyro.models", "vri_pyro.guides"}
    for path in (ROOT / "vri_pyro").rglob("__init__.py"):
        folders.add(".".join(path.parent.relative_to(ROOT).parts))
    # The command line is described by its help; the conversion is what from_pyro_svi is made of.
    assert folders - documented == {"vri_pyro", "vri_pyro.cli", "vri_pyro.report", "vri_pyro.diagnostics.conversion"}
