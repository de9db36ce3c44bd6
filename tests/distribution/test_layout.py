"""The architecture of the package: its folders, the order of their imports, and the size of its files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import vri_pyro

ROOT = Path(__file__).parents[2]
PACKAGES = {"vri_pyro": "vri_pyro", "models": "vri_pyro.models", "guides": "vri_pyro.guides"}
# From the top down: a folder imports from those below it. Folders on one line do not import each other.
ORDER = (
    ("cli",),
    ("estimator",),
    ("report",),
    ("certification",),
    ("calibration",),
    ("label_issues",),
    ("diagnostics",),
    ("runs",),
    ("training",),
    ("methods",),
    ("models", "guides", "backbones", "infer"),
    ("interfaces",),
    ("data",),
    ("utils",),
)
# Modules beside the folders: the public API, which imports from all of them, when a name is used, and the estimator.
LOOSE = {"__init__", "estimator"}


def _modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def _imported_names(path: Path) -> Iterator[str]:
    """What a module imports, also inside functions: ``a.b`` for ``import a.b``, ``a.b.c`` for ``from a.b import c``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _import_graph() -> dict[str, set[str]]:
    """For each module, the modules of the package that it imports."""
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


def _folder(module: str) -> str:
    return module.split(".")[1]


def _arrows() -> dict[tuple[str, str], str]:
    """The imports from one folder into another, each with an example."""
    return {
        (_folder(name), _folder(target)): f"{name} imports {target}"
        for name, targets in _import_graph().items()
        if name != "vri_pyro"
        for target in targets
        if _folder(target) != _folder(name)
    }


def _violations(arrows: dict[tuple[str, str], str]) -> list[str]:
    """The imports that do not point to a lower line of the order."""
    line = {folder: number for number, folders in enumerate(ORDER) for folder in folders}
    return [example for (source, target), example in arrows.items() if line[source] >= line[target]]


def test_imports_known_to_exist_are_seen() -> None:
    arrows = _arrows()
    assert ("cli", "runs") in arrows
    assert ("models", "interfaces") in arrows
    assert "vri_pyro.models.prior_network" in _import_graph()["vri_pyro.models.rectification"]


def test_folders_import_only_from_folders_below_them() -> None:
    assert _violations(_arrows()) == []


def test_upward_and_sideward_imports_would_be_named() -> None:
    upward = {("data", "infer"): "vri_pyro.data.split imports vri_pyro.infer.elbo"}
    sideward = {("models", "guides"): "vri_pyro.models.gate imports vri_pyro.guides.gated"}
    assert _violations(upward | sideward | {("cli", "data"): "fine"}) == [*upward.values(), *sideward.values()]


def test_folders_are_those_of_the_order_and_no_module_lies_beside_them() -> None:
    modules = {tuple(name.split(".")[1:]) for name in _modules()} - {()}
    folders = {parts[0] for parts in modules}
    assert folders == {folder for folders in ORDER for folder in folders}
    assert len(folders) <= 17
    loose = {path.stem for path in (ROOT / "vri_pyro").glob("*.py")}
    assert loose == LOOSE


def test_no_module_imports_through_the_public_api() -> None:
    """The public names come from the top of the order, which the test above would not see."""
    public = {f"vri_pyro.{name}" for name in vri_pyro.__all__}
    for name, path in _modules().items():
        assert name == "vri_pyro" or not public & set(_imported_names(path)), name


def test_imports_form_no_circle() -> None:
    graph = {name: targets for name, targets in _import_graph().items() if name != "vri_pyro"}
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)  # raises CycleError with the circle


def test_nothing_outside_the_package_is_imported_from_the_tree() -> None:
    for name, path in _modules().items():
        tops = {imported.split(".")[0] for imported in _imported_names(path)}
        assert not tops & {"models", "guides", "experiments", "tests"}, name


def _attributes_called(path: Path) -> set[str]:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {function.attr for function in calls if isinstance(function, ast.Attribute)}


def test_no_module_moves_anything_to_cuda_by_name() -> None:
    assert not [name for name, path in _modules().items() if "cuda" in _attributes_called(path)]


def test_elbo_never_synchronises_with_the_device() -> None:
    assert not _attributes_called(_modules()["vri_pyro.infer.elbo"]) & {"item", "tolist", "cpu", "numpy"}


def test_no_file_holds_more_than_a_tenth_of_the_code() -> None:
    sizes = {name: len(path.read_text().splitlines()) for name, path in _modules().items()}
    assert max(sizes.values()) <= 0.1 * sum(sizes.values())
