"""``vri-pyro sweep``: several seeds and a grid of options."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import pytest

from .conftest import Command

SWEEP = ("sweep", "--config", "tiny.yaml", "--output", "sweep")


def rows(file: str = "sweep/sweep.csv") -> list[dict[str, str]]:
    with Path(file).open(newline="") as table:
        return list(csv.DictReader(table))


def accuracy(folder: str, which: str) -> float:
    return json.loads((Path("sweep") / folder / "summary.json").read_text())["results"][which]


@pytest.mark.usefixtures("here")
def test_every_combination_is_trained_with_every_seed_and_summarised(vri_pyro: Command) -> None:
    grid = ("--grid", "optimizer.lr=0.01,0.1", "backbone.hidden=[4, 4]", "--seeds", "0,1")
    done = vri_pyro(*SWEEP, *grid)
    assert done.status == 0, done.stderr
    assert "4/4 optimizer.lr=0.1, backbone.hidden=[4, 4], seed 1: " in done.stdout
    assert "test accuracy (%), mean ± sd over the seeds" in done.stdout
    found = rows()
    assert [(row["optimizer.lr"], row["backbone.hidden"], row["runs"]) for row in found] == [
        (rate, "[4, 4]", "2") for rate in ("0.01", "0.1")
    ]
    for row in found:
        name = f"optimizer.lr={row['optimizer.lr']},backbone.hidden=_4,_4_"
        for which in ("last", "chosen"):
            values = [accuracy(f"{name}/seed_{seed}", which) for seed in (0, 1)]
            assert float(row[f"{which}_mean"]) == pytest.approx(statistics.mean(values), abs=1e-4)
            assert float(row[f"{which}_sd"]) == pytest.approx(statistics.stdev(values), abs=1e-4)

    # The same command again trains nothing; a further seed is added to the runs that exist.
    summaries = {path: path.stat().st_mtime_ns for path in Path("sweep").rglob("summary.json")}
    assert len(summaries) == 4
    assert vri_pyro(*SWEEP, *grid[:-1], "0,1,2").status == 0
    assert {path: path.stat().st_mtime_ns for path in summaries} == summaries
    assert {row["runs"] for row in rows()} == {"3"}


@pytest.mark.usefixtures("here")
def test_run_of_a_sweep_is_the_run_of_fit_with_these_options(vri_pyro: Command) -> None:
    assert vri_pyro(*SWEEP, "--grid", "optimizer.lr=0.1", "--seeds", "3").status == 0
    assert vri_pyro("fit", "--config", "tiny.yaml", "--optimizer.lr", "0.1", "--seed", "3").status == 0
    metrics = Path("sweep/optimizer.lr=0.1/seed_3/metrics.csv").read_text().splitlines()
    assert [line.rpartition(",")[0] for line in metrics] == [  # the last column is a time
        line.rpartition(",")[0] for line in Path("run/metrics.csv").read_text().splitlines()
    ]
    assert rows()[0]["last_sd"] == ""


@pytest.mark.usefixtures("here")
def test_failed_run_is_reported_and_the_others_go_on(vri_pyro: Command) -> None:
    done = vri_pyro(*SWEEP, "--grid", "split.noisy_size=200,9999", "--seeds", "0")
    assert done.status == 1
    assert "error: noisy_size is 9999 but only" in done.stderr
    assert "2/2 split.noisy_size=9999, seed 0: failed" in done.stdout
    assert "failed: split.noisy_size=9999, seed 0; see the error above" in done.stdout
    assert [row["split.noisy_size"] for row in rows()] == ["200"]


@pytest.mark.usefixtures("here")
def test_configuration_files_can_be_compared_in_processes_of_their_own(vri_pyro: Command) -> None:
    configs = Path(__file__).parents[2] / "experiments" / "configs"
    Path("elr.yaml").write_text((configs / "elr.yaml").read_text())
    done = vri_pyro(*SWEEP, "--grid", "config=tiny.yaml,elr.yaml", "--seeds", "0", "--jobs", "2")
    assert done.status == 0, done.stderr
    assert [row["config"] for row in rows()] == ["tiny.yaml", "elr.yaml"]
    assert "ELR" in Path("sweep/config=elr.yaml/seed_0/config.yaml").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--grid", "optimizer.lr"), "grid has 'optimizer.lr'; expected an option and its values, such as"),
        (("--grid", "optimizer.lr=[1"), "grid has 'optimizer.lr=[1'; expected an option and its values"),
        (("--grid", "optimizr.lr=1"), "unrecognised arguments: --optimizr.lr 1; did you mean --optimizer.lr?"),
        (("--grid", "epochs=1,many"), "--epochs: expected an integer, not 'many'"),
        (("--grid", "seed=1,2"), "grid has the option seed; use --seeds for seeds"),
        (("--grid", "epochs=1,1"), "grid has a value twice"),
        (("--seeds", "0,x"), "seeds is '0,x'; expected integers separated by commas, such as 0,1,2"),
        (("--seed", "4"), "seed is 4; set --seeds 4 instead"),
        (("--jobs", "0"), "jobs is 0; expected a value >= 1"),
    ],
)
def test_bad_input_is_reported_before_the_first_run(
    here: Path, vri_pyro: Command, options: tuple[str, ...], message: str
) -> None:
    done = vri_pyro(*SWEEP, *options)
    assert done.status == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(here.rglob("metrics.csv"))


def test_interrupted_sweep_says_how_to_resume(here: Path, vri_pyro: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from vri_pyro.utils.interruption import StopRequest

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "made", True, raising=False)
        patch.setattr(StopRequest, "__init__", lambda self: None)
        done = vri_pyro(*SWEEP, "--seeds", "0,1")
    assert done.status == 130
    assert done.stderr.splitlines()[-1] == "stopped; repeat the same command to resume"
    assert not list(here.rglob("summary.json"))
    assert vri_pyro(*SWEEP, "--seeds", "0,1").status == 0
    assert rows()[0]["runs"] == "2"
