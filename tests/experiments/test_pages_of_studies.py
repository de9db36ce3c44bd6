"""Tests of the committed results: every table can be read, and every page equals the page made from its table."""

from __future__ import annotations

import gzip
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import check_purposes
import compare
import label_numbers
import label_numbers_of_images
import pytest
import untuned
from study import Bench, main

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
TABLES = {path.name.removesuffix(".jsonl.gz"): path for path in sorted(RESULTS.glob("records/*"))}


def lines_of(study: str) -> bytes:
    return gzip.decompress(TABLES[study].read_bytes())


def records_of(study: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(study).splitlines()]


def test_every_page_of_a_study_has_its_table() -> None:
    pages = {page.stem for page in RESULTS.glob("*.md") if "Made with `python experiments/" in page.read_text()}
    assert pages == set(TABLES)
    assert {"compare", "convergence", "label_issues"} <= pages
    assert all(table.name.endswith(".jsonl.gz") for table in TABLES.values())


@pytest.mark.parametrize(
    ("study", "main", "options"),
    [
        ("label_numbers", label_numbers.NUMBERS.main, ["--seed", "18", "--cells", "88"]),
        (
            "label_numbers_few_trusted",
            label_numbers.NUMBERS.main,
            ["--seed", "19", "--trusted", "0", "1", "--cells", "64"],
        ),
        ("label_numbers_of_images", label_numbers_of_images.NUMBERS.main, ["--seed", "3", "--cells", "6"]),
        ("check_purposes", check_purposes.main, ["--seeds", "0"]),
    ],
)
def test_page_of_records_in_json_is_what_they_make(
    study: str, main: Callable[[list[str]], int], options: list[str], tmp_path: Path
) -> None:
    records = shutil.copy(RESULTS / f"{study}.json", tmp_path)
    assert main([*options, "--output", str(records)]) == 0
    assert (tmp_path / f"{study}.md").read_text() == (RESULTS / f"{study}.md").read_text()
    assert Path(records).read_text() == (RESULTS / f"{study}.json").read_text()


@pytest.mark.parametrize("study", TABLES)
def test_table_is_as_a_store_writes_it(study: str) -> None:
    records = records_of(study)
    keys = [(record["setting"], record["method"], record["seed"]) for record in records]
    assert keys == sorted(set(keys))
    assert all(list(record)[:4] == ["setting", "method", "seed", "options"] for record in records)
    # Only the lines and the header: the compressed bytes depend on the version of zlib.
    lines = [json.dumps(record, separators=(",", ":")) + "\n" for record in records]
    assert lines_of(study) == "".join(lines).encode()
    assert TABLES[study].read_bytes()[3:8] == bytes(5)  # no file name, no time


@pytest.mark.parametrize("study", TABLES)
def test_page_is_what_its_table_makes(study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (RESULTS / f"{study}.md").read_text()
    ((script, arguments),) = re.findall(r"Made with `python experiments/(\w+)\.py ([^`]*)`", page)
    own = {"compare": compare.run, "untuned": untuned.main}
    called = own.get(script) or partial(main, importlib.import_module(script).STUDY)
    monkeypatch.setattr(Bench, "prepared", prepared_with(files_used_by(study)))
    (tmp_path / "records").mkdir()
    shutil.copy(TABLES[study], tmp_path / "records")
    if script == study == "compare":
        shutil.copy(RESULTS / "compare_regimes.json", tmp_path)
    assert called([*shlex.split(arguments), "--report-only", "--results", str(tmp_path)]) == 0
    made = {path.name for path in tmp_path.iterdir()} - {"records"}
    assert f"{study}.md" in made
    for name in made:
        # Figures are only checked to exist: their bytes depend on the version of matplotlib.
        assert (RESULTS / name).exists()
        assert name.endswith(".png") or (tmp_path / name).read_text() == (RESULTS / name).read_text()


def files_used_by(study: str) -> set[str]:
    """Return the names of the image files in the options of the study's runs.

    The page is made from the records, so the files do not need to exist.
    """
    return {
        value
        for record in records_of(study)
        for value in record["options"].values()
        if isinstance(value, str) and value.endswith(".npz")
    }


def prepared_with(used: set[str]) -> Any:
    """Return a replacement of :meth:`Bench.prepared` that uses these file names without finding or pooling files."""

    def prepared(bench: Bench, given: object, cache: object) -> Bench:
        def path(*names: str | None) -> Path:
            found = [file for name in names for file in used if file.startswith(f"{name}_{bench.side}x")]
            return Path(found[0] if found else "none.npz")

        return replace(bench, path=path(bench.data), foreign_path=path(*bench.foreign))

    return prepared
