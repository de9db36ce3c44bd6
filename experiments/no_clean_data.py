"""Learning without clean labels: VRI(-), VRI(+) and VRI(Aug) (paper, algorithm 2 and table 12).

After a warm-up with cross entropy, examples with a small loss replace the clean set. They are selected again before
each epoch. VRI trains for fewer epochs after the warm-up, so that all methods take the same total number of steps.
"""

from __future__ import annotations

import sys

from study import Bench, Cell, Options, Page, Records, Study, by_method, config, grid, main
from study.benches import clean_labels, noise
from study.figures import accuracy_figure

NOISES = {
    "flip 40%": noise("Flip", 0.4),
    "uniform 40%": noise("UniformExclusive", 0.4),
    "uniform 60%": noise("UniformExclusive", 0.6),
    "instance 40%": noise("InstanceDependent", 0.4),
}
NO_CLEAN: Options = (*clean_labels(0), "--split.validation_from", "noisy", "--split.validation_per_class", "3")
LONGEST_WARM_UP = 10  # epochs; the paper's value on CIFAR-10
SIZES = {"synthetic": "50"}  # size of the selection; elsewhere 1,000 as in the configurations and in the paper
PAPERS = """\
Table 12, ANIMAL-10N:

| reported | VRI(-) | VRI(+) |
|---|---:|---:|
| accuracy (%) | 81.4 | 85.8 |"""


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise, and VRI with 100 clean labels per class for comparison."""
    warm_up = min(LONGEST_WARM_UP, max(1, bench.epochs // 3))
    lengths = ("--warm_up.epochs", str(warm_up), "--epochs", str(bench.epochs - warm_up))
    optimizer = tuple(option.replace("--optimizer", "--warm_up.optimizer") for option in bench.optimizer)
    own = (*lengths, *optimizer, *NO_CLEAN)
    size = ("--selection.size", SIZES[bench.title]) if bench.title in SIZES else ()
    methods = {
        "cross entropy": config("cross_entropy", *NO_CLEAN),
        "mixup": config("mixup", *NO_CLEAN),
        "ELR": config("elr", *NO_CLEAN),
        "VRI(-)": (*config("vri_vector"), *config("vri_no_clean_minus"), *own, *size),
        "VRI(+)": (*config("vri_vector"), *config("vri_no_clean_plus"), *own, *size),
        "VRI(Aug)": (*config("vri_vector"), *config("vri_no_clean_aug"), *own),
        "VRI, 100 clean labels a class": config("vri_vector", *clean_labels(100)),
    }
    return grid({name: bench.setting(*about) for name, about in NOISES.items()}, methods)


def report(records: Records) -> Page:
    """Report the accuracy by method and noise."""
    figure = accuracy_figure(records)
    return Page("Test accuracy (%) without clean labels", [by_method(records)], figure, PAPERS)


STUDY = Study("no_clean_data", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))
