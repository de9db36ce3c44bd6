"""The page in a real browser: complete, without network, and readable at any width, in light, dark and print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vri_pyro.cli import main

from .chromium import PROGRAM, Tab, tab

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium or Chrome on the path")
WIDTHS = (360, 768, 1280)
# Brightness of an element's colour, from 0 to 1.
LIGHTNESS = "(c => (c[0] * 0.2126 + c[1] * 0.7152 + c[2] * 0.0722) / 255)(getComputedStyle({}).{}.match(/[\\d.]+/g))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    with tab() as one:
        yield one


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pages")
    shared = [
        "--epochs",
        "3",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--quiet",
        "true",
        "--backbone",
        "vri_pyro.backbones.MLP",
    ]
    plain = ["--method", "vri_pyro.peers.ELR"]
    for name, options in (("rectified", []), ("plain", plain)):
        assert main(["fit", *shared, *options, "--output", str(folder / name)]) == 0
    return folder / "rectified", folder / "plain"


@pytest.fixture(scope="module", params=[1, 2], ids=["one run", "side by side"])
def page(request: pytest.FixtureRequest, runs: tuple[Path, Path]) -> Path:
    path = runs[0].parent / f"page{request.param}.html"
    some = [str(run) for run in runs[: request.param]]
    assert main(["report", *some, "--output", str(path), "--device", "cpu"]) == 0
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_page_is_whole_at_every_width(browser: Tab, page: Path, width: int) -> None:
    browser.open(page, width)
    decoded = "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    sizes = browser.evaluate(decoded)
    assert len(sizes) > 10  # suspects
    assert min(sizes) > 0
    drawings = browser.evaluate(
        "[...document.querySelectorAll('figure > svg')].map(s => s.getBoundingClientRect().width)"
    )
    assert len(drawings) > 5
    assert all(100 < drawn <= width for drawn in drawings)
    text = browser.evaluate("document.body.innerText")
    for words in (
        "test accuracy",
        "of the noisy labels are wrong",
        "Transition",
        "Posterior",
        "confident",
        "Flip(rate=0.4)",
    ):
        assert words in text
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("Math.min(...[...document.querySelectorAll('h2')].map(h => h.offsetHeight))") > 10
    assert browser.requests() == [page.absolute().as_uri()]
    assert browser.complaints() == []


def test_no_two_drawings_share_an_identifier(browser: Tab, page: Path) -> None:
    browser.open(page, 1280)
    identifiers = browser.evaluate("[...document.querySelectorAll('svg defs [id], [id^=part]')].map(e => e.id)")
    assert len(identifiers) == len(set(identifiers)) > 10


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Tab, page: Path, dark: bool) -> None:
    browser.open(page, 1280, dark=dark)
    ground = browser.evaluate(LIGHTNESS.format("document.body", "backgroundColor"))
    assert ground < 0.2 if dark else ground > 0.8
    for element in ("document.body", "document.querySelector('figcaption')", "document.querySelector('dd')"):
        assert abs(browser.evaluate(LIGHTNESS.format(element, "color")) - ground) > 0.4
    drawn = browser.evaluate(LIGHTNESS.format("document.querySelector('figure svg text')", "fill"))
    assert abs(drawn - ground) > 0.4


def test_dark_page_is_printed_dark_on_light(browser: Tab, page: Path) -> None:
    browser.open(page, 800, dark=True, media="print")
    assert browser.evaluate(LIGHTNESS.format("document.body", "color")) < 0.3
    assert browser.printed().startswith(b"%PDF")
