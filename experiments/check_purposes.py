"""Which labels to check next: three rounds of checks for each purpose, next to what one would do without scores.

    python experiments/check_purposes.py [--features FOLDER] [--seeds 0 1] [--output FILE]

A simulated annotator answers 100 checks a round, on five data sets with a noise each and ten trusted labels a
class. After each round, the labels are judged again by ``find_label_issues``, which is told the answers.

* Mend: the share of the wrong labels that has been found.
* Measure: the width of the certified 95% interval of the share of wrong labels, in points, with the scores of before
  the first check.
* Teach: the test accuracy of a network with one hidden layer that learns T (``VRIClassifier("learned_transition")``),
  to which the answers are verified labels. "Hypergradient" takes the labels whose answer is expected to lower the
  loss of the trusted examples most. A gradient step on log p(c | x) of an example lowers that loss at the rate of the
  product of both gradients, here those of a linear head; the gain is the probability that the label is wrong, times
  the rate with the most probable other class minus the rate with the label as given.

Finished cells are kept in the records file; repeat the command to go on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from bench.labelled import examples
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from study.page import COLOURS, STYLE

from vri_pyro import VRIClassifier, find_label_issues
from vri_pyro.backbones import MLP
from vri_pyro.certification import Checks, Population, certify, order_to_mend, order_to_teach
from vri_pyro.data.noise import InstanceDependent, LabelNoise, PairFlip, UniformExclusive
from vri_pyro.utils.files import write_atomically

RESULTS = Path(__file__).parent / "results" / "check_purposes.json"
SETS: dict[str, LabelNoise] = {
    "mid": PairFlip(0.4),
    "clusters": InstanceDependent(0.3),
    "digits": UniformExclusive(0.4),
    "cifar10": InstanceDependent(0.4),
    "fashion_mnist": PairFlip(0.4),
}
TRUSTED, BUDGET, ROUNDS, TEST = 10, 100, 3, 0.3
WAYS = {
    "mend": ("score", "cross-validated self-confidence", "random"),
    "measure": ("with scores", "without"),
    "teach": ("score × uncertainty", "score", "uncertainty", "hypergradient", "random"),  # noqa: RUF001
}
UNITS = {
    "mend": "wrong labels found (%)",
    "measure": "width of the certified interval (points)",
    "teach": "test accuracy (%)",
}


class Data:
    """A noisy data set with an annotator.

    Attributes:
        x, truth, given: examples to train on, their classes and their labels.
        trusted: positions of the labels that are trusted from the start.
        x_test, y_test: test set.
    """

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        random = np.random.default_rng([seed, list(SETS).index(name)])
        x, truth = examples(name, random, folder)
        order = random.permutation(len(x))
        test, rest = np.split(order, [int(TEST * len(x))])
        self.x, self.truth, self.x_test, self.y_test = x[rest], truth[rest], x[test], truth[test]
        self.classes = int(truth.max()) + 1
        noise = SETS[name].apply(self.truth, self.x, self.classes, random)
        members = [np.flatnonzero(self.truth == label)[:TRUSTED] for label in range(self.classes)]
        self.trusted = np.concatenate(members)
        self.given = noise.labels.copy()
        self.given[self.trusted] = self.truth[self.trusted]

    def answers(self, checked: np.ndarray) -> np.ndarray | None:
        """Return the answers, -1 where there are none, int64 [N]; None if nothing was checked."""
        return np.where(np.isin(np.arange(len(self.x)), checked), self.truth, -1) if len(checked) else None

    def judged(self, checked: np.ndarray) -> pd.DataFrame:
        """Judge the labels, of which some were checked, in the order of the examples."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # checked because they look suspicious
            found = find_label_issues(
                self.given,
                features=self.x,
                trusted=self.trusted,
                verified=self.answers(checked),
                classes=list(range(self.classes)),
            )
        return found.sort_values("index")

    def free(self, checked: np.ndarray) -> np.ndarray:
        """Return which labels can still be checked, bool [N]."""
        found = np.ones(len(self.x), dtype=bool)
        found[np.concatenate([self.trusted, checked]).astype(int)] = False
        return found


def mend(data: Data, way: str, seed: int) -> list[float]:
    """Return the share of the wrong labels that is found after each round, in percent."""
    random, checked, found = np.random.default_rng(seed), np.zeros(0, dtype=int), []
    wrong = data.given != data.truth
    for _ in range(ROUNDS):
        if way == "score":
            order = order_to_mend(data.judged(checked)["score"].to_numpy())
        elif way == "random":
            order = random.permutation(len(wrong))
        else:
            labels = np.where(np.isin(np.arange(len(wrong)), checked), data.truth, data.given)
            p = cross_val_predict(LogisticRegression(max_iter=200), data.x, labels, cv=5, method="predict_proba")
            order = p[np.arange(len(labels)), labels].argsort()
        checked = np.concatenate([checked, order[data.free(checked)[order]][:BUDGET]])
        found.append(100 * float(wrong[checked].sum() / wrong.sum()))
    return found


def measure(data: Data, way: str, seed: int) -> list[float]:
    """Return the width of the certified interval after each round, in points."""
    free = np.flatnonzero(data.free(np.zeros(0)))
    score = data.judged(np.zeros(0))["score"].to_numpy()[free]
    if way == "without":
        score = np.full(len(free), score.mean())
    drawn = np.random.default_rng(seed).permutation(len(free))[: BUDGET * ROUNDS]
    found = []
    for count in range(BUDGET, BUDGET * ROUNDS + 1, BUDGET):
        checks = Checks.random_sample(len(free), drawn[:count], data.truth[free][drawn[:count]])
        rate = certify(Population(given=data.given[free], score=score), checks).rate
        found.append(100 * (rate.high - rate.low))
    return found


def teach(data: Data, way: str, seed: int) -> list[float]:
    """Return the test accuracy before the first and after each round, in percent."""
    random, checked = np.random.default_rng(seed), np.zeros(0, dtype=int)
    found = [accuracy(data, checked, seed)]
    for _ in range(ROUNDS):
        by_chance = way == "random"
        order = random.permutation(len(data.x)) if by_chance else teaching_order(data, data.judged(checked), way)
        checked = np.concatenate([checked, order[data.free(checked)[order]][:BUDGET]])
        found.append(accuracy(data, checked, seed))
    return found


def teaching_order(data: Data, table: pd.DataFrame, way: str) -> np.ndarray:
    """Return the order in which labels are checked, int64 [N]."""
    score, uncertainty = table["score"].to_numpy(), table["uncertainty"].to_numpy()
    if way == "score":
        return order_to_mend(score)
    if way == "uncertainty":
        return np.argsort(-uncertainty, kind="stable")
    if way == "hypergradient":
        return np.argsort(-expected_gain(data, table), kind="stable")
    return order_to_teach(score, uncertainty)


def expected_gain(data: Data, table: pd.DataFrame) -> np.ndarray:
    """Return by how much a check is expected to lower the loss of the trusted examples, [N], in a linear head."""
    suggested, score = table["suggested"].to_numpy().astype(int), table["score"].to_numpy()
    head = LogisticRegression(max_iter=200).fit(data.x, suggested)
    p = head.predict_proba(data.x)
    every = np.zeros((len(p), data.classes))
    every[:, head.classes_] = p
    residual = np.eye(data.classes)[data.truth[data.trusted]] - every[data.trusted]
    inputs = np.hstack([data.x, np.ones((len(data.x), 1))])
    along = inputs @ (inputs[data.trusted].T @ residual)  # g of log-likelihoods, applied to each input, [N, K]
    # ∇ log p(c | x) = (e_c − p) x, so only the part of the label differs between labels of an example.
    rows = np.arange(len(p))
    other = np.where(suggested == data.given, every_other(every, data.given), suggested)
    return np.asarray(score * (along[rows, other] - along[rows, data.given]))


def every_other(p: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the most probable class other than the given label, int64 [N]."""
    rest = p.copy()
    rest[np.arange(len(p)), given] = -1
    return np.asarray(rest.argmax(1))


def accuracy(data: Data, checked: np.ndarray, seed: int) -> float:
    """Train a network to which the answers are trusted labels; return its test accuracy in percent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = VRIClassifier("learned_transition", backbone=network, device="cpu", random_state=seed)
        classifier.fit(data.x, data.given, trusted=data.trusted, verified=data.answers(checked))
    return 100 * float(classifier.score(data.x_test, data.y_test))


def network(input_shape: tuple[int, ...], num_classes: int) -> MLP:
    """Build the network of all purposes."""
    return MLP(input_shape, num_classes, hidden=(64,))


CURVES = {"mend": mend, "measure": measure, "teach": teach}


def page(records: list[dict[str, Any]], seeds: list[int]) -> str:
    """Return the results as Markdown."""
    lines = [
        "# Which labels to check next",
        "",
        f"By `python experiments/check_purposes.py --seeds {' '.join(map(str, seeds))}`, from the records in the JSON "
        "file of this name.",
        "",
    ]
    lines += ["\n\n".join((__doc__ or "").strip().split("\n\n")[2:]), "", "![Curves](check_purposes.png)", ""]
    for purpose, ways in WAYS.items():
        lines += [f"## {purpose.capitalize()}: {UNITS[purpose]}", ""]
        head = ["data", *ways]
        lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * len(ways)]
        for name in (*SETS, "mean"):
            row = [name]
            for way in ways:
                found = [
                    r["curve"]
                    for r in records
                    if r["purpose"] == purpose and r["way"] == way and name in (r["data"], "mean")
                ]
                row.append(", ".join(f"{value:.1f}" for value in np.mean(found, axis=0)) if found else "")
            lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    lines.append("Values after each round, and for teach before the first one as well; means over the seeds.")
    return "\n".join(lines) + "\n"


def picture(records: list[dict[str, Any]]) -> Figure:
    """Draw the mean curves of every purpose."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axis, (purpose, ways) in zip(figure.subplots(1, 3), WAYS.items(), strict=True):
        for way, colour in zip(ways, COLOURS, strict=False):
            found = [r["curve"] for r in records if r["purpose"] == purpose and r["way"] == way]
            if found:
                mean = np.mean(found, axis=0)
                axis.plot(
                    BUDGET * np.arange(ROUNDS + 1)[-len(mean) :], mean, "o-", color=colour, label=way, markersize=3
                )
        axis.set(title=purpose.capitalize(), xlabel="checks")
        axis.set_ylabel(UNITS[purpose], fontsize=8)
        if axis.lines:
            axis.legend(fontsize=7)
    return figure


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, and write the page and the picture; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=Path("data"), help="folder of the frozen features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--data", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--purposes", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    records = json.loads(options.output.read_text()) if options.output.exists() else []
    done = {(r["purpose"], r["way"], r["data"], r["seed"]) for r in records}
    for seed in options.seeds:
        for name in options.data:
            data = None
            for purpose in options.purposes:
                for way in WAYS[purpose]:
                    if (purpose, way, name, seed) in done:
                        continue
                    data = data or Data(name, seed, options.features)
                    curve = CURVES[purpose](data, way, seed)
                    records.append({"purpose": purpose, "way": way, "data": name, "seed": seed, "curve": curve})
                    write_atomically(options.output, json.dumps(records).encode())
                    print(records[-1], flush=True)
    with mpl.rc_context(STYLE):
        picture(records).savefig(options.output.with_suffix(".png"))
    write_atomically(options.output.with_suffix(".md"), page(records, options.seeds).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
