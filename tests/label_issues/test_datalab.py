"""Tests of the issue type of cleanlab's Datalab."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from cleanlab import Datalab

from vri_pyro.label_issues import find_label_issues
from vri_pyro.label_issues.datalab import VriLabelIssueManager

NAMES = np.array(["bird", "cat", "dog"])


def arrays() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels of three classes, 30% moved to the next class; their features and predictions."""
    generator = np.random.default_rng(0)
    true = np.arange(240) % 3
    labels = np.where(generator.random(240) < 0.3, (true + 1) % 3, true)
    features = np.eye(3)[true] + 0.25 * generator.standard_normal((240, 3))
    p = 0.7 * np.eye(3)[true] + 0.1 + 0.1 * generator.random((240, 3))
    return labels, {"features": features, "pred_probs": p / p.sum(1, keepdims=True)}


@pytest.mark.parametrize("by", ["pred_probs", "features"])
def test_datalab_finds_the_issues_of_find_label_issues(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    labels, parts = arrays()
    lab = Datalab({"label": NAMES[labels].tolist()}, label_name="label", verbosity=0)
    given = {by: parts[by]}
    lab.find_issues(issue_types={"vri_label": given | {"draws": 40, "trusted": [0, 1]}})
    issues = lab.get_issues("vri_label")
    expected = find_label_issues(labels, **given, trusted=[0, 1], draws=40).sort_values("index")
    np.testing.assert_array_equal(issues["is_vri_label_issue"], expected["is_label_issue"])
    np.testing.assert_allclose(issues["vri_label_score"], 1 - expected["score"])
    assert issues["vri_label_score"].between(0, 1).all()
    info = lab.get_info("vri_label")
    np.testing.assert_array_equal(info["given_label"], NAMES[labels])
    np.testing.assert_array_equal(info["predicted_label"], NAMES[expected["suggested"]])
    assert info["noise_rate"] == expected.attrs["noise_rate"]
    lab.report(verbosity=4)
    assert "vri_label issues" in capsys.readouterr().out


def test_description_tells_what_is_found() -> None:
    assert "probably wrong" in VriLabelIssueManager.description


def test_package_does_not_import_cleanlab_or_faiss() -> None:
    program = "import sys, vri_pyro.label_issues; assert not {'cleanlab', 'faiss'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_missing_cleanlab_is_named_with_the_extra() -> None:
    program = "import sys; sys.modules['cleanlab'] = None\nimport vri_pyro.label_issues.datalab"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'vri-pyro[cleanlab]'" in done.stderr
