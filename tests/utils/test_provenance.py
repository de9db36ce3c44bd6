"""The recorded provenance of a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from vri_pyro.utils import provenance


def _repository(folder: Path) -> str:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    results = folder / "experiments" / "results" / "page.md"
    results.parent.mkdir(parents=True)
    for file in (folder / "a", results):
        file.write_text("1")
    git("add", ".")
    git("commit", "-qm", "a")
    return git("rev-parse", "--short", "HEAD")


def test_commit_of_a_checkout_is_named_and_changes_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = _repository(tmp_path)
    monkeypatch.setattr(provenance, "_TREE", tmp_path.resolve())
    assert provenance.provenance(torch.device("cpu"))["commit"] == commit
    (tmp_path / "experiments" / "results" / "page.md").write_text("output that a study writes during its runs")
    assert provenance.provenance(torch.device("cpu"))["commit"] == commit
    (tmp_path / "a").write_text("2")
    assert provenance.provenance(torch.device("cpu"))["commit"] == f"{commit}-dirty"


def test_commit_of_a_repository_around_an_environment_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _repository(tmp_path)
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(provenance, "_TREE", tmp_path.resolve() / "site-packages")
    assert "commit" not in provenance.provenance(torch.device("cpu"))


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_TREE", tmp_path)
    monkeypatch.setenv("PATH", "")
    assert "commit" not in provenance.provenance(torch.device("cpu"))
