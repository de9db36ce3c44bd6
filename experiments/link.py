"""Effect of the link function between latent vector and logits (paper, table 10)."""

from __future__ import annotations

import sys

from study import Bench, Cell, Page, Records, Study, by_method, config, grid, main
from study.benches import clean_labels, noise
from study.figures import accuracy_figure

NOISES = {
    "flip 40%": noise("Flip", 0.4),
    "uniform 40%": noise("UniformExclusive", 0.4),
    "uniform 60%": noise("UniformExclusive", 0.6),
}
METHODS = {
    link.lower(): config("vri_vector", "--method.model.link", f"torch.nn.{link}")
    for link in ("Sigmoid", "Tanh", "Softplus", "Identity")
}
PAPERS = """\
Table 10, CIFAR-10:

| reported | sigmoid | tanh | none |
|---|---:|---:|---:|
| VRI, accuracy (%) | 91.29 | 88.17 | 86.90 |"""


def cells(bench: Bench) -> list[Cell]:
    """Return every link under every noise."""
    return grid({name: bench.setting(*about, *clean_labels(100)) for name, about in NOISES.items()}, METHODS)


def report(records: Records) -> Page:
    """Report the accuracy by link."""
    figure = accuracy_figure(records)
    return Page("Test accuracy (%) by link function", [by_method(records)], figure, PAPERS)


STUDY = Study("link", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))
