"""What would run on a GPU: the paper's nets by noise, and options that vri-pyro fit takes."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import compare
import pytest
from study import Cell, Run, parser
from study.benches import Bench

from vri_pyro.cli import fit

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPTS = [path.stem for path in sorted(EXPERIMENTS.glob("*.py")) if "STUDY = Study(" in path.read_text()]


def _cells(module: str, scale: str) -> Iterator[tuple[Bench, Cell]]:
    script = importlib.import_module(module)
    for bench in getattr(script, "BENCHES", script.STUDY.benches)[scale]:
        found = replace(bench, path=Path("data.npz"), foreign_path=Path("foreign.npz") if bench.foreign else None)
        yield from ((found, found.fitted(cell)) for cell in script.STUDY.cells(found))


def test_studies_are_found() -> None:
    assert {"compare", "collapse", "kl_placement"} <= set(SCRIPTS)


@pytest.mark.parametrize(("module", "scale"), [*((module, "paper") for module in SCRIPTS), ("compare", "paper100")])
def test_every_method_of_a_study_at_paper_scale_is_options_of_fit(module: str, scale: str) -> None:
    tried, parsed = {}, fit.build_parser()
    for _, cell in _cells(module, scale):
        tried.setdefault(cell.method, cell)
    assert tried
    for cell in tried.values():
        options = zip(cell.options[::2], cell.options[1::2], strict=True)
        parsed.parse_args([part for option in options if option[0] != "--horizon" for part in option])


def test_peers_have_their_papers_options_for_a_hundred_classes() -> None:
    chosen = {cell.method: Run(**vars(cell), seed=0).given() for _, cell in _cells("compare", "paper100")}
    for name in ("ELR", "ELR + clean batch"):
        assert (chosen[name]["method.elr_weight"], chosen[name]["method.momentum"]) == (7, 0.9)
    for name in ("WarPI", "WarPI + clean batch"):
        assert chosen[name]["method.guide.inputs"][1]["init_args"] == {"dim": 100}
    assert "method.guide.inputs" not in chosen["MW-Net"]


@pytest.mark.parametrize(
    ("scale", "nets"),
    [
        ("paper", {"flip": "ResNet32", "uniform": "PreActResNet18", "instance": "PreActResNet18"}),
        ("paper100", {"flip": "ResNet32", "uniform": "PreActResNet18", "instance": "PreActResNet34"}),
    ],
)
def test_nets_are_the_papers_by_noise(scale: str, nets: dict[str, str]) -> None:
    seen = set()
    for _, cell in _cells("compare", scale):
        options = dict(zip(cell.options[::2], cell.options[1::2], strict=True))
        noise = compare.parts_of(cell.setting)[1].split()[0]
        seen.add(noise)
        assert options["--backbone"].endswith(f".{nets.get(noise, 'PreActResNet18')}")
        assert options["--epochs"] == "160"
    assert seen == {*nets} | ({"open"} if scale == "paper" else set())


def test_commands_that_were_not_run_name_methods_and_settings_that_there_are() -> None:
    page = (EXPERIMENTS / "results" / "RESULTS.md").read_text()
    (command,) = re.findall(r"^python experiments/compare.py (--scale paper .*)$", page, flags=re.MULTILINE)
    asked = parser(compare.STUDY).parse_args(shlex.split(command))
    cells = [cell for _, cell in _cells("compare", asked.scale)]
    assert set(asked.methods) <= {cell.method for cell in cells}
    assert set(asked.settings) <= {cell.setting for cell in cells}
