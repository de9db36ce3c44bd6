"""Rounds of label repair: how fast do wrong labels disappear, and what does the next run gain?

In every round, an annotator gives the true labels of the most suspicious tenth of the noisy labels. These labels join
the clean set, as with ``vri-pyro relabel``, and the next run is trained from scratch on the new split. The orders are

* vri_pyro: the score ``combined`` of the last run, as in ``vri-pyro issues``;
* cleanlab: its score self-confidence, from the class probabilities of the last run. This gives cleanlab the same
  classifier; it was trained on these labels, so the probabilities are not out of sample;
* random.

All orders start from the same run and split. All runs use the default VRI with three clean labels per class at the
start. 40% of the other labels are flipped to one other class.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from matplotlib.figure import Figure
from study import (
    FASHION_MNIST_14,
    SCALES,
    Bench,
    Cell,
    Options,
    Page,
    Records,
    Study,
    StudyRun,
    Workshop,
    grid,
    main,
    markdown_table,
    recorded,
    spread,
)
from study.benches import Digits, clean_labels, noise
from study.execution import Outcome

from vri_pyro.cli.main import main as vri_pyro
from vri_pyro.data import generator_for, permutation
from vri_pyro.label_issues import evidence_of, rank
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

ROUNDS = 3
SHARE = 0.1  # of the noisy labels at the start, reviewed in each round

MLP: Options = ("--backbone", "vri_pyro.backbones.MLP", "--evaluate_every", "20")
BENCHES = {
    "small": (
        Digits(
            title="digits",
            data=None,
            side=8,
            foreign=(),
            options=(*MLP, "--split.validation_per_class", "3", "--epochs", "15"),
            optimizer=FASHION_MNIST_14.optimizer,
            schedule=FASHION_MNIST_14.schedule,
        ),
        replace(
            FASHION_MNIST_14,
            options=(*MLP, "--split.noisy_size", "2000", "--split.validation_per_class", "10", "--epochs", "10"),
        ),
    ),
    "tiny": SCALES["tiny"],
}


def cells(bench: Bench) -> list[Cell]:
    """Return the default VRI with three clean labels per class."""
    setting = bench.setting(*noise("Flip", 0.4), *clean_labels(3))
    return grid({bench.title: setting}, {"VRI": (*recorded("vri"), *bench.optimizer)})  # short runs need the momentum


def by_combined_score(run: Run, seed: int) -> np.ndarray:
    """Order the noisy examples by the probability that their labels are wrong, as ``vri-pyro issues``."""
    return rank(evidence_of(run, run.split.noisy_indices), seed=seed).order().numpy()


def by_cleanlab(run: Run, seed: int) -> np.ndarray:
    """Order the noisy examples by cleanlab's self-confidence from the run's class probabilities."""
    with torch.no_grad():
        logits = [run.predictor(batch.x).logits for batch in run.examples.in_order(run.split.noisy_indices, 1000)]
    probabilities = torch.cat(logits).double().softmax(-1).numpy()
    quality = get_label_quality_scores(run.split.given_labels, probabilities, method="self_confidence")
    return np.argsort(quality, kind="stable")


def at_random(run: Run, seed: int) -> np.ndarray:
    """Return the noisy examples in a random order."""
    return permutation(generator_for(seed, "repair at random"), len(run.split.noisy_indices))


ORDERS: dict[str, Callable[[Run, int], np.ndarray]] = {
    "vri_pyro": by_combined_score,
    "cleanlab": by_cleanlab,
    "random": at_random,
}


class Failed(Exception):
    """A run of a round has failed; has its exit status."""


class Repair(Workshop):
    """Trains a first run and, for each order, the runs after every round of repair."""

    def perform(self, run: StudyRun) -> Outcome:
        """Train all rounds and store their results in one record."""
        place, began, cpu = self.scratch / run.place, time.perf_counter(), time.process_time()
        resumed = place.exists()
        try:
            start = self._fit(run, place / "start")
            rounds = {order: self._rounds(run, place, start, order) for order in ORDERS}
        except Failed as failed:
            return Outcome(failed.args[0], None)
        took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        record = self._record(start) | {name: None if resumed else round(value, 2) for name, value in took.items()}
        self.store.write(run, record | {"measured": rounds})
        if not self.keep:
            shutil.rmtree(place)
        return Outcome(0, rounds["vri_pyro"][-1]["accuracy"])

    def _fit(self, run: StudyRun, place: Path, *options: str) -> RunFolder:
        fixed = ["--seed", str(run.seed), "--output", str(place), "--resume", "true", "--quiet", "true"]
        fixed += ["--report", "false", "--threads", "1", "--device", self.device]
        if status := vri_pyro(["fit", *run.options, *options, *fixed]):
            raise Failed(status)
        return RunFolder(place)

    def _rounds(self, run: StudyRun, place: Path, start: RunFolder, order: str) -> list[dict[str, Any]]:
        """Return the results of the first run and of the runs after each round, in one order."""
        folder, found = start, [state(start)]
        count = max(1, round(SHARE * start.read_summary()["split"]["noisy"]))
        for number in range(1, ROUNDS + 1):
            last = Run(folder.path)
            assert last.split.true_labels is not None
            chosen = ORDERS[order](last, 100 * run.seed + number)[:count]
            new = last.split.corrected(last.split.noisy_indices[chosen], last.split.true_labels[chosen])
            new.save(file := place / order / f"round{number}.npz")
            folder = self._fit(run, file.with_suffix(""), "--split.file", str(file))
            found.append(state(folder))
        return found


def state(folder: RunFolder) -> dict[str, float]:
    """Return the number of wrong labels in the noisy set, and the test accuracy (%), of a finished run."""
    summary = folder.read_summary()
    wrong = round(summary["split"]["noisy"] * summary["split"]["realised_rate"])
    return {"wrong": wrong, "accuracy": summary["results"]["last"]}


MEASURES = {"wrong": "wrong labels left", "accuracy": "test accuracy (%), last epoch"}


def report(records: Records) -> Page:
    """Report both measures after every round, by setting and order."""
    parts = [__doc__.split("\n\n", 1)[1].strip()]
    for setting in records.settings:
        for measure, title in MEASURES.items():
            rows = (
                [
                    order,
                    *(
                        spread(some, 0 if measure == "wrong" else 1)
                        for some in values(records, setting, order, measure).T
                    ),
                ]
                for order in ORDERS
            )
            rounds = ["first run", *(f"round {number}" for number in range(1, ROUNDS + 1))]
            parts.append(markdown_table([f"{setting}: {title}", *rounds], rows))
    return Page("Rounds of label repair", parts, drawn(records))


def values(records: Records, setting: str, order: str, measure: str) -> np.ndarray:
    """Return a measure, float [seeds, rounds + 1]."""
    found = records.of("VRI", setting).values()
    return np.array([[one[measure] for one in record["measured"][order]] for record in found], dtype=float)


def drawn(records: Records) -> Figure:
    """Draw the mean of each measure over the rounds, with one standard deviation."""
    count = len(records.settings)
    figure = Figure(figsize=(4.6 * count, 6.4))
    axes = figure.subplots(len(MEASURES), count, squeeze=False, sharex=True)
    for column, setting in enumerate(records.settings):
        for row, (measure, title) in enumerate(MEASURES.items()):
            for number, order in enumerate(ORDERS):
                found = values(records, setting, order, measure)
                deviation = found.std(0, ddof=1) if len(found) > 1 else None
                at = np.arange(ROUNDS + 1) + 0.05 * (number - 1)  # apart, so that the error bars can be told apart
                axes[row, column].errorbar(at, found.mean(0), deviation, label=order, capsize=2)
            axes[row, column].set_ylabel(title)
            axes[row, column].set_xticks(range(ROUNDS + 1))
        axes[0, column].set_title(setting)
        axes[-1, column].set_xlabel("rounds of repair")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


STUDY = Study("repair", __doc__, cells, report, BENCHES, workshop=Repair)

if __name__ == "__main__":
    sys.exit(main(STUDY))
