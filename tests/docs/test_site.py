"""The parts of the documentation site that are code, and the files that repeat what code says."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import vri_pyro
from vri_pyro.utils.deprecations import ARGUMENTS, CLASSES, MODULES, OPTIONS

from .pages import DOCS, ROOT


def load(path: Path) -> ModuleType:
    """A module that is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def docstrings() -> ModuleType:
    pytest.importorskip("sphinx")
    return load(DOCS / "_ext" / "docstrings.py")


def test_inventories_are_what_their_script_makes() -> None:
    made = load(DOCS / "inventories" / "make.py")
    files = {path.stem: path.read_bytes() for path in (DOCS / "inventories").glob("*.inv")}
    assert files == {project: made.inventory(project) for project in made.INVENTORIES}


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "vri_pyro.__version__"}
    # setuptools reads the version without importing the package only if it is a plain string.
    source = (ROOT / "vri_pyro" / "__init__.py").read_text()
    assert re.findall(r'^__version__ = "(.*)"$', source, flags=re.MULTILINE) == [vri_pyro.__version__]


def test_citation_and_changelog_name_the_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == vri_pyro.__version__
    versions = re.findall(r"^## (\S+?)(?:,.*)?$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == vri_pyro.__version__


def test_changelog_lists_every_deprecated_name() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    pairs = [(f"vri_pyro.{old}", f"vri_pyro.{new}") for old, new in MODULES.items()]
    pairs += CLASSES.items()
    pairs += [(f"{name}.{old}", f"{name}.{new}") for name, renamed in ARGUMENTS.items() for old, new in renamed.items()]
    for (holder, old), new in OPTIONS.items():
        where = "…" if holder == "*" else holder
        pairs.append((f"{where}.{old}", f"{where}.{new}"))
    assert [old for old, new in pairs if f"| `{old}` | `{new}` |" not in text] == []


def test_the_docs_extra_is_part_of_the_development_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras["docs"]) <= set(extras["dev"])


def test_hooks_need_no_network() -> None:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in configuration["repos"]] == ["local"]
    assert {hook["language"] for hook in configuration["repos"][0]["hooks"]} == {"system"}


def test_a_description_of_returns_is_prose(docstrings: ModuleType) -> None:
    lines = [
        "Do it.",
        "",
        "Returns:",
        "    ``last``: the last,",
        "    and more.",
        "",
        "Raises:",
        "    UserError: never.",
    ]
    expected = ["Do it.", "", "", ":returns: ``last``: the last,", "    and more.", "", ""]
    assert docstrings.rewrite(lines) == [*expected, *lines[-2:]]


def test_names_described_at_once_are_described_each(docstrings: ModuleType) -> None:
    lines = ["Args:", "    a, b: of the pair,", "        both.", "    c: K."]
    expected = ["Args:", "    a: of the pair,", "        both.", "    b: of the pair,", "        both.", "    c: \\K."]
    assert docstrings.rewrite(lines) == expected


def test_shapes_and_bars_are_no_markup(docstrings: ModuleType) -> None:
    line = "``x`` [batch, *shape] and |a - b| with *emphasis* and ``a | *b``"
    assert docstrings.rewrite([line]) == [r"``x`` [batch, \*shape] and \|a - b\| with *emphasis* and ``a | *b``"]


def test_literal_blocks_stay_as_they_are(docstrings: ModuleType) -> None:
    lines = ["The model::", "", "    v ~ p(v | z)", "", "p(v | z) is the prior."]
    assert docstrings.rewrite(lines) == [*lines[:4], r"p(v \| z) is the prior."]


def test_a_reference_is_a_field(docstrings: ModuleType) -> None:
    lines = ["Reference: Sun et al.,", "    IJCV 2025."]
    assert [line for line in docstrings.rewrite(lines) if line] == [":Reference: Sun et al.,", "    IJCV 2025."]


def test_links_out_of_the_pages_become_downloads() -> None:
    pytest.importorskip("sphinx")
    links = load(DOCS / "_ext" / "repository_links.py")
    text = "[a](posterior.md#x) [b](../README.md) [c](../experiments) [d](https://pyro.ai) [e](../nowhere.md)"
    expected = "[a](posterior.md#x) [b](path:../README.md) c [d](https://pyro.ai) [e](../nowhere.md)"
    assert links.rewrite(text, DOCS / "index.md", DOCS) == expected


def test_every_exported_name_has_one_public_path(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    package = load(DOCS / "_ext" / "package.py")
    from vri_pyro.data.noise import flip

    assert package.public_path(flip, "Flip") == "vri_pyro.data.Flip"
    assert package.defined_names(flip) == [("class", "Flip")]
    assert ".. autoclass:: vri_pyro.data.Flip\n" in package.documentation("vri_pyro.data.noise")
    assert "vri_pyro.data.noise" in sys.modules
