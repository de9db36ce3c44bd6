"""Coverage and size of prediction sets that are calibrated on trusted labels, on noisy labels, and on corrected ones.

    python experiments/prediction_sets.py

A logistic regression is trained on noisy labels of digits and of Gaussian classes of three difficulties. Its
predictions of other examples are calibrated for a coverage of 90%, on

* 100 trusted labels,
* noisy labels as if they were true,
* noisy labels corrected by their true transition matrix,
* noisy labels corrected by the posterior of the transition matrix, which is estimated from further noisy labels and
  10 trusted labels a class, as by ``vri-pyro issues``.

Noise and classifier are drawn 8 times per cell, and the other examples are divided 25 times into labels for calibration
and new inputs. The coverage of the new inputs is compared with the distribution that the theory gives. An interrupted
run continues where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from scipy.stats import betabinom
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from vri_pyro.calibration import HeldOut, PredictionSets, fit_temperature, prediction_sets
from vri_pyro.data import generator_for
from vri_pyro.data.noise import Flip, InstanceDependent, LabelNoise, PairFlip, UniformExclusive
from vri_pyro.diagnostics.calibration import calibration
from vri_pyro.label_issues import joint_posterior
from vri_pyro.label_issues.cross_fitting import cross_fitted
from vri_pyro.label_issues.head_candidates import head_candidates
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.provenance import provenance

RESULTS = Path(__file__).parent / "results" / "prediction_sets.json"
COVERAGE, CLASSES, TRUSTED = 0.9, 10, 100
DRAWS = 20  # of the transition matrix

Labelled = tuple[np.ndarray, np.ndarray]


class Sizes(NamedTuple):
    """Numbers of examples: for training, for the posterior of T, noisy labels for calibration, and in all."""

    train: int
    reference: int
    noisy: int
    total: int


def gaussians(distance: float) -> Callable[[np.random.Generator, int], Labelled]:
    """Return a function that draws Gaussian classes in 20 dimensions, with means on a sphere."""

    def draw(generator: np.random.Generator, count: int) -> Labelled:
        means = np.random.default_rng(0).standard_normal((CLASSES, 20))
        means *= distance / np.linalg.norm(means, axis=1, keepdims=True)
        true = generator.integers(CLASSES, size=count)
        return means[true] + generator.standard_normal((count, 20)), true

    return draw


def digits(generator: np.random.Generator, count: int) -> Labelled:
    """Return the digits of scikit-learn in a random order."""
    x, y = load_digits(return_X_y=True)
    order = generator.permutation(len(y))[:count]
    return x[order] / 16, y[order]


DATA: dict[str, tuple[Callable[[np.random.Generator, int], Labelled], Sizes]] = {
    "digits": (digits, Sizes(500, 400, 400, 1797)),
    "Gaussian, easy": (gaussians(4.5), Sizes(1000, 1500, 1000, 7000)),
    "Gaussian, medium": (gaussians(3.0), Sizes(1000, 1500, 1000, 7000)),
    "Gaussian, hard": (gaussians(2.0), Sizes(1000, 1500, 1000, 7000)),
}
NOISES: dict[str, LabelNoise] = {
    "uniform 40%": UniformExclusive(0.4),
    "pairs 40%": PairFlip(0.4),
    "flips 40%": Flip(0.4),
    "instance 40%": InstanceDependent(0.4),
}
METHODS: dict[str, dict[str, Any]] = {
    "trusted labels": {},
    "trusted labels, aps": {"score": "aps", "randomise": True},
    "noisy labels taken as true": {},
    "corrected, T known": {},
    "corrected, T known, aps": {"score": "aps", "randomise": True},
    "corrected, posterior of T": {},
}


class Drawn(NamedTuple):
    """A draw of noise and classifier: predictions, true and given labels of the examples that were not trained on."""

    probabilities: np.ndarray
    true: np.ndarray
    given: np.ndarray
    transition: np.ndarray
    posterior: np.ndarray


def drawn(cell: tuple[str, str], seed: int) -> Drawn:
    """Draw noise, train the classifier and estimate the transition matrix."""
    (source, sizes), noise = DATA[cell[0]], NOISES[cell[1]]
    x, true = source(generator_for(seed, "data"), sizes.total)
    made = noise.apply(true, x.astype(np.float32), CLASSES, generator_for(seed, "noise"))
    assert made.transition is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=0.1, max_iter=200).fit(x[: sizes.train], made.labels[: sizes.train])
    p, rest = model.predict_proba(x), slice(sizes.train + sizes.reference, None)
    known = slice(sizes.train, sizes.train + sizes.reference)
    few = np.concatenate([np.flatnonzero(true[known] == k)[:10] for k in range(CLASSES)])
    trusted = np.isin(np.arange(sizes.reference), few)
    labels = Labels(np.where(trusted, true[known], made.labels[known]), trusted)
    evidence = head_candidates(cross_fitted(x[known], labels, CLASSES, seed), labels)
    found = joint_posterior(evidence.at(~trusted), CLASSES, evidence.at(trusted), draws=DRAWS, seed=seed)
    return Drawn(p[rest], true[rest], made.labels[rest], made.transition, found.transition.transition.numpy())


def splits(one: Drawn, sizes: Sizes, count: int, seed: int) -> Iterator[tuple[dict[str, HeldOut], np.ndarray]]:
    """Yield the labels for calibration by method, and the positions of the new inputs."""
    generator = generator_for(seed, "splits")
    for _ in range(count):
        order = generator.permutation(len(one.true))
        few, noisy, new = order[:TRUSTED], order[TRUSTED : TRUSTED + sizes.noisy], order[TRUSTED + sizes.noisy :]
        trusted = HeldOut(one.probabilities[few], one.true[few])
        p, given = one.probabilities[noisy], one.given[noisy]
        corrected = HeldOut(p, given, one.transition)
        yield (
            {
                "trusted labels": trusted,
                "trusted labels, aps": trusted,
                "noisy labels taken as true": HeldOut(p, given),
                "corrected, T known": corrected,
                "corrected, T known, aps": corrected,
                "corrected, posterior of T": HeldOut(p, given, one.posterior),
            },
            new,
        )


def measured(sets: PredictionSets, probabilities: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return coverage and mean size of the sets of new inputs, and whether the coverage is in the theory's 95% range.

    The number of covered inputs has the beta-binomial distribution, asymptotically for noisy labels.
    """
    found = sets(probabilities)
    covered, count = int(found[np.arange(len(true)), true].sum()), float(sets.labels[0])
    place = math.ceil((count + 1) * COVERAGE - 1e-7) if sets.trusted else (count + 1) * COVERAGE
    theory = betabinom(len(true), place, count + 1 - place)
    return {
        "coverage": covered / len(true),
        "size": float(found.sum(1).mean()),
        "in range": float(min(theory.cdf(covered), theory.sf(covered - 1)) >= 0.025),
        "worth": count,
    }


def cell_results(cell: tuple[str, str], draws: int, repeats: int) -> dict[str, Any]:
    """Measure all methods in a cell: means over the calibrations, and the standard deviation of the coverage."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    refused, errors, accuracy = dict.fromkeys(METHODS, 0), [], []
    for seed in range(draws):
        one = drawn(cell, seed)
        accuracy.append((one.probabilities.argmax(1) == one.true).mean())
        for number, (held_out, new) in enumerate(splits(one, DATA[cell[0]][1], repeats, seed)):
            p, true = one.probabilities[new], one.true[new]
            for name, options in METHODS.items():
                again = {"seed": 1000 * seed + number} if "randomise" in options else {}
                try:
                    sets = prediction_sets(held_out[name], COVERAGE, allow_empty=True, **options, **again)
                except UserError:
                    refused[name] += 1
                    continue
                found[name].append(measured(sets, p, true))
            if number == 0:
                errors.append(
                    [_error(p, true), *(_error(fit_temperature(held_out[name])(p), true) for name in CALIBRATED)]
                )
    return {
        "data": cell[0],
        "noise": cell[1],
        "accuracy": float(np.mean(accuracy)),
        "methods": {name: _summary(some, refused[name]) for name, some in found.items()},
        "calibration error": dict(zip(("as predicted", *CALIBRATED), np.mean(errors, axis=0).tolist(), strict=True)),
    }


CALIBRATED = ("trusted labels", "noisy labels taken as true", "corrected, posterior of T")


def _error(probabilities: np.ndarray, true: np.ndarray) -> float:
    return calibration(torch.from_numpy(probabilities), torch.from_numpy(true)).ece


def _summary(some: list[dict[str, float]], refused: int) -> dict[str, float]:
    if not some:
        return {"calibrations": 0, "refused": refused}
    mean = {name: float(np.mean([one[name] for one in some])) for name in some[0]}
    spread = float(np.std([one["coverage"] for one in some]))
    return {"calibrations": len(some), "refused": refused, **mean, "spread": spread}


def page(cells: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    lines = [
        "# Prediction sets",
        "",
        "Made by `python experiments/prediction_sets.py`, which says how. "
        f"The coverage asked for is {COVERAGE:.0%}. Empty sets are allowed, so "
        "that the coverage of accurate classifiers is not larger than asked for. ± is the standard deviation over "
        "calibrations; *in range* is the share of calibrations whose coverage is in the 95% range of the theory "
        "(beta-binomial; asymptotic for corrected labels, with T known); *worth* is the number of trusted labels that "
        "would tell as much about the coverage.",
        "",
        "| data | noise | accuracy | calibrated on | coverage (%) | in range (%) | mean size | worth |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for cell in cells:
        for name, one in cell["methods"].items():
            told = f"| {cell['data']} | {cell['noise']} | {100 * cell['accuracy']:.1f} | {name} | "
            if not one["calibrations"]:
                lines.append(f"{told}refused | | | |")
                continue
            some = f", {one['refused']} refused" if one["refused"] else ""
            lines.append(
                f"{told}{100 * one['coverage']:.1f} ± {100 * one['spread']:.1f}{some} | {100 * one['in range']:.0f} | "
                f"{one['size']:.2f} | {one['worth']:.0f} |"
            )
    lines += [
        "",
        "Expected calibration error (%) of the probabilities, as predicted and with a temperature fitted on labels:",
        "",
        f"| data | noise | as predicted | {' | '.join(CALIBRATED)} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for cell in cells:
        shown = " | ".join(f"{100 * value:.1f}" for value in cell["calibration error"].values())
        lines.append(f"| {cell['data']} | {cell['noise']} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print and write the results; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--draws", type=int, default=8, help="draws of noise and classifier")
    parser.add_argument("--splits", type=int, default=25, help="calibrations per draw")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {"draws": options.draws, "splits": options.splits, "coverage": COVERAGE}
    cells = finished(options.output, sizes)
    for cell in ((data, noise) for data in options.data for noise in options.noises):
        if cell not in cells:
            cells[cell] = cell_results(cell, options.draws, options.splits)
            Console().print(page([cells[cell]]), highlight=False, soft_wrap=True)
            write(options.output, sizes, [cells[place] for place in itertools.product(DATA, NOISES) if place in cells])
    return 0


def finished(output: Path, sizes: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the cells of an earlier, interrupted call with the same sizes."""
    found = json.loads(output.read_text()) if output.exists() else {}
    return {(one["data"], one["noise"]): one for one in found.get("cells", []) if found["sizes"] == sizes}


def write(output: Path, sizes: dict[str, Any], cells: list[dict[str, Any]]) -> None:
    """Write the results and their page."""
    output.parent.mkdir(parents=True, exist_ok=True)
    content = {"sizes": sizes, "cells": cells, "made_by": provenance(torch.device("cpu"))}
    write_atomically(output, (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(output.with_suffix(".md"), page(cells).encode())


if __name__ == "__main__":
    sys.exit(main())
