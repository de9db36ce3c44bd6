"""Tests of the studies' framework: every run is executed once and stored, even if other runs fail."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import permutations
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
from study import (
    Cell,
    Page,
    Record,
    Records,
    Store,
    Study,
    StudyRun,
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
TOLD = (
    r"records\.jsonl\.gz: .* has a record with different options \(epochs was 2, is now 3\); "
    r"delete the record with the study's --forget"
)
EXPERIMENTS_PATH = {"PYTHONPATH": str(Path(__file__).parents[2] / "experiments"), "PYTHONWARNINGS": "ignore"}
METHODS = {"cross entropy": config("cross_entropy"), "clean-only": config("clean_only")}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(Store(tmp_path / "records.jsonl.gz"), tmp_path / "scratch", curves=("test_accuracy", "loss"))


def lines_of(table: Path) -> list[bytes]:
    return gzip.decompress(table.read_bytes()).splitlines()


def quick_runs(seeds: range = range(2), **options: str) -> list[StudyRun]:
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
    (record,) = map(json.loads, lines_of(workshop.store.file))
    assert (record["setting"], record["method"], record["seed"]) == ("digits", "cross entropy", 0)
    assert len(record["curves"]["test_accuracy"]) == len(record["curves"]["loss"]) == 2
    assert record["results"]["last"] == record["curves"]["test_accuracy"][-1]
    assert record["options"]["method.pool"] == "noisy"  # from the configuration file
    assert record["config"]["batch_size"] == 100  # a default
    assert record["seconds"] > 0
    assert {"torch", "python", "device"} <= set(record["made_by"])
    assert not (workshop.scratch / run.place).exists()


def test_finished_run_is_not_done_again(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = quick_runs()
    run_all(runs[:1], workshop)
    (before,) = lines_of(workshop.store.file)
    fit, asked = execution.main, []
    monkeypatch.setattr(execution, "main", lambda arguments: asked.append(arguments) or fit(arguments))
    run_all(runs, workshop)
    assert len(asked) == 3
    assert len(workshop.store.collect(runs)) == 4
    assert before in lines_of(workshop.store.file)


def test_record_of_other_options_is_refused_before_anything_runs(workshop: Workshop) -> None:
    run_all(quick_runs(range(1)), workshop)
    before = workshop.store.file.read_bytes()
    with pytest.raises(UserError, match=TOLD):
        run_all(quick_runs(epochs="3"), workshop)
    with pytest.raises(UserError, match=TOLD):
        workshop.store.collect(quick_runs(epochs="3"))
    assert workshop.store.file.read_bytes() == before
    assert not workshop.scratch.exists() or not list(workshop.scratch.rglob("metrics.csv"))


def test_table_depends_on_its_records_alone(tmp_path: Path) -> None:
    runs = [StudyRun(setting, "m", ("--epochs", "2"), seed) for setting in ("s", "r") for seed in (10, 9)]
    records = [{"results": {"last": run.seed / 3}, "curve": [None, 1e-300, float("nan")], "é": "ü"} for run in runs]
    written = set()
    for number, order in enumerate(permutations(range(4))):
        store = Store(tmp_path / f"{number}" / f"{number}.jsonl.gz")
        store.write(runs[order[0]], {"results": "to be replaced"})
        for one in order:
            store.write(runs[one], records[one])
        written.add(store.file.read_bytes())
    assert len(written) == 1
    assert written.pop()[3:8] == bytes(5)  # the header has no file name and no time
    lines = lines_of(store.file)
    order = [(record["setting"], record["seed"]) for record in map(json.loads, lines)]
    assert order == [("r", 9), ("r", 10), ("s", 9), ("s", 10)]
    head = {"setting": "r", "method": "m", "seed": 9, "options": {"epochs": 2}}
    assert lines[0].decode() == json.dumps(head | records[3], separators=(",", ":"))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: b"",
        lambda table: table[:9],
        lambda table: table[: len(table) // 2],
        lambda table: table[:-1],
        lambda table: table[:20] + bytes([table[20] ^ 1]) + table[21:],
        lambda table: table + b"more",
        lambda table: b'{"setting": "s"}\n',
        lambda table: gzip.compress(gzip.decompress(table)[:-5]),
        lambda table: gzip.compress(b"[]\n"),
        lambda table: gzip.compress(b'{"setting": "s", "method": "m", "seed": 0}\n'),
        lambda table: gzip.compress(b'{"setting": "s", "method": "m", "seed": 0, "options": 3}\n'),
    ],
    ids=["empty", "head", "half", "all but a byte", "bit", "more", "plain", "half a line", "list", "bare", "number"],
)
def test_damaged_table_is_refused_by_name_with_the_remedy_and_left_as_it_is(
    change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    store, run = Store(tmp_path / "study.jsonl.gz"), StudyRun("s", "m", (), 0)
    store.write(run, {})
    before = change(store.file.read_bytes())
    store.file.write_bytes(before)
    uses = (
        lambda: store.read(run),
        lambda: store.missing([run]),
        lambda: store.write(run, {}),
        lambda: store.forget([run]),
    )
    for use in uses:
        with pytest.raises(UserError, match=r"study\.jsonl\.gz is damaged.*restore a copy of it, or delete it"):
            use()
    assert store.file.read_bytes() == before


def test_damaged_table_stops_a_study_before_anything_runs(workshop: Workshop) -> None:
    workshop.store.file.write_bytes(b"\x1f")
    with pytest.raises(UserError, match=r"records\.jsonl\.gz is damaged"):
        run_all(quick_runs(), workshop)
    assert not workshop.scratch.exists()


def test_write_that_is_stopped_leaves_the_table_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, runs = Store(tmp_path / "study.jsonl.gz"), [StudyRun("s", "m", (), seed) for seed in range(3)]
    store.write(runs[0], {})
    before = store.file.read_bytes()

    def stop(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            store.write(runs[1], {})
    assert store.file.read_bytes() == before
    store.write(runs[2], {})
    assert store.missing(runs) == [runs[1]]


def test_table_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "records").touch()
    with pytest.raises(UserError, match=r"cannot write .*study\.jsonl\.gz"):
        Store(tmp_path / "records" / "study.jsonl.gz").write(StudyRun("s", "m", (), 0), {})


ADDING = """
import sys
from pathlib import Path
from study import StudyRun, Store
store, method, count = Store(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for seed in range(count):
    store.write(StudyRun("s", method, (), seed), {"results": {"last": seed}, "filling": list(range(1000))})
    print(seed, flush=True)
"""


def adding(table: Path, method: str, count: int) -> subprocess.Popen[str]:
    """Start a process that waits for a line on stdin, then adds records and prints the seed of each."""
    process = subprocess.Popen(
        [sys.executable, "-c", ADDING, str(table), method, str(count)],
        env=os.environ | EXPERIMENTS_PATH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_add_at_once_lose_no_record(tmp_path: Path) -> None:
    table = tmp_path / "study.jsonl.gz"
    processes = [adding(table, method, 20) for method in ("a", "b")]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    kept = [(record["method"], record["seed"]) for record in map(json.loads, lines_of(table))]
    assert kept == [(method, seed) for method in ("a", "b") for seed in range(20)]


def test_process_that_is_killed_while_it_adds_loses_nothing_that_was_added(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.jsonl.gz")
    process = adding(store.file, "m", 10_000)
    process.stdin.write("go\n")
    process.stdin.flush()
    seen = [int(process.stdout.readline()) for _ in range(20)]
    process.kill()
    rest, _ = process.communicate(timeout=60)
    added = [*seen, *map(int, rest.split())]
    kept = [json.loads(line)["seed"] for line in lines_of(store.file)]
    assert kept in (added, [*added, len(added)])  # the last may not have been printed
    store.write(StudyRun("s", "n", (), 0), {})  # the lock of the killed process is free
    assert len(lines_of(store.file)) == len(kept) + 1


def test_same_options_from_another_folder_are_the_same_run() -> None:
    runs = [StudyRun("s", "m", ("--data.path", f"{place}/x.npz"), 0) for place in ("/here", "/there")]
    assert runs[0].given() == runs[1].given() == {"data.path": "x.npz"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_failing_run_is_named_and_stops_no_other(
    workshop: Workshop, jobs: int, capfd: pytest.CaptureFixture[str]
) -> None:
    forkserver._forkserver._stop()  # one that another test started writes to the streams of that test
    good = quick_runs(range(1))
    bad = StudyRun("digits", "impossible", (*QUICK, "--split.noisy_size", "100000"), 0)
    assert run_all([good[0], bad, good[1]], workshop, jobs) == [bad]
    assert len(workshop.store.collect([*good, bad])) == 2
    assert "error: " in capfd.readouterr().err


def _raise(folder: object) -> dict[str, float]:
    raise ZeroDivisionError("a bug in the study")


def test_measurement_that_fails_is_a_failed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = quick_runs(range(1))
    failing = Workshop(Store(tmp_path / "records.jsonl.gz"), tmp_path / "scratch", measure=_raise)
    assert run_all(runs, failing) == runs
    assert "ZeroDivisionError: a bug in the study" in capsys.readouterr().err
    # Only the measurement failed, so the training is not repeated.
    mended = Workshop(
        failing.store, failing.scratch, measure=lambda folder: {"files": len(list(folder.path.iterdir()))}
    )
    assert run_all(runs, mended) == []
    (record, _) = mended.store.collect(runs)
    assert record["measured"]["files"] >= 5
    assert record["seconds"] is None  # unknown, because the run was resumed


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
    environment = os.environ | EXPERIMENTS_PATH
    study = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "runs" / "slow_tiny" / "s" / "m" / "seed0"
    deadline = time.monotonic() + 60
    while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    study.send_signal(signal.SIGTERM)
    _, errors = study.communicate(timeout=60)
    assert study.returncode == 130, errors
    assert "stopped; repeat the same command to resume" in errors
    assert (folder / "checkpoints" / "last.pt").exists()
    assert not (tmp_path / "results").exists()


KILLED_STUDY = """
import sys
from pathlib import Path
from study import Page, Study, Workshop, by_method, config, grid, main
from study.execution import Outcome
class Noting(Workshop):
    def perform(self, run):
        with Path("done.txt").open("a") as file:
            file.write(f"{run.seed}\\n")
        if run.seed == 2 and len(sys.argv) > 5:
            Path("waiting").touch()
            sys.stdin.readline()
        rest = {"class_path": "x.Y"}
        config = {name: rest for name in ("data", "backbone", "augmentation", "optimizer")}
        about = {"split": {"noisy": 1, "clean": 1}, "config": config | {"epochs": 1, "batch_size": 1}, "made_by": {}}
        self.store.write(run, about | {"results": {"last": 10.0 + run.seed}, "curves": {}})
        return Outcome(0, 10.0 + run.seed)
cells = lambda bench: grid({"s": ()}, {"m": ()})
report = lambda records: Page("A study", [by_method(records)])
if __name__ == "__main__":
    seeds = ["--seeds", *map(str, range(4))]
    study = Study("killed", "", cells, report, workshop=Noting)
    sys.exit(main(study, [*sys.argv[1:5], *seeds]))
"""


def test_study_that_is_killed_goes_on_with_the_run_it_was_at(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED_STUDY)
    command = [sys.executable, "killed.py", "--scale", "tiny", "--results", "results"]
    surroundings = {"cwd": tmp_path, "env": os.environ | EXPERIMENTS_PATH}
    study = subprocess.Popen([*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **surroundings)
    deadline = time.monotonic() + 60
    while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    study.kill()
    study.communicate(timeout=60)
    table = tmp_path / "results" / "records" / "killed_tiny.jsonl.gz"
    assert [json.loads(line)["seed"] for line in lines_of(table)] == [0, 1]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **surroundings)
    assert [json.loads(line)["seed"] for line in lines_of(table)] == [0, 1, 2, 3]
    assert (tmp_path / "done.txt").read_text().split() == ["0", "1", "2", "2", "3"]


@pytest.mark.parametrize("status", [130, 143])  # after SIGINT and SIGTERM
def test_run_that_was_stopped_stops_the_study(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    asked: list[str] = []
    monkeypatch.setattr(execution, "main", lambda arguments: asked.append(arguments[0]) or status)
    with pytest.raises(KeyboardInterrupt):
        run_all(quick_runs(), workshop)
    assert asked == ["fit"]


def test_workers_end_with_a_process_that_is_terminated() -> None:
    began = time.monotonic()

    def terminated() -> None:
        with execution.worker_pool(2) as pool:
            waiting = [pool.submit(time.sleep, 300) for _ in range(3)]
            while not all(future.running() for future in waiting[:2]) and time.monotonic() - began < 60:
                time.sleep(0.05)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        terminated()
    assert multiprocessing.active_children() == []
    assert time.monotonic() - began < 120


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
    assert "no run of a_study_tiny has finished" in capsys.readouterr().err
    assert main(_study(seen), [*arguments, "--seeds", "0", "--methods", "clean-only"]) == 0
    assert main(_study(seen), [*arguments, "--seeds", "0", "1", "--report-only"]) == 0
    assert seen == [1, 1]
    page = Path("results/a_study_tiny.md").read_text()
    assert "| clean-only |" in page
    assert "cross entropy" not in page
    assert "seeds 0." in page


def test_records_that_are_forgotten_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[int] = []
    arguments = ["--scale", "tiny", "--results", "results", "--seeds", "0", "1"]
    assert main(_study(seen), [*arguments, "--forget"]) == 0
    assert "deleted the records of 0 runs" in capsys.readouterr().out
    assert not Path("results").exists()
    assert main(_study(seen), arguments) == 0
    capsys.readouterr()
    some = ["--methods", "clean-only", "--seeds", "1", "2"]
    assert main(_study(seen), [*arguments[:4], *some, "--forget"]) == 0
    assert "deleted the records of 1 runs in results/records/a_study_tiny.jsonl.gz" in capsys.readouterr().out
    assert main(_study(seen), [*arguments, "--report-only"]) == 0
    assert main(_study(seen), arguments) == 0
    assert seen == [4, 3, 4]
    with pytest.raises(SystemExit):
        main(_study(seen), [*arguments, "--forget", "--report-only"])


def test_page_lists_sizes_of_each_data_set_and_methods_with_longer_training() -> None:
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
    assert one.endswith("epochs including all stages: 6 (staged), 7 (longer).")
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


def test_unknown_method_is_rejected_with_the_known_methods(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(_study([]), ["--scale", "tiny", "--methods", "magic", "--runs", str(tmp_path)]) == 2
    assert "unknown method magic; choose from: cross entropy, clean-only" in capsys.readouterr().err


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
    with pytest.raises(UserError, match=r"nowhere does not exist; set --data to \.npz files or folders"):
        find("a", [tmp_path / "nowhere"])
