"""What docs/ tells a reader to type works, on a run's posterior reopened by ArviZ."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest

from vri_pyro.cli import main as cli

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "posterior.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in it, and what the page's commands made of it."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "experiments").symlink_to(DOCS.parent / "experiments")
        short = {"fit": ["--epochs", "1", "--threads", "1", "--quiet", "true"], "diagnose": ["--examples", "30"]}
        short["diagnose"] += ["--draws", "100"]
        assert cli.main(["fit", *short["fit"]]) == 0
        for command in re.findall(r"^vri-pyro (.*)$", PAGE, flags=re.MULTILINE):
            assert cli.main([*command.split(), *short[command.split()[0]]]) == 0
    return folder


def test_programs_of_the_posteriors_page_run(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(where)
    shown = " ".join(PROGRAMS)
    for call in ("summary", "loo_approximate_posterior", "plot_khat", "plot_forest", "plot_ppc_", "plot_dist"):
        assert f"az.{call}" in shown
    names: dict[str, object] = {"__name__": "docs"}
    with mpl.rc_context({"backend": "agg"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="arviz")  # of a small posterior, whose k-hat are high
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto distribution")
        warnings.filterwarnings("ignore", message="More than 20 figures")
        for program in PROGRAMS:
            exec(compile(program, "docs/posterior.md", "exec"), names)
        mpl.pyplot.close("all")
    assert set(names["joint"]) == {"log_p", "log_q"}  # type: ignore[call-overload]


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(((?!http|#)[^)]+)\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
