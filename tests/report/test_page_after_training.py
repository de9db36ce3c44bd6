"""The report written at the end of training uses the trainer at hand and equals the one of a restored run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from vri_pyro.cli.fit import leave_page  # the fixture that leaves it out of other tests is not active yet
from vri_pyro.cli.main import main


def _restored(*arguments: object) -> None:
    raise AssertionError("the run was restored from its folder")


def test_report_after_training_equals_that_of_the_restored_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vri_pyro.cli.fit.leave_page", leave_page)
    options = ["--epochs", "2", "--split.noisy_size", "300", "--threads", "1", "--device", "cpu", "--quiet", "true"]
    with monkeypatch.context() as patch:
        patch.setattr("vri_pyro.runs.run._restored", _restored)
        patch.setattr("vri_pyro.report.svg._numbers", itertools.count())  # of the figures, which a page contains
        assert main(["fit", *options, "--output", str(tmp_path / "run")]) == 0
    page = tmp_path / "run" / "report.html"
    monkeypatch.setattr("vri_pyro.report.svg._numbers", itertools.count())
    assert main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "again.html"), "--device", "cpu"]) == 0
    assert (tmp_path / "again.html").read_text() == page.read_text()
