"""The report agrees with the files of the run, is self-contained, and is written at the end of a run."""

from __future__ import annotations

import base64
import errno
import html
import io
import json
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from vri_pyro.cli import fit as fit_command
from vri_pyro.cli.main import main
from vri_pyro.diagnostics import rightness
from vri_pyro.report import PARTS, SeenRun, record, render, write_page
from vri_pyro.report.figures import curves
from vri_pyro.report.pictures import data_uri
from vri_pyro.report.training import training
from vri_pyro.runs.run import Run
from vri_pyro.training.evaluation import predict
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError

from .conftest import CONFIGS, SMALL, another, fit

FEW = ("--split.noisy_size", "200")
REAL_LEAVE_PAGE = fit_command.leave_page  # before a session fixture in tests/conftest.py replaces it


class Outline(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "pre"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(analysed: SeenRun) -> str:
    return render([analysed])


def test_page_is_well_formed_and_names_every_part(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles == [
        *("Label errors", "Checks by hand", "Training", "Confusions", "Transition of the labels", "Calibration"),
        *("Posterior", "Configuration"),
    ]
    assert "first & <second>" in outline.text  # escaped
    assert len(PARTS) == 8


def test_page_starts_with_accuracy_wrong_labels_and_suspects(page: str) -> None:
    names = re.findall("<dt>(.*?)</dt>", page[: page.index("<section")])
    assert names == [
        *("test accuracy", "wrong labels", "suspect labels", "detection of wrong labels", "certified by checks"),
        "calibration error",
    ]
    top = page[: page.index("<section")]
    assert "The posterior of" not in top
    assert page.index('class="suspects"') < page.index("<figure")
    assert page.index("<h2>Posterior") < page.index("The posterior of v ")


def test_figures_are_those_of_the_runs_files(page: str, seen: SeenRun) -> None:
    text = Outline(page).text
    assert f"test accuracy {seen.summary['results']['last']:.1f}% last epoch (" in text
    assert f"true rate {100 * seen.run.split.realised_rate:.1f}%" in text
    assert f"{seen.detections['combined'].auroc:.3f}" in text
    assert "expected calibration error" in text
    assert "EstimatedBilevel: HierarchicalRectification, Hierarchical" in text
    assert "outer_kl_weight: 0.001" in page


def test_posterior_is_judged_as_the_diagnostics_judge_it(page: str, seen: SeenRun) -> None:
    text = Outline(page).text
    assert seen.posterior is not None
    assert set(seen.posterior.collapse) == {"v", "gate", "transition_gate"}
    for site, found in seen.posterior.collapse.items():
        assert f"The posterior of {site} {found.verdict} (mean of 200 examples)." in text
    assert f"The guide is {rightness(seen.posterior.k_hat, seen.posterior.bounds)}." in text
    assert f"ELBO per example {float(seen.posterior.bounds.elbo.mean()):.3f} nats" in text


def test_temperature_is_fitted_on_held_out_examples_and_improves_calibration(seen: SeenRun) -> None:
    logits, labels = predict(seen.run.predictor, seen.run.examples, seen.run.split.validation_indices)
    losses = [
        float(cross_entropy(logits / t, labels))
        for t in (0.9 * seen.temperature, seen.temperature, 1.1 * seen.temperature)
    ]
    assert min(losses) == losses[1]
    found = seen.calibrations
    assert found["at the fitted temperature"].nll < found["classifier"].nll
    seen.run.split = replace(seen.run.split, validation_from="noisy")
    del seen.temperature, seen.calibrations
    assert set(seen.calibrations) == {"classifier", "under the prior p(v | x)"}


def test_point_mass_guide_gets_no_collapse_verdict(tmp_path: Path) -> None:
    dirac = fit(tmp_path / "dirac", "--config", str(CONFIGS / "vri_dirac.yaml"), "--epochs", "1", *FEW)
    seen = SeenRun(Run(dirac))
    text = Outline(render([seen])).text
    assert "The guide is a point mass in v, so there is no spread that could collapse." in text
    assert "collapsed to a point" not in text
    assert "importance-weighted bound" not in text
    record(seen)
    posterior = json.loads((dirac / "summary.json").read_text())["posterior"]
    assert posterior["v"] == "The guide is a point mass in v, so there is no spread that could collapse."
    assert "k_hat_above_0.7" not in posterior


def test_page_fetches_nothing(page: str) -> None:
    for _, attributes in Outline(page).seen:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.findall(r"url\(|@import|https?://", style)
    assert not re.findall(r"<script|@font-face", page)


def test_every_drawing_is_svg_in_the_pages_colours(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) >= 9
    identifiers = []
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        identifiers += [element.get("id") for element in root.iter() if element.tag.endswith("clipPath")]
        assert "viewBox" in root.attrib
        assert "var(--ink)" in drawing
        assert not re.findall(r"#111111|#0072b2|#000000", drawing, flags=re.IGNORECASE)
    assert len(identifiers) == len(set(identifiers))


def test_suspects_are_the_most_suspect_with_their_own_pictures(seen: SeenRun) -> None:
    labels = PARTS[0](seen)
    assert labels is not None
    assert 5 <= len(labels.suspects) <= 24
    scores = [int(suspect.score.rstrip("%")) for suspect in labels.suspects]
    assert scores == sorted(scores, reverse=True)
    pairs = [(suspect.given, suspect.suggested) for suspect in labels.suspects]
    assert max(pairs.count(pair) for pair in pairs) <= 3
    assert all(given != suggested for given, suggested in pairs)
    from sklearn.datasets import load_digits

    suspect = labels.suspects[0]
    assert suspect.image is not None
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(suspect.image.partition(",")[2]))))
    index = int(suspect.name.removeprefix("example "))
    batch = next(seen.run.examples.in_order(np.array([index]), 1))
    original = (255 * seen.run.examples.original(batch.x)).round().numpy()[0, 0]
    assert np.abs(shown.astype(int) - original).max() <= 1
    assert shown.shape == load_digits().images[0].shape


def test_several_runs_are_compared_and_missing_parts_are_named(seen: SeenRun, seen_peer: SeenRun) -> None:
    text = Outline(render([seen, seen_peer])).text
    assert "comparison of 2 runs" in text
    assert "Comparison" in text
    assert "Not available for this run." in text  # no posterior
    assert "Learned by the method." in text
    assert "estimation" in text


def test_runs_of_the_same_name_get_unique_names(page: str, seen: SeenRun, folder: Path, tmp_path: Path) -> None:
    assert str(folder) not in Outline(page).text
    other = another(seen)
    seen.run._folder, other.run._folder = RunFolder(folder), RunFolder(tmp_path / folder.name)
    seen.rows = other.rows = seen.rows[:1]
    for one in (seen, other):
        one.run.folder.config = folder / "config.yaml"
    both = Outline(render([seen, other])).text
    assert f"{folder.parent.name}/{folder.name}" in both
    assert f"{tmp_path.name}/{folder.name}" in both
    assert str(folder) not in both


def test_page_shows_absolute_paths_only_on_request(page: str, seen: SeenRun, folder: Path) -> None:
    assert f"…/{folder.name}" in html.unescape(page)
    assert str(folder.parent) not in html.unescape(page)
    assert seen.full_paths is SeenRun(seen.run).full_paths is False
    seen.full_paths = SeenRun(seen.run, full_paths=True).full_paths
    assert str(folder) in html.unescape(render([seen]))


def test_page_forbids_scripts_and_requests(page: str) -> None:
    assert "<script" not in page
    assert page.index("default-src 'none'; img-src data:; style-src 'unsafe-inline'") < page.index("<link")


def test_command_writes_the_page_and_the_summary(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder), "--output", str(tmp_path / "new" / "page.html"), "--device", "cpu"]) == 0
    assert "report:" in capsys.readouterr().out
    assert "</html>" in (tmp_path / "new" / "page.html").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["calibration"]) == {"classifier", "at the fitted temperature", "under the prior p(v | x)"}
    assert 0 <= summary["calibration"]["classifier"]["ece"] <= 1
    low, high = summary["label_noise"]["interval"]
    assert low <= summary["label_noise"]["rate"] <= high
    assert summary["results"]["last"] > 0
    assert 1 / 20 <= summary["temperature"] <= 20
    assert summary["posterior"]["examples"] == 200
    assert 0 <= summary["posterior"]["k_hat_above_0.7"] <= 1
    assert "collapse" in summary["posterior"]["gate"]


@pytest.mark.usefixtures("ranked")
def test_page_elsewhere_needs_no_run_folder_to_write_into(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "run")
    before, flush = (tmp_path / "run" / "summary.json").read_bytes(), os.fsync

    def full(descriptor: int) -> None:
        if "summary.json" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("vri_pyro.report.page.render", lambda runs: "<html></html>")
    assert main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "page.html"), "--device", "cpu"]) == 0
    assert "</html>" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "run" / "summary.json").read_bytes() == before
    out = capsys.readouterr().out
    assert f"the run's summary was not updated: cannot write {tmp_path / 'run' / 'summary.json'}" in out
    assert "report:" in out


def test_same_run_twice_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latest").symlink_to(folder)
    page = tmp_path / "page.html"
    assert main(["report", str(folder), str(tmp_path / "latest"), "--output", str(page)]) == 2
    assert f"{folder} and {tmp_path / 'latest'} are the same run; name each run only once" in capsys.readouterr().err
    with pytest.raises(UserError, match="are the same run"):
        write_page([SeenRun(Run(folder)), SeenRun(Run(folder))], page)
    assert not page.exists()


def test_runs_whose_names_and_folders_are_alike_have_a_curve_each(
    seen: SeenRun, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")  # the resolved names are x, x and link
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vri_pyro.report.page.PARTS", (training,))
    monkeypatch.setattr("vri_pyro.report.page._TOP", (training,))
    runs = [another(seen) for _ in range(3)]
    for one, path in zip(runs, ("link", "far/x", "far/link"), strict=True):
        one.name = Path(path).resolve().name
        one.run._folder = RunFolder(path)
        one.run.folder.config = folder / "config.yaml"
    page = render(runs)
    assert all(name in Outline(page).text for name in (f"{tmp_path.name}/x", "far/x", "link"))
    together = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)[0]
    assert len(set(re.findall(r'style="fill: none; stroke: (var\(--series-.\))', together))) == 3


def test_name_that_is_invalid_utf8_is_escaped_on_the_page(
    analysed: SeenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vri_pyro.report.page.render", lambda runs: "gr\udcfcn")
    write_page([analysed], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == r"gr\udcfcn"


@pytest.mark.usefixtures("ranked")
def test_status_is_shown_only_on_a_terminal(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["report", str(folder), "--output", str(tmp_path / "page.html"), "--device", "cpu"]
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("vri_pyro.report.page.render", lambda runs: "<title>a · vri-pyro</title>")
    assert main(command) == 0
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(command) == 0
    assert "analysing first & <second>, 1 of 1" in capsys.readouterr().out


def test_a_run_that_ends_leaves_a_page_and_one_that_is_resumed_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_command, "leave_page", REAL_LEAVE_PAGE)
    command = ["fit", *SMALL, *FEW, "--epochs", "1", "--quiet", "true", "--output", str(tmp_path / "run")]
    assert main(command) == 0
    page = tmp_path / "run" / "report.html"
    made = page.stat().st_mtime_ns
    assert main([*command, "--resume", "true"]) == 0
    assert page.stat().st_mtime_ns == made
    assert "report: true" in (tmp_path / "run" / "config.yaml").read_text()


def test_report_that_cannot_be_written_is_a_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr("vri_pyro.report.SeenRun", refuse)
    gone, trained = RunFolder(tmp_path), Run(folder)
    with pytest.warns(UserWarning, match="the run is complete but its report was not written: the disk is full"):
        assert REAL_LEAVE_PAGE(gone, trained, "cpu") is False


def test_unexpected_error_in_the_report_is_a_warning(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("vri_pyro.report.SeenRun", break_down)
    with pytest.warns(UserWarning, match="its report was not written: ValueError: a bug"):
        assert REAL_LEAVE_PAGE(RunFolder(tmp_path), Run(folder), "cpu") is False


def test_names_of_classes_and_images_of_any_kind_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator, names = np.random.default_rng(0), ["$5 to $[10]", "$^$[i]", "[/x]dog", "[b]"]
    y = np.arange(480) % 4
    x = (generator.random((480, 6, 6, 5)) / 4 + y[:, None, None, None] / 8).astype(np.float32)
    halves = {"x_train": x[:240], "y_train": y[:240], "x_test": x[240:], "y_test": y[240:]}
    np.savez(tmp_path / "odd.npz", **halves, classes=np.array(names))
    data = (
        "--data",
        "vri_pyro.data.NpzFile",
        "--data.path",
        str(tmp_path / "odd.npz"),
        "--data.verified",
        "true",
        "--split.noisy_size",
        "150",
    )
    odd = fit(tmp_path / "run", *data, "--batch_size", "50", "--split.clean_per_class", "5", "--epochs", "1")
    text = Outline(render([SeenRun(Run(odd))])).text
    assert all(name in text for name in names)
    assert main(["issues", str(odd), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("[") >= 20  # the given and the suggested class in each of ten rows


def test_report_of_an_unfinished_run_states_the_epoch_of_the_accuracy(page: str, seen: SeenRun) -> None:
    assert "The test accuracy after the last epoch is " in Outline(page).text
    seen.rows = [*seen.rows, {name: value for name, value in seen.rows[-1].items() if "accuracy" not in name}]
    part = PARTS[2](seen)
    assert part is not None
    assert part.headline[0].note.startswith(f"epoch {len(seen.rows) - 1}")
    assert f"The test accuracy after epoch {len(seen.rows) - 1} is " in part.verdicts[0].words


def test_lines_of_many_runs_are_distinguishable_and_all_named() -> None:
    shown = {f"{'_' * (number == 7)}run {number}": ([1.0, 2.0], [0.0, float(number)]) for number in range(8)}
    svg = curves(shown, "accuracy", "Many.").svg
    text = " ".join(ElementTree.fromstring(svg).itertext())
    assert all(name in text for name in shown)
    lines = set(re.findall(r'style="(fill: none;[^"]*--series-1[^"]*)"', svg))  # the first and the seventh line
    assert sorted("stroke-dasharray" in line for line in lines) == [False, True]


def test_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="a report needs at least one run"):
        write_page([], tmp_path / "page.html")
    assert main(["report", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_some_of_many_examples_are_judged_and_the_page_says_so(folder: Path) -> None:
    seen = SeenRun(Run(folder), most=300)
    assert len(seen.issues.score) == 300
    labels = PARTS[0](seen)
    assert labels is not None
    assert ("scored noisy examples (random sample)", "300") in labels.facts


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_are_the_images(channels: int) -> None:
    image = torch.rand(channels, 5, 7)
    uri = data_uri(image)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    expected = (255 * image).round().permute(1, 2, 0).numpy()
    assert np.array_equal(shown.reshape(5, 7, channels), expected)
    stretched = np.asarray(Image.open(io.BytesIO(base64.b64decode(data_uri(8 * image - 4).partition(",")[2]))))
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_confusions_of_labels_have_their_estimates_intervals_and_truth(seen: SeenRun) -> None:
    part = PARTS[4](seen)
    assert part is not None
    told = [fact for fact in part.facts if " labelled " in fact.name]
    assert len(told) == 8
    row, column = map(int, told[0].name.split(" labelled "))
    estimated = float(seen.issues.transition.transition.mean(0)[row, column])
    low, high = (float(end[row, column]) for end in seen.issues.transition.interval())
    given, true = seen.run.split.given_labels, seen.run.split.true_labels
    assert true is not None
    share = np.mean(given[true == row] == column)
    assert told[0].value == f"{estimated:.2f} ({low:.2f} to {high:.2f}), true {share:.2f}"
    seen.run.split = replace(seen.run.split, true_labels=None)
    part = PARTS[4](seen)
    assert part is not None
    assert "true" not in part.facts[0].value
