"""Make the pictures of the documentation's gallery: the report of a run, the preview of its data, its posterior.

The pictures of the report need Chromium or Chrome; without it, only the others are made.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import arviz as az
from matplotlib import pyplot as plt
from PIL import Image, ImageChops

from vri_pyro.cli.main import main as vri_pyro
from vri_pyro.report import SeenRun, render
from vri_pyro.runs.run import Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb")
WIDTH, TALLEST = 1280, 4000  # of the window, in pixels
TOP, REST = "main > section", "header, main > :not(section)"  # hidden for the pictures of the sections and of the top
SHOWN = {"Label errors": "suspects", "Training": "training", "Confusions": "confusions"} | {
    "Transition of the labels": "transition",
    "Calibration": "calibration",
    "Posterior": "posterior",
}


def main() -> int:
    """Train on digits with 40% wrong labels and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"), help="where the run folder goes")
    parser.add_argument("--output", type=Path, default=Path("docs/gallery"), help="folder of the pictures")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--examples", type=int, default=200, help="examples in the picture of the posterior")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    folder = _trained(options.runs / "digits", options.epochs)
    _draw_data(options.output / "data.png")
    _draw_posterior(folder, options.examples, options.output / "forest.png")
    if (browser := next(filter(None, map(shutil.which, BROWSERS)), None)) is None:
        print("neither Chromium nor Chrome is installed: the pictures of the report are left out")
    else:
        _draw_report(browser, folder, options.output)
    for picture in sorted(options.output.glob("*.png")):
        print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")
    return 0


def _trained(folder: Path, epochs: int) -> Path:
    fixed = ["--resume", "true", "--report", "false", "--quiet", "true", "--threads", "1", "--device", "cpu"]
    _run("fit", "--epochs", str(epochs), "--output", str(folder), *fixed)
    return folder


def _run(*arguments: str) -> None:
    if vri_pyro([*arguments]):
        raise SystemExit(1)


def _draw_data(path: Path) -> None:
    _run("data", "--picture", str(path))
    _shrink(path)


def _draw_posterior(folder: Path, examples: int, path: Path) -> None:
    """Draw the rectifying vectors of two examples, by class."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "posterior.nc"
        _run("diagnose", str(folder), "--examples", str(examples), "--draws", "500", "--output", str(file))
        tree = az.from_netcdf(file).load()
    tree.close()
    az.plot_forest(tree, var_names=["rectifier"], coords={"data": tree.posterior.data.values[:2]})
    plt.gcf().savefig(path, dpi=80, bbox_inches="tight")
    plt.close("all")
    _shrink(path)


def _draw_report(browser: str, folder: Path, output: Path) -> None:
    """Take a picture of the top of the report and of each section, by hiding everything else."""
    page = render([SeenRun(Run(folder))])
    titles = [part.partition("</h2>")[0] for part in page.split("<h2>")[1:]]
    _take(browser, page, f"{TOP} {{ display: none !important; }}", output / "summary.png")
    for number, title in enumerate(titles, 1):
        if title in SHOWN:
            hidden = f"{REST}, section:not(#part-{number}) {{ display: none !important; }}"
            _take(browser, page, f"{hidden} section {{ border: 0; margin: 0; }}", output / f"{SHOWN[title]}.png")


def _take(browser: str, page: str, style: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        file, picture = Path(place) / "page.html", Path(place) / "page.png"
        file.write_text(page.replace("</style>", f"{style}</style>", 1), encoding="utf-8")
        size = (f"--user-data-dir={place}/profile", f"--window-size={WIDTH},{TALLEST}", f"--screenshot={picture}")
        command = [browser, *FLAGS, *size, file.as_uri()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        with Image.open(picture) as taken:
            _without_rest(taken.convert("RGB")).save(path)
    _shrink(path)


def _without_rest(picture: Image.Image) -> Image.Image:
    """Cut off the empty rest of the window below the page."""
    empty = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    box = ImageChops.difference(picture, empty).getbbox()
    return picture.crop((0, 0, picture.width, min(picture.height, (box[3] if box else 0) + 24)))


def _shrink(path: Path) -> None:
    """Save a picture again with a palette of 256 colours, among them the rare ones."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
