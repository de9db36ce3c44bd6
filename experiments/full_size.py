"""Full-size CIFAR-10: 48,800 noisy images of 32 pixels, with augmentation, three noises.

The network is a ResNet-8 that is trained for 15 epochs, so that a run of VRI takes about an hour of one core. The
learned T and ELR with a clean batch are those peers that were best on images where nothing was tuned. A hundred labels
a class are clean. Optimiser and schedule are those of the comparisons of small images; nothing was tuned here.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from study import Bench, Cell, Page, Records, Study, by_method, config, grid, main
from study.benches import AVERAGED, CIFAR10, SYNTHETIC, noise, sgd

FULL = replace(
    CIFAR10,
    options=(
        *("--split.clean_per_class", "100", "--split.validation_per_class", "20", "--epochs", "15"),
        *("--backbone", "vri_pyro.backbones.CIFARResNet", "--backbone.depth", "8"),
        *("--augmentation", "vri_pyro.data.Weak", "--clean_augmentation", "vri_pyro.data.Weak"),
    ),
    optimizer=sgd(0.1, 0.9),
    schedule=AVERAGED,
    nets={},
)
NOISES = {"flip 40%": ("Flip", 0.4), "uniform 60%": ("UniformExclusive", 0.6), "pair flip 45%": ("PairFlip", 0.45)}
METHODS = {
    "VRI": config("vri"),
    "learned T + clean batch": config("learned_transition", "--method.clean_weight", "0.2"),
    "ELR + clean batch": config("elr", "--method.clean_weight", "0.2"),
    "cross entropy": config("cross_entropy"),
}


def cells(bench: Bench) -> list[Cell]:
    """Return every method under every noise."""
    return grid({name: bench.setting(*noise(*kind)) for name, kind in NOISES.items()}, METHODS)


def report(records: Records) -> Page:
    """Report the accuracies."""
    parts = [by_method(records), "The picture shows the accuracy after each epoch."]
    return Page("Test accuracy (%) on CIFAR-10 at full size", parts, _curves(records))


def _curves(records: Records) -> Figure:
    figure = Figure(figsize=(9, 3.2))
    for axis, setting in zip(np.atleast_1d(figure.subplots(1, len(records.settings))), records.settings, strict=True):
        for method in records.methods:
            for seed, curve in enumerate(records.curves(method, setting, "test_accuracy")):
                axis.plot(range(1, len(curve) + 1), curve, label=None if seed else method)
        axis.set(title=setting, xlabel="epoch", ylabel="test accuracy (%)")
    axis.legend()
    return figure


BENCHES = {"small": (FULL,), "tiny": (SYNTHETIC,)}
STUDY = Study("full_size", __doc__, cells, report, benches=BENCHES, seeds=(0,))

if __name__ == "__main__":
    sys.exit(main(STUDY))
