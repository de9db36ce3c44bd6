"""Tests of the check on a GPU, in its dry run on a CPU."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import gpu_check
import pyro
import pytest
import torch
from on_gpu.sections import SECTIONS, rows_of


@pytest.fixture(autouse=True)
def single_precision() -> Iterator[None]:
    """Sections change settings of PyTorch, as they are alone in their process."""
    before = torch.get_default_dtype(), torch.backends.cuda.matmul.allow_tf32
    torch.set_default_dtype(torch.float32)
    with pyro.validation_enabled(False):
        yield
    torch.set_default_dtype(before[0])
    torch.backends.cuda.matmul.allow_tf32 = before[1]
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = True, False


@pytest.mark.parametrize("section", [name for name in SECTIONS if name not in ("tests", "synchronisations")])
def test_dry_run_of_a_section_finds_rows(section: str) -> None:
    rows = list(rows_of(section, "cpu", quick=True))
    assert rows
    assert json.loads(json.dumps(rows)) == rows


def test_fused_optimisers_let_the_host_read_fewer_values() -> None:
    plain, fused, _ = (row["values read in a step"] for row in rows_of("synchronisations", "cpu", quick=True))
    assert fused < plain


def test_every_section_has_a_budget_and_all_end_within_eight_minutes() -> None:
    assert set(gpu_check.BUDGETS) == set(gpu_check.TITLES) == set(SECTIONS)
    assert sum(gpu_check.BUDGETS.values()) <= gpu_check.TOTAL < 8 * 60


def test_section_that_fails_or_takes_too_long_is_written_down() -> None:
    options = argparse.Namespace(device="no such device", quick=True)
    failed = gpu_check.run("synchronisations", options, 60)
    assert failed["rows"] == []
    assert "no such device" in failed["error"]
    stopped = gpu_check.run("synchronisations", options, 1)
    assert stopped["error"] == "stopped after 1 seconds"
    made = {"quick": True, "command": "c", "made_by": {}, "sections": {"synchronisations": failed, "tests": stopped}}
    page = gpu_check.page(made)
    assert page.count("**Failed**") == 2
