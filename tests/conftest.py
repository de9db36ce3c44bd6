"""What every test starts from: one thread, a fixed seed, an empty parameter store, and no GPU test without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

# Several processes with several threads of linear algebra each are slower than with one; workers inherit this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pyro
import pytest
import torch

from vri_pyro.runs.network_choice import CANDIDATES

TESTS = Path(__file__).parent
SHARED_DATA = TESTS.resolve().parents[1] / "shared" / "data"


# Tests that start processes, train whole runs or check statistics by simulation; `make test-fast` leaves them out.
SLOW = (
    "backbones/test_training_on_images.py",
    "cli",
    "certification",
    "data/test_loading.py",
    "data/test_noise_on_real_images.py",
    "diagnostics/test_collapse.py",
    "diagnostics/test_from_pyro_svi.py",
    "diagnostics/test_guides_against_the_posterior.py",
    "diagnostics/test_importance.py",
    "distribution/test_wheel.py",
    "docs",
    "experiments",
    "infer/test_processes.py",
    "label_issues/test_beliefs.py",
    "label_issues/test_of_run.py",
    "label_issues/test_transition_posterior.py",
    "label_issues/test_two_observers.py",
    "models/test_gate.py",
    "report",
    "runs",
    "test_estimator.py",
    "training/test_checkpoints.py",
)


# Files of long tests that share no fixtures, so that processes can divide them. Tests of other files stay together.
DIVIDED = tuple(f"tests/experiments/test_{name}.py" for name in ("scripts", "pages_of_studies", "paper_scale"))


# Folders whose files share trained runs, so that one process gets them all.
TOGETHER = ("tests/report/",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Divide the tests among processes so that those that share fixtures stay together.

    pytest-xdist 3.8 finds no groups of ``--dist loadgroup`` under pytest 9.2, and would fit every fixture once for each
    process.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Scheduling(config, log)


def _group(nodeid: str) -> str:
    """Name what a test must stay together with: its folder, its file, or nothing but itself."""
    file = nodeid.split("::")[0]
    if file in DIVIDED:
        return nodeid
    return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)


@cache
def _is_slow(file: Path) -> bool:
    return any(file.relative_to(TESTS).is_relative_to(part) for part in SLOW)


def pytest_configure() -> None:
    torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _fixed_seed_and_empty_parameter_store() -> None:
    pyro.set_rng_seed(0)
    pyro.clear_param_store()


@pytest.fixture(scope="session", autouse=True)
def _no_pages() -> Iterator[None]:
    """Runs of this process leave no page, which takes longer to make than most of them to train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vri_pyro.cli.fit.leave_page", lambda folder, trained, device: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _memory_of_own_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of the tests are remembered in a folder of their own, also by the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _short_chains(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shorten the samplers of the noise rate where a test checks what is shown, and not the accuracy of the rate."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.relative_to(TESTS).parts[0] in ("cli", "docs", "experiments", "report", "runs"):
            patch.setattr("vri_pyro.label_issues.label_sampler.LabelSampler.burn_in", 10)
            patch.setattr(import_module("vri_pyro.label_issues.joint_posterior"), "_SWEEPS", 1)  # as many as draws
            for name, length in {"steps": 10, "sweeps": 10, "between": 2}.items():
                patch.setattr(f"vri_pyro.label_issues.two_observers.TwoObservers.{name}", length)
        yield


@pytest.fixture
def short_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the network be chosen from two candidates, a linear one and one with hidden layers, instead of ten."""
    monkeypatch.setattr("vri_pyro.runs.network_choice.CANDIDATES", (CANDIDATES[1], CANDIDATES[-1]))


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that unpacks a shared image pack by name; skips the test if the packs are missing."""
    folder = Path(os.environ.get("VRI_SHARED_DATA", SHARED_DATA))
    if not (folder / "unpack.py").is_file():
        pytest.skip(f"no image packs in {folder}; set VRI_SHARED_DATA to the folder that holds unpack.py")
    out = tmp_path_factory.mktemp("unpacked")

    def unpack(name: str) -> Path:
        path = out / f"{name}.npz"
        if not path.exists():
            subprocess.run([sys.executable, folder / "unpack.py", out, name], check=True, capture_output=True)
        return path

    return unpack
