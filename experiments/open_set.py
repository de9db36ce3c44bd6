"""Open-set noise: images in the noisy set that belong to none of the classes (paper, table 7).

At the small scale, MNIST digits replace 40% of the Fashion-MNIST images, or they replace 20% and a further 20% of the
labels are redrawn. At the paper scale, the data set is CIFAR-80N: images of the last twenty classes of CIFAR-100
have labels of the other eighty classes, and the remaining images have label noise.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from study import CIFAR10, SCALES, Bench, Cell, Options, Page, Records, Study, by_method, grid, main
from study.benches import clean_labels, foreign_images, noise, open_set
from study.figures import accuracy_figure
from study.methods import METHODS

# The paper's 1,000 clean labels are not divisible by 80 classes, so the clean set is drawn in class proportions.
CIFAR80 = replace(
    CIFAR10,
    title="CIFAR-80N",
    data="cifar80",
    options=("--data.open_set", "true", *CIFAR10.options, "--split.clean_size", "1000"),
)
LONG = 50  # epochs
PAPERS = """\
CIFAR-80N, mean of the last ten epochs. The rates do not include the open-set images, another fifth of the images.

| reported | uniform 20% | uniform 50% | uniform 80% | flip 40% |
|---|---:|---:|---:|---:|
| cross entropy | 42.57 | 27.06 | 9.27 | 22.25 |
| Jo-SRC | 65.83 | 58.51 | 29.76 | 53.03 |
| USDNL | 71.54 | 63.98 | 26.07 | |
| PNP-soft | 67.00 | | 34.36 | 61.23 |
| VRI | | | | 64.71 |"""


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise."""
    every = ("--evaluate_every", "1")  # for the mean of the last ten epochs
    return grid({name: bench.setting(*about, *every) for name, about in settings(bench).items()}, METHODS)


def settings(bench: Bench) -> dict[str, Options]:
    """Return the noises of a bench."""
    if bench.data == CIFAR80.data:
        uniform = {f"uniform {rate}%": noise("UniformExclusive", rate / 100) for rate in (20, 50, 80)}
        return uniform | {"pair flip 40%": noise("PairFlip", 0.4)}
    both = (*noise("EvidentialMix", 0.4), "--noise.share", "0.5", *foreign_images(bench))
    return {
        f"{name}, {size} clean": (*about, *clean_labels(size))
        for size in (10, 100)
        for name, about in (("open 40%", open_set(bench, 0.4)), ("open 20%, uniform 20%", both))
    }


def report(records: Records) -> Page:
    """Report the accuracy on test images, which all belong to the classes."""
    figure = accuracy_figure(records)
    parts = [by_method(records)]
    if min(record["config"]["epochs"] for record in records) > LONG:  # ten epochs are most of a short run
        parts += ["Mean of the last ten epochs:", by_method(records, "last_10")]
    return Page("Test accuracy (%) under open-set noise", parts, figure, PAPERS)


STUDY = Study("open_set", __doc__, cells, report, benches={**SCALES, "paper": (CIFAR80,)})

if __name__ == "__main__":
    sys.exit(main(STUDY))
