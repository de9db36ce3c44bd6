"""The two examples of the engine without labels: what learned weights gain over equal ones."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import reweight_regression

SCRIPT = Path(reweight_regression.__file__).with_name("select_instructions.py")


def test_learned_weights_beat_equal_weights_and_clean_examples_alone_in_regression() -> None:
    found = reweight_regression.compare(seed=0)
    assert found["re-weighted"] < 0.5 * found["clean only"] < 0.5 * found["unweighted"]
    assert found["right only (oracle)"] < found["re-weighted"]
    assert found["AUROC of the weights"] > 0.75


def test_selected_texts_beat_all_texts_in_fine_tuning_a_language_model() -> None:
    import select_instructions

    rows, area = select_instructions.compare(select_instructions.pretrained(), seed=0)
    (loss, right), (plain_loss, plain_right) = rows["selected"], rows["unweighted"]
    assert loss < 0.5 * plain_loss
    assert right > plain_right + 0.25
    assert area > 0.9


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SystemExit, match=r"pip install 'vri-pyro\[transformers\]'"):
        runpy.run_path(str(SCRIPT))
