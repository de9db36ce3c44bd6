"""Tests of the paper-scale studies without running them: networks by noise, and valid options of vri-pyro fit."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import compare
import pytest
from study import Cell, StudyRun, parser
from study.benches import Bench

from vri_pyro.cli import fit

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
WITHOUT_RUNS = ("find_label_issues",)  # studies whose options are not those of vri-pyro fit
SCRIPTS = [
    path.stem
    for path in sorted(EXPERIMENTS.glob("*.py"))
    if "STUDY = Study(" in path.read_text() and path.stem not in WITHOUT_RUNS
]


def _cells(module: str, scale: str) -> Iterator[tuple[Bench, Cell]]:
    script = importlib.import_module(module)
    for bench in getattr(script, "BENCHES", script.STUDY.benches)[scale]:
        found = replace(bench, path=Path("data.npz"), foreign_path=Path("foreign.npz") if bench.foreign else None)
        yield from ((found, found.fitted(cell)) for cell in script.STUDY.cells(found))


def test_studies_are_found() -> None:
    assert {"compare", "collapse", "kl_placement"} <= set(SCRIPTS)


@pytest.mark.parametrize(("module", "scale"), [*((module, "paper") for module in SCRIPTS), ("compare", "paper100")])
def test_options_of_every_method_at_paper_scale_are_accepted_by_fit(module: str, scale: str) -> None:
    script = importlib.import_module(module)
    if scale not in getattr(script, "BENCHES", script.STUDY.benches):
        pytest.skip("this study has no such scale")
    tried, parsed = {}, fit.build_parser()
    for _, cell in _cells(module, scale):
        tried.setdefault(cell.method, cell)
    assert tried
    for cell in tried.values():
        options = zip(cell.options[::2], cell.options[1::2], strict=True)
        parsed.parse_args([part for option in options if option[0] != "--horizon" for part in option])


def test_peers_have_the_options_of_their_papers_for_a_hundred_classes() -> None:
    chosen = {cell.method: StudyRun(**vars(cell), seed=0).given() for _, cell in _cells("compare", "paper100")}
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
def test_networks_by_noise_are_those_of_the_paper(scale: str, nets: dict[str, str]) -> None:
    seen = set()
    for _, cell in _cells("compare", scale):
        options = dict(zip(cell.options[::2], cell.options[1::2], strict=True))
        noise = compare.parts_of(cell.setting)[1].split()[0]
        seen.add(noise)
        assert options["--backbone"].endswith(f".{nets.get(noise, 'PreActResNet18')}")
        assert options["--epochs"] == "160"
    assert seen == {*nets} | ({"open"} if scale == "paper" else set())


def test_commands_that_were_not_run_name_existing_methods_and_settings() -> None:
    page = (EXPERIMENTS / "results" / "RESULTS.md").read_text()
    (command,) = re.findall(r"^python experiments/compare.py (--scale paper .*)$", page, flags=re.MULTILINE)
    asked = parser(compare.STUDY).parse_args(shlex.split(command))
    cells = [cell for _, cell in _cells("compare", asked.scale)]
    assert set(asked.methods) <= {cell.method for cell in cells}
    assert set(asked.settings) <= {cell.setting for cell in cells}
