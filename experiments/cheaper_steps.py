"""Accuracy of training with cheaper steps: late updates, rarer updates of guide and prior, smaller clean batches.

Every setting is trained with exact steps and with each cheaper option, once with the default VRI and once with the
vector alone. Differences to the exact steps are paired by setting and seed. After each run, the cost of its step is
measured: steps of the run and plain SGD steps of the same network on the same batch take turns, in process CPU time.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import torch
import yaml
from study import (
    FASHION_MNIST_14,
    SCALES,
    Bench,
    Cell,
    Options,
    Page,
    Records,
    Study,
    by_method,
    config,
    main,
    markdown_table,
    paired_difference,
    recorded,
)
from study.benches import Digits, clean_labels, noise
from study.figures import accuracy_figure
from study.statistics import Estimate
from torch.nn import functional as F

from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

EXACT = "exact"
STEPS: dict[str, Options] = {
    EXACT: (),
    "late": ("--method.late", "true"),
    "every 2nd step": ("--method.outer_every", "2"),
    "every 4th step": ("--method.outer_every", "4"),
    "every 8th step": ("--method.outer_every", "8"),
    "late, every 4th step": ("--method.late", "true", "--method.outer_every", "4"),
    "clean batch of 25": ("--clean_batch_size", "25"),
}
TRAININGS = {"default": recorded("vri"), "vector": config("vri_vector")}
FLIP = {"flip 40%": noise("Flip", 0.4)}
NOISES = {"digits": FLIP | {"instance 40%": noise("InstanceDependent", 0.4)}}
SHORT: Options = ("--backbone", "vri_pyro.backbones.MLP", "--evaluate_every", "20", "--split.validation_per_class", "3")
BENCHES = {
    "small": (
        Digits(
            title="digits",
            data=None,
            side=8,
            foreign=(),
            options=(*SHORT, "--epochs", "15"),
            optimizer=FASHION_MNIST_14.optimizer,
            schedule=FASHION_MNIST_14.schedule,
        ),
        replace(FASHION_MNIST_14, options=(*SHORT, "--split.noisy_size", "2000", "--epochs", "10")),
    ),
    "tiny": SCALES["tiny"],
}
ROUNDS, CYCLE = 7, 8  # rounds of timing; steps of a round, a multiple of every outer_every
TOLERATED = 0.5  # points of accuracy in the mean that count as no loss
UNIT = 5  # plain SGD steps per bi-level step in a round, because they are much shorter


def cells(bench: Bench) -> list[Cell]:
    """Return every kind of step with both trainings under the noises of a bench, with ten clean labels per class."""
    return [
        Cell(f"{training}, {bench.title}, {label}", steps, (*setting, *method, *options))
        for label, about in NOISES.get(bench.title, FLIP).items()
        for training, method in TRAININGS.items()
        for setting in [bench.setting(*about, *clean_labels(10))]
        for steps, options in STEPS.items()
    ]


def measure(folder: RunFolder) -> dict[str, Any]:
    """Measure the cost of the run's step in plain SGD steps, averaged over a cycle of steps."""
    run, configuration = Run(folder.path), yaml.safe_load(folder.config.read_text())
    algorithm, sizes = run.algorithm, [configuration[name] for name in ("batch_size", "clean_batch_size")]
    assert isinstance(algorithm, BilevelSVI)
    parts = run.split.noisy_indices, run.split.clean_indices
    noisy, clean = (run.examples.batch(part[:size]) for part, size in zip(parts, sizes, strict=True))
    classifier = copy.deepcopy(algorithm.classifier)
    for network in (classifier, algorithm.classifier, algorithm.model, algorithm.guide):
        network.train()
    optimizer = torch.optim.SGD(classifier.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def plain() -> None:
        F.cross_entropy(classifier(noisy.x).logits, noisy.y).backward()
        optimizer.step()
        optimizer.zero_grad()

    ratios = []
    for _ in range(ROUNDS + 1):  # the first round warms up
        own = _seconds(lambda: algorithm.step(noisy, clean), CYCLE)
        ratios.append(own / CYCLE / (_seconds(plain, UNIT * CYCLE) / UNIT / CYCLE))
    return {"plain_steps": median(ratios[1:])}


def _seconds(step: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        step()
    return time.process_time() - began


def report(records: Records) -> Page:
    """Report accuracies, differences to exact steps, and costs."""
    columns = {setting: setting.replace(", ", "<br>", 1) for setting in records.settings}
    accuracies = by_method(records, columns=columns)
    head = ["step", *(f"{training}: {what}" for training in TRAININGS for what in ("points", "95% interval", "cost"))]
    rows = []
    for steps in records.methods:
        row: list[object] = [steps]
        for training in TRAININGS:
            lost = difference(records, steps, training)
            row += ["–", "–"] if lost is None or steps == EXACT else [f"{lost.value:+.2f}", lost.interval]  # noqa: RUF001
            row.append(f"{cost(records, steps, training):.2f}")
        rows.append(row)
    about = (
        "Differences in test accuracy to exact steps, paired by setting and seed. The cost is the median over runs of "
        "the time of a step in plain SGD steps of the same small network, where Python's overhead dominates; "
        "[step_cost.md](step_cost.md) has the costs for deep networks. Ten clean labels per class, so that an ordinary "
        "clean batch is the whole clean set."
    )
    parts = ["Test accuracy (%), last epoch:", accuracies, about, markdown_table(head, rows), *recommended(records)]
    return Page("Accuracy and cost of cheaper steps", parts, accuracy_figure(records))


def difference(records: Records, steps: str, training: str) -> Estimate | None:
    """Estimate how many points of accuracy a kind of step gains over exact steps."""
    return paired_difference(*(_accuracies(records, name, training) for name in (steps, EXACT)))


def _accuracies(records: Records, steps: str, training: str) -> Mapping[tuple[str, int], float]:
    return {
        (setting, seed): accuracy
        for setting in _settings(records, training)
        for seed, accuracy in records.accuracies(steps, setting).items()
    }


def _settings(records: Records, training: str) -> list[str]:
    return [setting for setting in records.settings if setting.startswith(f"{training}, ")]


def cost(records: Records, steps: str, training: str) -> float:
    """Return the cost of a step in plain SGD steps, the median over runs."""
    settings = _settings(records, training)
    found = [record["measured"]["plain_steps"] for s in settings for record in records.of(steps, s).values()]
    return median(found) if found else float("nan")


def recommended(records: Records) -> list[str]:
    """Name for each training the cheapest kind of step that loses no accuracy; see :data:`TOLERATED`."""
    told = []
    for training in TRAININGS:
        gained = {steps: difference(records, steps, training) for steps in records.methods}
        safe = [steps for steps, gain in gained.items() if gain is not None and _loses_nothing(gain)]
        if safe:
            cheapest = min(safe, key=lambda steps: cost(records, steps, training))
            told.append(
                f"{training}: the cheapest step that loses no accuracy is **{cheapest}**. Loses no accuracy means: the "
                f"95% interval includes 0 or gains, and the mean loss is at most {TOLERATED} points."
            )
    return told


def _loses_nothing(gain: Estimate) -> bool:
    return gain.value >= -TOLERATED and not gain.high < 0


STUDY = Study("cheaper_steps", __doc__, cells, report, benches=BENCHES, measure=measure)

if __name__ == "__main__":
    sys.exit(main(STUDY))
