"""The report written at the end of training uses the trainer at hand and equals the one of a restored run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from vri_pyro.cli.main import main
from vri_pyro.runs import run

def restored(*arguments):
    raise AssertionError("the run was restored from its folder")

run._restored = restored
sys.exit(main(sys.argv[1:]))
"""


def test_report_after_training_equals_that_of_the_restored_run(tmp_path: Path) -> None:
    options = ["--epochs", "2", "--split.noisy_size", "300", "--threads", "1", "--device", "cpu", "--quiet", "true"]
    arguments = ["fit", *options, "--output", str(tmp_path / "run")]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True)
    page = tmp_path / "run" / "report.html"
    again = ["report", str(tmp_path / "run"), "--output", str(tmp_path / "again.html"), "--device", "cpu"]
    # In a process of its own, since the figures of a process are numbered.
    subprocess.run([sys.executable, "-m", "vri_pyro.cli", *again], check=True)
    assert (tmp_path / "again.html").read_text() == page.read_text()
