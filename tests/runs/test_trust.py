"""Configurations of strangers import known classes only, and the user's own runs are remembered."""

from __future__ import annotations

import os
from pathlib import Path

import jsonargparse._common
import numpy as np
import pytest
import yaml
from runs.conftest import Train

from vri_pyro.runs.export import export_run
from vri_pyro.runs.own_runs import is_own_run, remember_run
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run
from vri_pyro.runs.trust import (
    UntrustedCode,
    check_classes,
    importing,
    is_known,
    unknown_classes,
    without_downloads,
)

FOREIGN = "backbone: {class_path: mine.Net}\n"


@pytest.fixture(scope="module")
def folder(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trust") / "run")


def change(folder: Path, **options: object) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text()) | options
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def changed(train: Train, folder: Path, tmp_path: Path) -> Path:
    """A copy of the run whose data set, noise and logger are classes of somebody else."""
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    foreign = {"class_path": "stranger.Class"}
    change(copy, data=foreign, noise=foreign, loggers=[foreign])
    return copy


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("vri_pyro.models.PriorNetwork", True),
        ("torch.optim.SGD", True),
        ("torchvision.datasets.FakeData", True),
        ("Digits", True),
        ("vri_pyrotechnics.Net", False),
        ("torchvision.datasets.LSUN", False),
        ("torchvision.datasets.utils.extract_archive", False),
        ("vri_pyro.runs.export.load_network", False),
        ("torch.hub.load", False),
        ("my_guide.PerClass", False),
        ("os.system", False),
    ],
)
def test_classes_of_the_package_and_of_pytorch_are_known(path: str, known: bool) -> None:
    assert is_known(path) is known


def test_unknown_classes_are_found_at_every_depth() -> None:
    options = {
        "method": {"class_path": "vri_pyro.methods.GLC", "init_args": {"x": [{"class_path": "a.B"}]}},
        "loggers": [{"class_path": "c.D", "dict_kwargs": {"y": {"class_path": "e.F"}}}],
    }
    assert unknown_classes(options) == {"a.B", "c.D", "e.F"}


def test_message_lists_the_code_and_says_how_to_trust_it() -> None:
    options = {"data": {"class_path": "b.Source"}, "backbone": {"class_path": "a.Net"}}
    with pytest.raises(UntrustedCode) as caught:
        check_classes(options, "runs/theirs")
    assert str(caught.value) == (
        "runs/theirs names code that is not part of vri_pyro: a.Net, b.Source; if you trust it, add --trust true, or "
        "trust=True in Python"
    )


def test_import_policy_of_the_parser_is_restored() -> None:
    before = dict(jsonargparse._common.parsing_settings)
    with importing(trust=False), importing(trust=True):
        pass
    with pytest.raises(ValueError, match="unrelated"), importing(trust=False):
        raise ValueError("unrelated")
    assert jsonargparse._common.parsing_settings == before


def test_data_sets_of_strangers_download_nothing() -> None:
    options = {"data": {"init_args": {"download": True, "parts": [{"download": True}], "path": "x"}}}
    assert without_downloads(options) == {
        "data": {"init_args": {"download": False, "parts": [{"download": False}], "path": "x"}}
    }


def test_predictor_needs_neither_data_nor_noise_nor_loggers(folder: Path, changed: Path) -> None:
    x = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
    np.testing.assert_array_equal(Predictor(changed).predict(x), Predictor(folder).predict(x))


def test_run_needs_neither_noise_nor_loggers(folder: Path, changed: Path) -> None:
    change(changed, data={"class_path": "vri_pyro.data.Digits"})
    assert Run(changed).epochs == Run(folder).epochs


def test_run_with_foreign_data_is_refused(changed: Path) -> None:
    with pytest.raises(UntrustedCode, match=r"copy/config\.yaml names code that is not part of vri_pyro: stranger"):
        Run(changed)


def test_export_of_a_run_with_foreign_data_is_compared_on_random_inputs(changed: Path, tmp_path: Path) -> None:
    assert export_run(changed, ["torch"], tmp_path / "exported").inputs == "random"


def test_own_run_is_remembered_in_its_folder_and_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = tmp_path / "run"
    assert not is_own_run(run, FOREIGN)
    remember_run(run, FOREIGN)
    remember_run(run, FOREIGN)
    assert is_own_run(run, FOREIGN)
    assert len((tmp_path / "state" / "vri-pyro" / "own_runs").read_text().splitlines()) == 1
    assert not is_own_run(run, FOREIGN + "seed: 1\n")
    assert not is_own_run(tmp_path / "other", FOREIGN)
    monkeypatch.chdir(tmp_path)
    assert not is_own_run(run, FOREIGN)


def test_memory_is_readable_by_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    remember_run(tmp_path, FOREIGN)
    assert (tmp_path / "vri-pyro" / "own_runs").stat().st_mode & 0o077 == 0


def test_run_of_known_classes_needs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    remember_run(tmp_path, "optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}\n")
    assert os.listdir(tmp_path) == []


def test_memory_that_cannot_be_written_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    remember_run(tmp_path, FOREIGN)
    assert not is_own_run(tmp_path, FOREIGN)
