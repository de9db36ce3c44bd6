"""The report's section on checks by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vri_pyro.certification import Checks, Population, certify
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
