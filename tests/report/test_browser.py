"""The page in a real browser: nothing to complain of, every picture decoded, readable at three widths."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from vri_pyro.report import SeenRun, render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
)
WIDTHS = (360, 800, 1400)
# The page in a frame of each width, asked from outside, since a headless window cannot be as narrow as a phone.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const page = PAGE, widths = WIDTHS, found = [];
async function look(width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  frame.srcdoc = page;
  document.body.append(frame);
  await new Promise(done => frame.onload = done);
  const inside = frame.contentDocument;
  const errors = [];
  const pictures = [...inside.images, ...[...inside.querySelectorAll("svg image")].map(image => {
    const copy = new Image(); copy.src = image.getAttribute("xlink:href") || image.getAttribute("href"); return copy;
  })];
  await Promise.all(pictures.map(picture => picture.decode().catch(error => errors.push(String(error)))));
  const wide = [...inside.querySelectorAll("main *")].filter(e => !e.closest("pre, svg, .scroll")
    && e.getBoundingClientRect().right > width + 1).map(e => e.outerHTML.slice(0, 80));
  found.push({width, pictures: pictures.length, errors, wide,
    overflow: inside.documentElement.scrollWidth - width,
    drawings: [...inside.querySelectorAll("figure svg")].filter(d => d.getBoundingClientRect().width > 200).length,
    text: inside.body.innerText});
}
(async () => { for (const width of widths) await look(width);
  document.body.textContent = "FOUND" + JSON.stringify(found) + "END"; })();
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed here")
@pytest.mark.parametrize("count", [1, 2])
def test_page_is_whole_at_three_widths(count: int, folder: Path, peer: Path, tmp_path: Path) -> None:
    page = render([SeenRun(one) for one in (folder, peer)[:count]])
    harness = HARNESS.replace("WIDTHS", json.dumps(WIDTHS)).replace("PAGE", json.dumps(page).replace("</", "<\\/"), 1)
    (tmp_path / "harness.html").write_text(harness)
    (tmp_path / "page.html").write_text(page)
    found = json.loads(_between(_browse(tmp_path, "harness.html", "--dump-dom")[0]))
    assert [one["width"] for one in found] == list(WIDTHS)
    drawings = page.count("<svg")
    for one in found:
        assert one["pictures"] >= 10
        assert one["errors"] == []
        assert one["wide"] == []
        assert one["overflow"] <= 0
        assert one["drawings"] == drawings
        for words in ("Wrong labels", "expected calibration error", "in truth", "Configuration"):
            assert words in one["text"]
    _, log = _browse(tmp_path, "page.html", "--dump-dom")
    assert not re.findall(r"CONSOLE.*", log)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed here")
def test_console_errors_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<script>console.error('an error of the page')</script>")
    assert "an error of the page" in _browse(tmp_path, "page.html", "--dump-dom")[1]


def _browse(folder: Path, page: str, *flags: str) -> tuple[str, str]:
    """What the browser prints, and what it logs."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    address = (folder / page).as_uri()
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=20000", *flags, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    shutil.rmtree(profile, ignore_errors=True)
    return done.stdout, done.stderr


def _between(dom: str) -> str:
    return unescape(dom.partition("FOUND")[2].partition("END")[0])
