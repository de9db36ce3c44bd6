"""The report in a browser: complete, without network access, and readable at any width, in dark mode and in print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vri_pyro.report
from vri_pyro.report import Drawing, SeenRun, render
from vri_pyro.report.figures import curves
from vri_pyro.report.matrices import largest_entries, matrix

from .chromium import PROGRAM, Tab, tab
from .conftest import another

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium or Chrome, which is not installed here")
STYLE = Path(vri_pyro.report.__file__).with_name("page.css")
WIDTHS = (360, 768, 1280)
DRAWINGS = "[...document.querySelectorAll('figure > svg')]"
# Widths of all decoded images, including those within SVG.
DECODED = """\
Promise.all([...document.querySelectorAll("img, svg image")].map(async picture => {
  const image = new Image();
  image.src = picture.src || picture.getAttribute("xlink:href") || picture.getAttribute("href");
  await image.decode();
  return image.naturalWidth;
}))"""
# Elements that extend beyond the window and are not scrollable.
TOO_WIDE = """\
[...document.querySelectorAll("body *")]
  .filter(e => !e.closest("pre, svg, .scroll") && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 80))"""
# Brightness of the colour of an element, from 0 to 1.
LIGHTNESS = "(c => (c[0] * 0.2126 + c[1] * 0.7152 + c[2] * 0.0722) / 255)(getComputedStyle({}).{}.match(/[\\d.]+/g))"
# Texts in drawings that overlap each other or extend beyond the drawing; glyphs fill two thirds of the line height.
OVERPRINTED = """\
[...document.querySelectorAll("figure > svg")].flatMap(drawing => {
  const whole = drawing.getBoundingClientRect();
  const texts = [...drawing.querySelectorAll("text")].map(text => {
    const box = text.getBoundingClientRect(), upright = box.height > box.width && text.textContent.length > 1;
    const [dx, dy] = upright ? [box.width / 6, 1] : [1, box.height / 6];
    return [text.textContent, box.left + dx, box.right - dx, box.top + dy, box.bottom - dy];
  });
  const beyond = texts.filter(([, left, right, top, bottom]) =>
    left < whole.left || right > whole.right || top < whole.top || bottom > whole.bottom);
  const pairs = texts.flatMap((a, i) => texts.slice(i + 1).map(b => [a, b]));
  const covered = pairs.filter(([a, b]) => a[1] < b[2] && b[1] < a[2] && a[3] < b[4] && b[3] < a[4]);
  return [...beyond.map(a => a[0]), ...covered.map(([a, b]) => `${a[0]} on ${b[0]}`)];
})"""
LONG = "a class name that goes on and on without any good reason, as folders do " + "x" * 60
NAMES = {
    "long": [f"{LONG} {number}" for number in range(10)],
    "odd": [
        "<script>",
        "quoted",
        "Äpfel & Öl",
        LONG,
        "$x^2$ _a_",
        "=1+1",
        "(none)",
        "日本語 🐱",
        "_hidden",
        "[b]bold[/b]",
    ],
    "two": ["cat", "dog"],
    "capitals": [f"GOLDEN RETRIEVER NUMBER {number}" for number in range(20)],
    "letters": [chr(65 + number) for number in range(26)],
}
MANY = {
    "hundred": [str(number) for number in range(100)],
    "hundred long": [f"GOLDEN RETRIEVER NUMBER {number}" for number in range(100)],
}
WORDS = (
    "test accuracy",
    "wrong labels",
    "true rate",
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
def page(
    request: pytest.FixtureRequest, analysed: SeenRun, seen_peer: SeenRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render([analysed, seen_peer][: request.param]))
    return path


@pytest.fixture(scope="module")
def long_page(analysed: SeenRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    seen = another(analysed)
    seen.run.classes = tuple(NAMES["long"])
    path = tmp_path_factory.mktemp("long") / "report.html"
    path.write_text(render([seen]))
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


def test_drawings_use_the_whole_width(browser: Tab, long_page: Path) -> None:
    browser.open(long_page, 1280)
    ends = browser.evaluate(
        "[...document.querySelectorAll('.drawings')].map(e => "
        "Math.max(...[...e.children].map(c => c.getBoundingClientRect().right)))"
    )
    width = browser.evaluate("document.querySelector('main').getBoundingClientRect().right")
    assert len(ends) == 8
    assert all(abs(end - width) < 2 for end in ends)


@pytest.mark.parametrize("width", [360, 500, 718, 1280])
@pytest.mark.parametrize("media", ["screen", "print"])
def test_page_with_long_names_is_no_wider_than_its_window(
    browser: Tab, long_page: Path, width: int, media: str
) -> None:
    browser.open(long_page, width, media=media)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(OVERPRINTED) == []


@pytest.mark.parametrize("classes", NAMES.values(), ids=NAMES)
def test_no_text_of_a_matrix_is_overprinted_or_cut(browser: Tab, tmp_path: Path, classes: list[str]) -> None:
    drawn = matrix(np.eye(len(classes)), classes, "class", "predicted", "Shares.")
    _open(browser, tmp_path, drawn)
    assert browser.evaluate("document.querySelectorAll('figure text').length") > 6
    assert browser.evaluate(OVERPRINTED) == []


@pytest.mark.parametrize("classes", MANY.values(), ids=MANY)
def test_no_text_of_the_largest_confusions_is_overprinted_or_cut(
    browser: Tab, tmp_path: Path, classes: list[str]
) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(100), 100)
    drawn = largest_entries({"estimated": shares, "true": shares.T}, classes, "share", "Shares.", (shares, shares))
    _open(browser, tmp_path, drawn)
    assert (
        browser.evaluate("[...document.querySelectorAll('text')].filter(e => / → /.test(e.textContent)).length") == 12
    )
    assert browser.evaluate(OVERPRINTED) == []


@pytest.mark.parametrize("classes", [NAMES["two"], NAMES["letters"]], ids=["two", "letters"])
def test_texts_of_a_matrix_are_legible_on_a_desktop(browser: Tab, tmp_path: Path, classes: list[str]) -> None:
    _open(browser, tmp_path, matrix(np.eye(len(classes)), classes, "class", "predicted", "Shares."), 560)
    heights = browser.evaluate("[...document.querySelectorAll('text')].map(e => e.getBoundingClientRect().height)")
    assert min(heights) >= 11


@pytest.mark.parametrize(
    "names",
    [["a", "b", "c"], [f"/home/someone/{LONG} {n}" for n in range(4)], [f"a run of seed {n}" for n in range(7)]],
)
def test_no_name_of_a_curve_is_overprinted_or_cut(browser: Tab, tmp_path: Path, names: list[str]) -> None:
    shown = {name: ([1.0, 2.0], [0.0, float(number)]) for number, name in enumerate(names)}
    _open(browser, tmp_path, curves(shown, "accuracy (%)", "Accuracies."))
    assert browser.evaluate(OVERPRINTED) == []


def _open(browser: Tab, folder: Path, drawn: Drawing, width: int = 1280) -> None:
    page = folder / "figure.html"
    page.write_text(f"<meta charset=utf-8><style>{STYLE.read_text()}</style><figure>{drawn.svg}</figure>")
    browser.open(page, width)


@pytest.mark.parametrize("fault", ["console.error('a fault')", "missing()", "new Image().src = 'missing.png'"])
def test_faults_of_a_page_are_detected(browser: Tab, tmp_path: Path, fault: str) -> None:
    (tmp_path / "faulty.html").write_text(f"<script>{fault}</script>")
    browser.open(tmp_path / "faulty.html", 800)
    assert browser.complaints()


def test_no_two_drawings_share_an_identifier(browser: Tab, page: Path) -> None:
    browser.open(page, 1280)
    identifiers = browser.evaluate("[...document.querySelectorAll('svg defs [id], [id^=part]')].map(e => e.id)")
    assert len(identifiers) == len(set(identifiers)) > 10


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_contrasts_with_the_background(browser: Tab, page: Path, dark: bool) -> None:
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
