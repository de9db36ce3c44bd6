"""The house's rules: who may import whom, what stands nowhere, and how large a file may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"vri_pyro": "vri_pyro", "models": "vri_pyro.models", "guides": "vri_pyro.guides"}
# From the top floor down: a module may import from floors below its own only.
FLOORS = (
    "cli",
    "commands.fit",
    "trained_run",
    "configuration",
    "experiment",
    "training",
    "phases",
    "peers",
    "methods",
    "bilevel",
    "hypergradient",
    "elbo",
    "classifier",
    "errors",
)


def _modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def _imported_names(path: Path) -> Iterator[str]:
    """What a module imports, in functions too: ``a.b`` for ``import a.b``, ``a.b.c`` for ``from a.b import c``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _import_graph() -> dict[str, set[str]]:
    """The modules of the package that each module imports; what a package's ``__init__`` re-exports comes from it."""
    modules = _modules()
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets = set()
        for imported in _imported_names(path):
            while imported and imported not in modules:
                imported = imported.rpartition(".")[0]
            targets.add(imported)
        graph[name] = targets - {"", "vri_pyro", name}
    return graph


def test_the_walk_sees_the_imports_that_are_known_to_be_there() -> None:
    graph = _import_graph()
    assert "vri_pyro.runs.configuration" in graph["vri_pyro.cli.fit"]
    assert "vri_pyro.models.prior_network" in graph["vri_pyro.models.rectification"]


def test_imports_go_round_in_no_circle() -> None:
    graph = _import_graph()
    ordered = list(TopologicalSorter(graph).static_order())  # raises CycleError with the circle
    assert set(ordered) >= set(graph)


def test_engine_imports_no_model_and_no_guide() -> None:
    pairs = ("vri_pyro.models", "vri_pyro.guides")
    for name, imported in _import_graph().items():
        if not name.startswith(pairs):
            assert not [target for target in imported if target.startswith(pairs)], name


def test_models_do_not_know_guides_nor_guides_models() -> None:
    for name, imported in _import_graph().items():
        for one, other in (("models", "guides"), ("guides", "models")):
            if name.startswith(f"vri_pyro.{one}"):
                assert not [target for target in imported if target.startswith(f"vri_pyro.{other}")], name


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_import_arrows_run_downwards(floor: int) -> None:
    graph = _import_graph()
    reached, waiting = set(), [f"vri_pyro.{FLOORS[floor]}"]
    while waiting:
        for target in graph[waiting.pop()] - reached:
            reached.add(target)
            waiting.append(target)
    assert not reached & {f"vri_pyro.{above}" for above in FLOORS[:floor]}


def test_nothing_outside_the_package_is_imported_from_the_tree() -> None:
    for name, path in _modules().items():
        tops = {imported.split(".")[0] for imported in _imported_names(path)}
        assert not tops & {"models", "guides", "experiments", "tests"}, name


def _attributes_called(path: Path) -> set[str]:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {function.attr for function in calls if isinstance(function, ast.Attribute)}


def test_no_module_moves_anything_to_cuda_by_name() -> None:
    assert not [name for name, path in _modules().items() if "cuda" in _attributes_called(path)]


def test_elbo_never_waits_for_the_device() -> None:
    assert not _attributes_called(_modules()["vri_pyro.infer.elbo"]) & {"item", "tolist", "cpu", "numpy"}


def test_no_file_carries_more_than_a_seventh_of_the_code() -> None:
    sizes = {name: len(path.read_text().splitlines()) for name, path in _modules().items()}
    assert max(sizes.values()) <= 0.15 * sum(sizes.values())
