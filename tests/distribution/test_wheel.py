"""The wheel contains all of vri_pyro and nothing else, and works next to packages called models and guides."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"vri_pyro": "vri_pyro", "models": "vri_pyro.models", "guides": "vri_pyro.guides"}
CONFIGURATIONS = "vri_pyro.configs"  # YAML files, without modules


def _packages_in_the_tree() -> set[str]:
    found = set()
    for folder, package in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    return found


def test_every_package_in_the_tree_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(settings["packages"]) == _packages_in_the_tree() | {CONFIGURATIONS}


def test_every_folder_with_modules_is_a_package() -> None:
    for folder in FOLDERS:
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the build leaves no files in the source tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    wanted = ["pyproject.toml", "README.md", "LICENSE", *FOLDERS, "experiments", "tests"]
    present = [ROOT / name for name in wanted if (ROOT / name).exists()]
    subprocess.run(["cp", "-r", *present, source], check=True)
    isolation = ["--no-build-isolation"] if find_spec("setuptools") else []
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", out, source]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if built.returncode and not isolation:
        pytest.skip(f"no wheel without setuptools or a package index: {built.stderr[-300:]}")
    assert built.returncode == 0, built.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_installs_nothing_but_vri_pyro(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vri_pyro"}


def test_wheel_holds_every_module_and_the_type_marker(names: set[str]) -> None:
    expected = {"vri_pyro/py.typed", "vri_pyro/report/page.html", "vri_pyro/report/page.css"}
    expected |= {"vri_pyro/runs/export/model_card.md.jinja"}
    for folder, package in FOLDERS.items():
        place = package.replace(".", "/")
        expected |= {f"{place}/{m.relative_to(ROOT / folder).as_posix()}" for m in (ROOT / folder).rglob("*.py")}
    assert expected <= names


def test_wheel_names_the_command(wheel: Path, names: set[str]) -> None:
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert "vri-pyro = vri_pyro.cli.__main__:main" in archive.read(entry_points).decode()


_RUN = """
import sys
import vri_pyro, vri_pyro.models, vri_pyro.guides
from vri_pyro.cli.main import main
print(*(module.__file__ for module in (vri_pyro, vri_pyro.models, vri_pyro.guides)), sep="\\n", file=sys.stderr)
sys.exit(main(sys.argv[1:]))
"""


def test_installed_wheel_runs_beside_other_packages_called_models_and_guides(wheel: Path, tmp_path: Path) -> None:
    target, here = tmp_path / "target", tmp_path / "here"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    subprocess.run(install, check=True, timeout=120)
    for name in ("models", "guides", "experiments"):
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text("raise ImportError('this package is somebody else\\'s')")

    options = ["--backbone", "vri_pyro.backbones.MLP", "--epochs", "1", "--split.noisy_size", "200", "--threads", "1"]
    command = [sys.executable, "-c", _RUN, "fit", *options, "--device", "cpu", "--output", "run", "--quiet", "true"]
    environment = os.environ | {"PYTHONPATH": str(target)}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert all(Path(file).is_relative_to(target) for file in done.stderr.split())
    assert (here / "run" / "summary.json").exists()
    assert "</html>" in (here / "run" / "report.html").read_text()
