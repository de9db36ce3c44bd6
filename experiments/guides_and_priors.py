"""Compare all combinations of priors and guides of the rectifying vector."""

from __future__ import annotations

import re
import sys

import numpy as np
from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, by_method, config, grid, main, spread
from study.benches import clean_labels, noise

PRIORS = {
    "PriorNetwork": ("--method.model.prior.hidden", "[128,64]"),
    "StandardNormal": (),
    "LearnedNormal": (),
    "MixtureOfNormals": (),
    "VampPrior": (),
    "MaskedGuide": (),
}
GUIDES = ("DiagonalNormal", "LowRankNormal", "NormalisingFlow")


def cells(bench: Bench) -> list[Cell]:
    """Return all pairs under flip noise; VampPrior requires DiagonalNormal, because its components are diagonal."""
    shared = bench.setting(*noise("Flip", 0.4), *clean_labels(100), *config("vri_vector"))
    settings = {
        prior: (*shared, "--method.model.prior", f"vri_pyro.models.{prior}", *further)
        for prior, further in PRIORS.items()
    }
    methods = {
        guide: ("--method.guide", f"vri_pyro.guides.{guide}", "--method.guide.hidden", "[128,64]") for guide in GUIDES
    }
    pairs = grid(settings, methods)
    return [pair for pair in pairs if pair.setting != "VampPrior" or pair.method == "DiagonalNormal"]


def report(records: Records) -> Page:
    """Report the accuracies as a table and as a heat map."""
    means = np.array(
        [
            [np.mean(list(records.accuracies(guide, prior).values()) or [np.nan]) for prior in records.settings]
            for guide in records.methods
        ]
    )
    figure = Figure(figsize=(9, 3.4))
    axis = figure.subplots()
    image = axis.imshow(means, cmap="cividis", aspect="auto")
    middle = (np.nanmin(means) + np.nanmax(means)) / 2
    for (row, column), value in np.ndenumerate(means):
        if not np.isnan(value):
            text = spread(records.accuracies(records.methods[row], records.settings[column])).replace(" ± ", "\n± ")
            axis.text(column, row, text, ha="center", va="center", color="black" if value > middle else "white")
    axis.set_xticks(range(len(records.settings)), [in_lines(prior) for prior in records.settings])
    axis.set_yticks(range(len(records.methods)), [in_lines(guide) for guide in records.methods])
    axis.grid(visible=False)
    figure.colorbar(image, label="test accuracy (%)")
    about = "VRI's vector model under flip 40%. Rows are guides, columns are priors."
    return Page("Test accuracy (%) by guide and prior", [by_method(records), about], figure)


def in_lines(name: str) -> str:
    """Break a class name into lines, one word per line."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name)


STUDY = Study("guides_and_priors", __doc__, cells, report)

if __name__ == "__main__":
    sys.exit(main(STUDY))
