"""The page in a real browser: complete, without network, and readable at any width, in light, dark and print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vri_pyro.report import SeenRun, render

from .chromium import PROGRAM, Tab, tab

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium or Chrome, which is not installed here")
WIDTHS = (360, 768, 1280)
DRAWINGS = "[...document.querySelectorAll('figure > svg')]"
# Every picture's width once it is decoded, those within drawings as well.
DECODED = """\
Promise.all([...document.querySelectorAll("img, svg image")].map(async picture => {
  const image = new Image();
  image.src = picture.src || picture.getAttribute("xlink:href") || picture.getAttribute("href");
  await image.decode();
  return image.naturalWidth;
}))"""
# Elements that reach beyond the window and are not meant to be scrolled.
TOO_WIDE = """\
[...document.querySelectorAll("body *")]
  .filter(e => !e.closest("pre, svg, .scroll") && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 80))"""
# Brightness of an element's colour, from 0 to 1.
LIGHTNESS = "(c => (c[0] * 0.2126 + c[1] * 0.7152 + c[2] * 0.0722) / 255)(getComputedStyle({}).{}.match(/[\\d.]+/g))"
WORDS = (
    "test accuracy",
    "of the noisy labels are wrong",
    "in truth",
    "Posterior",
    "The classifier is ",
    "calibration error",
    "Flip(rate=0.4)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    with tab() as one:
        yield one


@pytest.fixture(scope="module", params=[1, 2], ids=["one run", "side by side"])
def page(request: pytest.FixtureRequest, folder: Path, peer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render([SeenRun(run) for run in (folder, peer)[: request.param]]))
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_page_is_whole_at_every_width(browser: Tab, page: Path, width: int) -> None:
    browser.open(page, width)
    sizes = browser.evaluate(DECODED)
    assert len(sizes) > 10
    assert min(sizes) > 0
    drawn = browser.evaluate(f"{DRAWINGS}.map(drawing => drawing.getBoundingClientRect().width)")
    assert len(drawn) == page.read_text().count("<svg") > 5
    assert all(200 < one <= width for one in drawn)
    text = browser.evaluate("document.body.innerText")
    assert [words for words in WORDS if words not in text] == []
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.requests() == [page.as_uri()]
    assert browser.complaints() == []


@pytest.mark.parametrize("fault", ["console.error('a fault')", "missing()", "new Image().src = 'missing.png'"])
def test_faults_of_a_page_would_be_seen(browser: Tab, tmp_path: Path, fault: str) -> None:
    (tmp_path / "faulty.html").write_text(f"<script>{fault}</script>")
    browser.open(tmp_path / "faulty.html", 800)
    assert browser.complaints()


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


def test_a_dark_page_is_printed_dark_on_light(browser: Tab, page: Path) -> None:
    browser.open(page, 800, dark=True, media="print")
    assert browser.evaluate(LIGHTNESS.format("document.body", "color")) < 0.3
    assert browser.printed().startswith(b"%PDF")
