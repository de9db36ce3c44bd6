"""The studies' framework: runs are done once and kept, whatever happens to the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from study import (
    Cell,
    Page,
    Record,
    Records,
    Run,
    Store,
    Study,
    Workshop,
    by_method,
    config,
    execution,
    grid,
    main,
    paired_difference,
    run_all,
    runs_of,
    significant,
    slope,
    spread,
)
from study.data import find, pool, pooled
from study.page import what_was_run

from vri_pyro.utils.errors import UserError

QUICK = (
    *("--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[8]", "--epochs", "2"),
    *("--split.noisy_size", "200"),
)
METHODS = {"cross entropy": config("cross_entropy"), "clean-only": config("clean_only")}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(Store(tmp_path / "records"), tmp_path / "scratch", curves=("test_accuracy", "loss"))


def quick_runs(seeds: range = range(2), **options: str) -> list[Run]:
    changed = tuple(part for name, value in options.items() for part in (f"--{name}", value))
    return runs_of(grid({"digits": (*QUICK, *changed)}, METHODS), seeds)


def test_runs_come_seed_by_seed() -> None:
    assert [(run.seed, run.method) for run in quick_runs()] == [
        *((0, "cross entropy"), (0, "clean-only")),
        *((1, "cross entropy"), (1, "clean-only")),
    ]


def test_cells_that_would_share_a_file_are_refused() -> None:
    with pytest.raises(ValueError, match="a_b"):
        runs_of([Cell("s", "a b", ()), Cell("s", "a (b)", ())], [0])


def test_record_holds_results_curves_options_and_what_made_them(workshop: Workshop) -> None:
    (run, *_) = quick_runs()
    assert run_all([run], workshop) == []
    record = json.loads((workshop.store.folder / "digits" / "cross_entropy" / "seed0.json").read_text())
    assert len(record["curves"]["test_accuracy"]) == len(record["curves"]["loss"]) == 2
    assert record["results"]["last"] == record["curves"]["test_accuracy"][-1]
    assert record["options"]["method.pool"] == "noisy"  # from the configuration's file
    assert record["config"]["batch_size"] == 100  # a default
    assert record["seconds"] > 0
    assert {"torch", "python", "device"} <= set(record["made_by"])
    assert not (workshop.scratch / run.place).exists()


def test_finished_run_is_not_done_again(workshop: Workshop) -> None:
    runs = quick_runs()
    run_all(runs[:1], workshop)
    file = workshop.store.file(runs[0])
    before = file.stat().st_mtime_ns
    run_all(runs, workshop)
    assert file.stat().st_mtime_ns == before
    assert len(workshop.store.collect(runs)) == 4


def test_record_of_other_options_is_refused_before_anything_runs(workshop: Workshop) -> None:
    run_all(quick_runs(range(1)), workshop)
    with pytest.raises(UserError, match=r"clean-only/seed0.json.*epochs was 2, now it is 3|epochs was 2, now it is 3"):
        run_all(quick_runs(epochs="3"), workshop)
    assert not list(workshop.store.folder.rglob("seed1.json"))


def test_damaged_record_is_refused_with_its_name(workshop: Workshop) -> None:
    (run, *_) = quick_runs()
    workshop.store.write(run, {})
    workshop.store.file(run).write_text("{")
    with pytest.raises(UserError, match=r"seed0.json is damaged"):
        run_all([run], workshop)


def test_same_options_from_another_folder_are_the_same_run() -> None:
    runs = [Run("s", "m", ("--data.path", f"{place}/x.npz"), 0) for place in ("/here", "/there")]
    assert runs[0].given() == runs[1].given() == {"data.path": "x.npz"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_failing_run_is_named_and_stops_no_other(
    workshop: Workshop, jobs: int, capfd: pytest.CaptureFixture[str]
) -> None:
    good = quick_runs(range(1))
    bad = Run("digits", "impossible", (*QUICK, "--split.noisy_size", "100000"), 0)
    assert run_all([good[0], bad, good[1]], workshop, jobs) == [bad]
    assert len(workshop.store.collect([*good, bad])) == 2
    assert "error: " in capfd.readouterr().err


def _raise(folder: object) -> dict[str, float]:
    raise ZeroDivisionError("a bug of the study's")


def test_measurement_that_fails_is_a_failed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = quick_runs(range(1))
    failing = Workshop(Store(tmp_path / "records"), tmp_path / "scratch", measure=_raise)
    assert run_all(runs, failing) == runs
    assert "ZeroDivisionError: a bug of the study's" in capsys.readouterr().err
    # The training is not lost: what failed is the measurement alone.
    mended = Workshop(
        failing.store, failing.scratch, measure=lambda folder: {"files": len(list(folder.path.iterdir()))}
    )
    assert run_all(runs, mended) == []
    (record, _) = mended.store.collect(runs)
    assert record["measured"]["files"] >= 5
    assert record["seconds"] is None  # its seconds would be those of the second half


SLOW_STUDY = """
import sys
from study import Page, Study, config, grid, main
cells = lambda bench: grid({"s": bench.setting("--epochs", "3000")}, {"m": config("cross_entropy")})
if __name__ == "__main__":
    sys.exit(main(Study("slow", "", cells, lambda records: Page("slow", []))))
"""


def test_stopped_study_leaves_runs_that_can_go_on(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_STUDY)
    command = [sys.executable, "slow.py", "--scale", "tiny", "--jobs", "2", "--results", "results"]
    path = {"PYTHONPATH": str(Path(__file__).parents[2] / "experiments")}
    study = subprocess.Popen(command, cwd=tmp_path, env=os.environ | path, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "runs" / "slow_tiny" / "s" / "m" / "seed0"
    deadline = time.monotonic() + 60
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    study.send_signal(signal.SIGTERM)
    _, errors = study.communicate(timeout=60)
    assert study.returncode == 130, errors
    assert "the same command goes on" in errors
    assert (folder / "checkpoints" / "last.pt").exists()
    assert not list((tmp_path / "results").rglob("*.json"))


def test_run_that_was_stopped_stops_the_study(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(execution, "main", lambda arguments: asked.append(arguments[0]) or 130)
    with pytest.raises(KeyboardInterrupt):
        run_all(quick_runs(), workshop)
    assert asked == ["fit"]


def _study(report_on: list[int]) -> Study:
    def cells(bench: object) -> list[Cell]:
        return grid({"digits": QUICK}, METHODS)

    def report(records: Records) -> Page:
        report_on.append(len(records))
        return Page("A study", [by_method(records)])

    return Study("a_study", "", cells, report)


def test_report_is_made_from_the_runs_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[int] = []
    arguments = ["--scale", "tiny", "--results", "results"]
    assert main(_study(seen), [*arguments, "--report-only"]) == 2
    assert "no run of a_study_tiny is done" in capsys.readouterr().err
    assert main(_study(seen), [*arguments, "--seeds", "0", "--methods", "clean-only"]) == 0
    assert main(_study(seen), [*arguments, "--seeds", "0", "1", "--report-only"]) == 0
    assert seen == [1, 1]
    page = Path("results/a_study_tiny.md").read_text()
    assert "| clean-only |" in page
    assert "cross entropy" not in page
    assert "seeds 0." in page


def test_page_tells_each_data_sets_sizes_and_who_trains_longer_than_configured() -> None:
    def record(setting: str, method: str, data: str, noisy: int, length: int) -> Record:
        parts = {name: {"class_path": "some.Part"} for name in ("backbone", "augmentation", "optimizer")}
        settings = parts | {"data": {"class_path": f"sets.{data}"}, "epochs": 3, "batch_size": 10}
        split, curves = {"noisy": noisy, "clean": 5}, {"loss": [1.0] * length}
        head = {"setting": setting, "method": method, "seed": 0}
        return head | {"config": settings, "split": split, "curves": curves}

    runs = [
        ("A", 60, 3, "plain; slow"),
        ("A", 60, 6, "staged; slow"),
        ("A", 60, 6, "staged; fast"),
        ("A", 60, 7, "longer"),
        ("B", 70, 3, "plain"),
    ]
    told = what_was_run(Records(record(data, name, data, noisy, length) for data, noisy, length, name in runs))
    one, other = told.split("\n\n")
    assert one.startswith("data: A; noisy labels: 60; clean labels: 5;")
    assert one.endswith("epochs with all stages: 6 of staged, 7 of longer.")
    assert other.startswith("data: B; noisy labels: 70;")
    assert "stages" not in other


def test_failed_runs_give_a_report_and_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = {"good": config("clean_only"), "bad": config("clean_only", "--epochs", "0")}
    study = Study("s", "", lambda bench: grid({"digits": QUICK}, methods), lambda found: Page("S", [by_method(found)]))
    assert main(study, ["--scale", "tiny", "--results", "results", "--seeds", "0"]) == 1
    assert "failed: bad (digits, seed 0)" in capsys.readouterr().err
    assert "| good |" in Path("results/s_tiny.md").read_text()


def test_unknown_method_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(_study([]), ["--scale", "tiny", "--methods", "magic", "--runs", str(tmp_path)]) == 2
    assert "there is no method magic; choose from: cross entropy, clean-only" in capsys.readouterr().err


def test_missing_data_are_named_with_the_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert main(_study([]), []) == 2
    assert "python experiments/prepare.py fashion_mnist" in capsys.readouterr().err


def test_spread_is_the_samples_standard_deviation() -> None:
    assert spread([1.0, 2.0, 4.0]) == "2.3 ± 1.5"
    assert (spread([2.0]), spread([])) == ("2.0", "–")  # noqa: RUF001


def test_numbers_of_any_size_have_three_digits() -> None:
    assert significant([1.2e7, 1.8e7]) == "1.5e+07 ± 4e+06"
    assert (significant([0.00123456]), significant([0.0]), significant([])) == ("0.00123", "0", "–")  # noqa: RUF001


def test_difference_is_paired_and_its_interval_covers_at_the_rate_it_says() -> None:
    assert paired_difference({0: 3.0, 1: 5.0, 2: 9.0}, {0: 1.0, 1: 2.0}) == paired_difference(
        {0: 2.0, 1: 3.0}, {0: 0, 1: 0}
    )
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    generator = np.random.default_rng(0)
    samples = generator.normal(1.0, 2.0, (2000, 4))
    found = [paired_difference(dict(enumerate(sample)), dict.fromkeys(range(4), 0.0)) for sample in samples]
    assert np.mean([one.low < 1.0 < one.high for one in found]) == pytest.approx(0.95, abs=0.015)
    alone = paired_difference({0: 1.0}, {0: 0.5})
    assert (str(alone), alone.interval) == ("0.5", "–")  # noqa: RUF001


def test_slope_of_points_on_a_line_is_exact_and_noise_widens_its_interval() -> None:
    x = np.arange(6.0)
    exact = slope(x, 3 * x + 1)
    assert (exact.value, exact.error) == (pytest.approx(3), pytest.approx(0, abs=1e-6))
    noisy = slope(x, 3 * x + np.array([1, -1, 1, -1, 1, -1]))
    assert noisy.low < 3 < noisy.high


def test_curves_are_as_long_as_the_shortest_run() -> None:
    records = Records({"method": "m", "setting": "s", "seed": k, "curves": {"kl": [1.0] * (2 + k)}} for k in range(3))
    assert records.curves("m", "s", "kl").shape == (3, 2)
    assert records.curves("m", "s", "loss").shape == (3, 0)


def test_pooling_averages_squares_and_rounds() -> None:
    image = np.array([[0, 1, 255, 255], [1, 1, 255, 254], [9, 9, 0, 0], [9, 9, 0, 1]], dtype=np.uint8)
    assert pool(image[None], 2).tolist() == [[[1, 255], [9, 0]]]
    colour = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    exact = colour.reshape(3, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(pool(colour, 16) - exact).max() <= 0.5
    assert pool(colour, 32) is colour


def test_images_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match="28 x 28 pixels cannot be pooled to 16 x 16"):
        pool(np.zeros((1, 28, 28), np.uint8), 16)


def test_pooled_copy_is_made_once_a_source(tmp_path: Path) -> None:
    source = tmp_path / "x.npz"
    arrays = {"x_train": np.full((2, 4, 4), 7, np.uint8), "y_train": np.array([0, 1])}
    np.savez(source, **arrays)
    first = pooled(source, 2, tmp_path / "cache")
    made = first.stat().st_mtime_ns
    with np.load(first) as copy:
        assert copy["x_train"].shape == (2, 2, 2)
        assert copy["y_train"].tolist() == [0, 1]
    assert pooled(source, 2, tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == made
    np.savez(source, **arrays | {"y_train": np.array([1, 0])})
    assert pooled(source, 2, tmp_path / "cache") != first


def test_data_are_found_in_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.npz").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.npz").touch()
    given = [tmp_path / "a.npz", tmp_path / "sub"]
    assert (find("a", given), find("b", given), find("c", given)) == (given[0], tmp_path / "sub" / "b.npz", None)
    with pytest.raises(UserError, match="there is no file or folder"):
        find("a", [tmp_path / "nowhere"])
