"""The report's section on checks by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.certification import NOT_CHECKED, Checks, Population, certify
from vri_pyro.certification.ledger import Entry, Ledger, scored
from vri_pyro.report import SeenRun, render
from vri_pyro.report.certified import certified
from vri_pyro.report.noise_rate import doubt
from vri_pyro.utils.errors import UserError


@pytest.fixture
def certificate(seen: SeenRun, tmp_path: Path) -> Path:
    """The certificate of 100 checks of the run, in place of the one in its folder."""
    split = seen.run.split
    assert split.true_labels is not None
    size = len(split.noisy_indices)
    sample = np.random.default_rng(0).permutation(size)[:100]
    checks = Checks.random_sample(size, sample, split.true_labels[sample])
    population = Population(split.given_labels, seen.issues.score.clamp(0, 1).numpy())
    content = certify(population, checks, at_most=0.9).as_dict() | {"classes_by_number": list(seen.classes)}
    path = seen.run.folder.certificate = tmp_path / "certificate.json"
    path.write_text(json.dumps(content))
    return path


def top(page: str) -> str:
    """Return the page's first screen as text."""
    return re.sub(r"<[^>]+>", " ", page[: page.index("<section")])


def test_first_screen_says_what_to_check_next(seen: SeenRun) -> None:
    shown = " ".join(top(render([seen])).split())
    assert doubt(seen.issues) or re.search(r"as narrow as checking \d+ labels by hand", shown)
    assert "nothing yet" in shown
    assert "--budget 100 --purpose measure" in shown
    assert "vri-pyro check &#39;" in shown  # the folder has a space


def test_first_screen_says_what_has_been_certified(seen: SeenRun, certificate: Path) -> None:
    rate = json.loads(certificate.read_text())["rate"]
    shown = " ".join(top(render([seen])).split())
    assert f"{rate['low']:.1%} to {rate['high']:.1%}" in shown
    assert "95% confidence, 100 checks" in shown
    assert "It is shown that at most 90.0% of the labels are wrong." in shown
    assert rate["low"] <= seen.wrong.mean() <= rate["high"]
    names = [fact.name for fact in certified(seen).facts]
    assert "wrong labels left once the checked ones are mended" in names
    assert sum(name.startswith("given class ") for name in names) == len(seen.classes)


def test_damaged_certificate_is_named(seen: SeenRun, certificate: Path) -> None:
    for text in ("{", "[]", '{"rate": 1}'):
        certificate.write_text(text)
        with pytest.raises(UserError, match=r"certificate.json is damaged; run vri-pyro certify again"):
            certified(seen)


def test_answers_that_are_not_in_the_certificate_are_counted(
    seen: SeenRun, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = seen.run.folder, seen.run.split
    assert split.true_labels is not None
    monkeypatch.setattr(folder, "checks", tmp_path / "checks.csv")
    monkeypatch.setattr(folder, "checks_scores", tmp_path / "checks_scores.npz")
    used = np.flatnonzero(np.array(json.loads(certificate.read_text())["checks"]["verified"]) != NOT_CHECKED)
    new = np.setdiff1d(np.arange(len(split.noisy_indices)), used)[:3]

    def hand_in(positions: np.ndarray) -> list[str]:
        assert split.true_labels is not None
        entries = tuple(Entry(1, "mend", one, int(split.true_labels[one])) for one in positions.tolist())
        Ledger(scored(seen.issues, split), entries).save(folder, seen.classes, seen.run.examples)
        return [verdict.words for verdict in certified(seen).verdicts]

    assert not any("not in the certificate" in words for words in hand_in(used))
    assert any("3 answers in checks.csv are not in the certificate" in words for words in hand_in(np.append(used, new)))
    assert "not of all answers" in top(render([seen]))
    certificate.unlink()
    assert any("1 answer in checks.csv is not in the certificate" in words for words in hand_in(used[:1]))
    folder.checks.write_text("")
    assert any("The record of the checks is damaged" in verdict.words for verdict in certified(seen).verdicts)
