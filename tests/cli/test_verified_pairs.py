"""Data with checked classes beside the labels as given, on the command line and in the run folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.data import Split
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.report.labels import labels
from vri_pyro.report.seen import SeenRun
from vri_pyro.runs.run import Run

from .conftest import Command

COUNT = 240
DATA = ("--data", "NpzFile", "--data.path", "data.npz")
FIT = ("fit", "--config", "tiny.yaml", *DATA, "--batch_size", "40")


def save(path: Path, verified: np.ndarray | None, trusted: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Write Gaussian classes, the last ones trusted if wanted; return the labels as given and the true ones."""
    generator = np.random.default_rng(0)
    true = np.arange(COUNT) % 3
    x = 4 * generator.standard_normal((3, 5))[true] + generator.standard_normal((COUNT, 5))
    given = np.where(generator.random(COUNT) < 0.3, (true + 1) % 3, true)
    arrays = {"x_train": x.astype(np.float32), "y_train": given, "classes": np.array(["ant", "bee", "cat"])}
    if trusted:
        arrays["clean_indices"] = np.arange(200, COUNT)[(given == true)[200:]]
    np.savez(path, **arrays, **({} if verified is None else {"verified": verified}))
    return given, true


@pytest.fixture
def checked(here: Path) -> np.ndarray:
    """Data of which every sixth label was checked; returns the checked classes."""
    _, true = save(here / "data.npz", None)
    verified = np.where(np.arange(COUNT) % 6 < 1, true, -1)
    verified[:60:4] = true[:60:4]
    save(here / "data.npz", verified)
    return verified


def test_counts_of_pairs_are_shown_and_both_labels_are_on_record(
    vri_pyro: Command, here: Path, checked: np.ndarray
) -> None:
    given, _ = save(here / "data.npz", checked)
    some = np.flatnonzero(checked >= 0)
    wrong = int((given != checked)[some].sum())
    told = f"{len(some)} labels were checked, {wrong} of them were wrong"
    previewed = vri_pyro("data", "--config", "tiny.yaml", *DATA)
    assert previewed.status == 0, previewed.stderr
    assert f"{len(some)}, of which {wrong} were wrong" in previewed.stdout
    trained = vri_pyro(*FIT)
    assert trained.status == 0, trained.stderr
    assert told in trained.stdout
    ranked = vri_pyro("issues", "run", "--device", "cpu")
    assert ranked.status == 0, ranked.stderr
    assert told in ranked.stdout

    split = json.loads((here / "run" / "summary.json").read_text())["split"]
    assert (split["checked"], split["checked_wrong"]) == (len(some), wrong)
    pairs = Split.load(here / "run" / "split.npz").pairs
    assert pairs is not None
    assert np.array_equal(pairs.indices, some)
    assert np.array_equal(pairs.given, given[some])
    assert np.array_equal(Fingerprint.load(here / "run" / "fingerprint.npz").verified_labels, checked)
    with (here / "run" / "label_issues.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT
    names = ["ant", "bee", "cat"]
    for row in rows[-len(some) :]:
        index = int(row["index"])
        assert row["given"] == names[given[index]]
        assert row["verified"] == row["suggested"] == names[checked[index]]
        assert float(row["score"]) == (given[index] != checked[index])
    assert {row["verified"] for row in rows[: -len(some)]} == {""}
    facts = {fact.name: fact.value for fact in labels(SeenRun(Run(here / "run"))).facts}
    assert facts["checked labels that were wrong"] == str(wrong)
    assert facts["labels that were checked, with the label as given on record"] == str(len(some))


def test_table_with_verified_rows_can_be_corrected_and_relabelled(
    vri_pyro: Command, here: Path, checked: np.ndarray
) -> None:
    assert vri_pyro(*FIT, "--quiet", "true").status == 0
    assert vri_pyro("issues", "run", "--device", "cpu", "--limit", "3").status == 0
    with (here / "run" / "label_issues.csv").open(newline="") as file:
        assert "verified" not in next(csv.reader(file))
    index = int(np.flatnonzero(checked >= 0)[0])
    (here / "corrections.csv").write_text(f"index,label\n{index},bee\n1,cat\n")
    done = vri_pyro("relabel", "run", "--corrections", "corrections.csv", "--output", "next.npz")
    assert done.status == 0, done.stderr
    new = Split.load(here / "next.npz")
    assert new.pairs is not None
    assert index not in new.pairs.indices
    again = vri_pyro(*FIT, "--split.file", "next.npz", "--output", "second", "--quiet", "true")
    assert again.status == 0, again.stderr


@pytest.mark.filterwarnings("ignore:30 labels of the data were checked after the split was drawn:UserWarning")
def test_run_without_pairs_opens_and_resumes_after_labels_were_checked_and_changed_ones_are_refused(
    vri_pyro: Command, here: Path
) -> None:
    _, true = save(here / "data.npz", None, trusted=True)
    assert vri_pyro(*FIT, "--quiet", "true").status == 0
    assert "checked" not in json.loads((here / "run" / "summary.json").read_text())["split"]
    assert "verified_labels" not in np.load(here / "run" / "split.npz").files
    assert "verified_labels" not in np.load(here / "run" / "fingerprint.npz").files
    before = vri_pyro("issues", "run", "--device", "cpu", "--output", "before.csv")
    assert before.status == 0, before.stderr
    save(here / "data.npz", np.where(np.arange(COUNT) < 30, true, -1), trusted=True)
    after = vri_pyro("issues", "run", "--device", "cpu", "--output", "after.csv")
    assert after.status == 0, after.stderr
    assert (here / "before.csv").read_bytes() == (here / "after.csv").read_bytes()
    resumed = vri_pyro("fit", "--config", "run/config.yaml", "--resume", "true")
    assert resumed.status == 0, resumed.stderr

    save(here / "data.npz", np.where(np.arange(COUNT) < 30, true, -1))
    assert vri_pyro(*FIT, "--quiet", "true", "--output", "pairs").status == 0
    save(here / "data.npz", np.where(np.arange(COUNT) < 30, (true + 1) % 3, -1))
    refused = vri_pyro("issues", "pairs", "--device", "cpu")
    assert refused.status != 0
    assert "30 of 240 verified labels differ" in refused.stderr


def test_injected_noise_is_refused_beside_checked_classes(vri_pyro: Command, checked: np.ndarray) -> None:
    refused = vri_pyro(*FIT, "--noise", "Flip", "--noise.rate", "0.3")
    assert refused.status != 0
    assert "The data have verified labels beside the labels as given" in refused.stderr
