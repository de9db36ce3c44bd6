"""The numbers about labels: coverage, width, calibration and ranking, of this package and of its alternatives.

    python experiments/label_numbers.py --seed 0 [--cells 20] [--jobs 2] [--output FILE]

Every cell is a data set, a noise, a rate and a number of trusted labels a class. The records file is written after each
cell, and cells that it has are not repeated; a page and a picture are written beside it. The package is given the
features ("ours"), or only predictions of the given labels ("predictions"). With ``--trusted 0 1``, almost nothing is
known about the classifier. Under the noise "open", the examples of the last classes belong to none of the others, whose
labels they have at random; they count as wrong labels. The alternatives are 100 and 200 random checks by hand with
Wilson's interval, the certificate of 100 checks, whose scores are the package's, and its prediction-powered interval,
cleanlab's estimate from the confident joint with a bootstrap, and the rate of GLC's matrix with a bootstrap of the
trusted labels. Their predictions are those of the same cross-validated logistic regression, with features of a kernel
where the package takes them, and isotonic regression on the trusted labels makes cleanlab's scores probabilities.

The method was designed on cells of seeds 0 to 2, 5 and 6, and measured on those of seeds 7 and 8. Then came the
features of a kernel, designed on cells of seeds 0 and 11 and on other examples, and two kinds of classes that no line
separates: "clusters", of which each class has four, and "quadrants", of which each class has two; they were measured on
seeds 9 and 10. Last came the posterior of examples of no class, designed on cells of seed 11, and two more noises,
"flip2" and "open". The cells of seeds 14 and 15 were measured once, after that.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from bench.labelled import CLUSTERED, FOREIGN, GAUSSIANS, NOISES, STORED, TRUSTED, Setting, cells, noisy
from matplotlib.figure import Figure
from rich.console import Console
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from study.execution import worker_pool
from study.page import COLOURS, STYLE

from vri_pyro import find_label_issues
from vri_pyro.certification import Checks, Population, certify
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.cross_fitting import Predictions, cross_fitted
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.utils.files import write_atomically

RESULTS = Path(__file__).parent / "results" / "label_numbers.json"
FEATURES = Path("data")  # has cifar10_features.npz and fashion_mnist_features.npz
CERTIFIED, POWERED = "100 checks, certified", "100 checks, prediction-powered"
_BOOTSTRAPS = 100


def measure(cell: Setting, seed: int, folder: Path) -> dict[str, Any]:
    """Measure all methods on one cell."""
    generator = np.random.default_rng([seed, zlib.crc32(repr(cell).encode())])
    x, z, y, trusted, classes = noisy(cell, generator, folder)
    wrong, started = (y != z)[~trusted], time.process_time()
    labels = Labels(np.where(trusted, z, y), trusted)
    ours = product(labels, features=x)
    seconds = time.process_time() - started
    predicted = cross_fitted(x, labels, classes, 0)
    theirs = 1 - np.exp(predicted.log_given)[np.arange(len(y)), y]
    table = product(labels, pred_probs=np.exp(predicted.log_given))
    made = theirs[~trusted]
    if trusted.any():
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        made = isotonic.fit(theirs[trusted], (y != z)[trusted]).predict(made)
    scores = ours["score"].to_numpy()[~trusted]
    found = {
        "cell": [*cell, seed],
        "true": float(wrong.mean()),
        "accuracy": float((predicted.log_true.argmax(1) == z).mean()),
        "seconds": seconds,
        "doubt": float((scores * (1 - scores)).mean()),
        "ours": interval(ours.attrs["noise_rate"], *ours.attrs["noise_rate_interval"]) | judged(scores, wrong),
        "predictions": interval(table.attrs["noise_rate"], *table.attrs["noise_rate_interval"])
        | judged(table["score"].to_numpy()[~trusted], wrong),
        "100 checks": by_hand(wrong, 100, generator),
        "200 checks": by_hand(wrong, 200, generator),
        **certified(wrong, scores, y[~trusted], generator),
        "cleanlab": confident(predicted, labels, generator) | judged(made, wrong, theirs[~trusted]),
    }
    return found | {"GLC": by_matrix(predicted, labels, generator)} if trusted.any() else found


def product(labels: Labels, **evidence: np.ndarray) -> pd.DataFrame:
    """Judge the labels by the package, in the order of the examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no trusted labels
        return find_label_issues(labels.given, trusted=labels.trusted, **evidence).sort_values("index")


def interval(mean: float, low: float, high: float) -> dict[str, float]:
    """Return an estimate with its interval."""
    return {"mean": float(mean), "low": float(low), "high": float(high)}


def judged(p: np.ndarray, wrong: np.ndarray, score: np.ndarray | None = None) -> dict[str, float]:
    """Judge probabilities of being wrong: calibration error, Brier score; and the ranking by them or by a score."""
    bins = np.minimum((p * 15).astype(int), 14)
    counts = np.bincount(bins, minlength=15)
    gap = np.abs(np.bincount(bins, p, 15) - np.bincount(bins, wrong, 15)).sum() / counts.sum()
    found = {"ece": float(gap), "brier": float(((p - wrong) ** 2).mean())}
    if 0 < wrong.sum() < len(wrong):
        by = p if score is None else score
        found |= {"auroc": roc_auc_score(wrong, by), "ap": average_precision_score(wrong, by)}
    return found


def by_hand(wrong: np.ndarray, checks: int, generator: np.random.Generator) -> dict[str, float]:
    """Check labels drawn at random; the interval is Wilson's."""
    share = wrong[generator.permutation(len(wrong))[:checks]].mean()
    q = norm.ppf(0.975)
    centre = (share + q**2 / (2 * checks)) / (1 + q**2 / checks)
    half = q / (1 + q**2 / checks) * np.sqrt(share * (1 - share) / checks + q**2 / (4 * checks**2))
    return interval(share, centre - half, centre + half)


def certified(
    wrong: np.ndarray, scores: np.ndarray, given: np.ndarray, generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Check 100 labels drawn at random, with the scores' help; the intervals are the certified and the asymptotic."""
    drawn = generator.permutation(len(wrong))[:100]
    checks = Checks.random_sample(len(wrong), drawn, np.where(wrong[drawn], NO_CLASS, given[drawn]))
    found = certify(Population(given, scores.clip(0, 1)), checks)
    low, high = found.asymptotic or (0.0, 1.0)
    rate = found.rate
    return {CERTIFIED: interval(rate.estimate, rate.low, rate.high), POWERED: interval((low + high) / 2, low, high)}


def confident(predicted: Predictions, labels: Labels, generator: np.random.Generator) -> dict[str, float]:
    """Estimate the rate as cleanlab does, with a bootstrap of the examples."""
    from cleanlab.count import estimate_joint  # slow to import

    p, given = np.exp(predicted.log_given)[~labels.trusted], labels.given[~labels.trusted]
    p /= p.sum(1, keepdims=True)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(_BOOTSTRAPS // 4 + 1):
            some = generator.integers(len(given), size=len(given)) if number else np.arange(len(given))
            if len(np.unique(given[some])) < p.shape[1]:
                continue
            found.append(1 - float(np.trace(estimate_joint(given[some], p[some]))))
    draws = found[1:] or [0.0, 1.0]
    return interval(found[0] if found else 0.5, *np.quantile(draws, (0.025, 0.975)))


def by_matrix(predicted: Predictions, labels: Labels, generator: np.random.Generator) -> dict[str, float]:
    """Estimate the rate from GLC's matrix, with a bootstrap of the trusted examples of each class."""
    p = np.exp(predicted.log_given)
    shares, classes = np.bincount(labels.given[~labels.trusted], minlength=p.shape[1]), p.shape[1]
    right = [p[labels.trusted & (labels.given == c), c] for c in range(classes)]
    known = np.array([len(one) > 0 for one in right])
    weights = shares[known] / shares[known].sum()
    found = []
    for number in range(_BOOTSTRAPS + 1):
        drawn = [generator.choice(one, len(one)) if number else one for one in right if len(one)]
        found.append(1 - float(weights @ np.array([one.mean() for one in drawn])))
    return interval(found[0], *np.quantile(found[1:], (0.025, 0.975)))


def page(records: list[dict[str, Any]], command: str, picture: str) -> str:
    """Return the page of results in Markdown."""
    parts = [
        "# The numbers about labels",
        f"By `{command}`, from the records in the JSON file of this name.",
        "\n\n".join((__doc__ or "").split("\n\n")[2:]).strip(),
        "Width, interval score, and bias with its standard error are in percentage points. The interval score is the "
        "width, plus 40 times the distance by which the interval misses the rate. ECE is the expected calibration "
        "error of the scores, the mean over runs and the worst run.",
        summary(records),
        f"![Errors of the noise rate]({picture})",
        "Left: stated minus true rate with the 95% interval, one line a run, by the width of the interval. Right: "
        "interval scores, less is better.",
    ]
    return "\n\n".join(parts) + "\n"


def figure(records: list[dict[str, Any]]) -> Figure:
    """Draw the interval of each run, and the interval scores by the number of trusted labels a class."""
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(9, 3.6))
        runs, bars = drawn.subplots(1, 2, width_ratios=(3, 2))
        ordered = sorted(records, key=lambda one: one["ours"]["high"] - one["ours"]["low"])
        trusted = sorted({one["cell"][3] for one in records})
        for colour, per in zip(COLOURS, trusted, strict=False):
            some = [at for at, one in enumerate(ordered) if one["cell"][3] == per]
            mean, low, high, true = (
                100 * np.array([ordered[at]["true"] if name == "true" else ordered[at]["ours"][name] for at in some])
                for name in ("mean", "low", "high", "true")
            )
            around = np.stack([(mean - low).clip(0), (high - mean).clip(0)])
            label = f"{per} trusted a class"
            runs.errorbar(some, mean - true, around, fmt=".", color=colour, label=label, linewidth=1)
        runs.axhline(0, color="black", linewidth=1)
        runs.set(xlabel="runs", ylabel="stated - true rate (points)")
        runs.legend(fontsize=9, loc="upper left")
        methods = ("ours", "predictions", "200 checks", CERTIFIED)
        for number, method in enumerate(methods):
            scores = [_scores(method, [one for one in records if one["cell"][3] == per]).mean() for per in trusted]
            bars.bar(
                np.arange(len(trusted)) + 0.2 * (number - 1.5), scores, 0.2, label=method, color=COLOURS[number + 3]
            )
        bars.set_xticks(range(len(trusted)), [str(per) for per in trusted])
        bars.set(xlabel="trusted labels a class", ylabel="interval score (points)")
        bars.legend(fontsize=9, ncols=2, loc="upper right")
        bars.set_ylim(top=1.3 * bars.get_ylim()[1])
    return drawn


def _scores(method: str, records: list[dict[str, Any]]) -> np.ndarray:
    """Return the interval score of each run, in points (Gneiting and Raftery, JASA 2007)."""
    true = np.array([one["true"] for one in records])
    low, high = (np.array([one[method][name] for one in records]) for name in ("low", "high"))
    return 100 * (high - low + 40 * (np.maximum(low - true, 0) + np.maximum(true - high, 0)))


def summary(records: list[dict[str, Any]]) -> str:
    """Return a table of all methods, and of ours by the number of trusted labels."""
    lines = [
        "| method | runs | coverage | mean width | interval score | bias ± s.e. | ECE, worst | Brier | AUROC | AP |"
    ]
    lines.append("|---|" + "---:|" * 9)
    methods = ("ours", "predictions", "100 checks", "200 checks", CERTIFIED, POWERED, "cleanlab", "GLC")
    rows = [(method, method, [one for one in records if method in one]) for method in methods]
    for per in sorted({one["cell"][3] for one in records}):
        rows.append((f"ours, {per} trusted a class", "ours", [one for one in records if one["cell"][3] == per]))
    for kind in ("none", *NOISES, FOREIGN):
        rows.append((f"ours, {kind}", "ours", [one for one in records if one["cell"][1] == kind]))
    for name in (*GAUSSIANS, *CLUSTERED, "digits", *STORED):
        rows.append((f"ours, {name}", "ours", [one for one in records if one["cell"][0] == name]))
    return "\n".join(lines + [_row(*row) for row in rows if row[2]])


def _row(title: str, method: str, records: list[dict[str, Any]]) -> str:
    true = np.array([one["true"] for one in records])
    mean, low, high = (np.array([one[method][name] for one in records]) for name in ("mean", "low", "high"))
    error = mean - true
    covered = ((low <= true + 1e-12) & (true <= high + 1e-12)).mean()
    found = defaultdict(list)
    for one in records:
        for name, value in one[method].items():
            found[name].append(value)
    parts = [f"{np.mean(found['ece']):.3f}, {np.max(found['ece']):.3f}" if "ece" in found else ""]
    parts += [f"{np.mean(found[name]):.4f}" if name in found else "" for name in ("brier", "auroc", "ap")]
    bias = f"{100 * error.mean():+.2f} ± {100 * error.std(ddof=len(error) > 1) / np.sqrt(len(error)):.2f}"
    width, score = 100 * (high - low).mean(), _scores(method, records).mean()
    cells = [len(records), f"{covered:.1%}", f"{width:.1f}", f"{score:.1f}", bias]
    return "| " + " | ".join(map(str, [title, *cells, *parts])) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the cells that the records lack, write and print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", type=int, default=None, help="number of cells, for a part of the bench")
    parser.add_argument("--only", nargs="*", default=None, help="data sets")
    parser.add_argument("--trusted", nargs="*", type=int, default=TRUSTED, help="numbers of trusted labels a class")
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the frozen features")
    parser.add_argument("--jobs", type=int, default=1, help="number of cells that are measured at a time")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    records = json.loads(options.output.read_text()) if options.output.exists() else []
    done = {tuple(one["cell"]) for one in records}
    wanted = [cell for cell in cells(options.trusted) if options.only is None or cell[0] in options.only]
    missing = [cell for cell in wanted[: options.cells] if (*cell, options.seed) not in done]
    try:
        for found in measured(missing, options.seed, options.features, options.jobs):
            records.append(found)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(options.output, (json.dumps(records) + "\n").encode())
    except KeyboardInterrupt:
        print("stopped; repeat the same command to resume", file=sys.stderr)
        return 130
    command = f"python experiments/label_numbers.py --seed {options.seed}"
    command += f" --trusted {' '.join(map(str, options.trusted))}" if tuple(options.trusted) != TRUSTED else ""
    command += f" --only {' '.join(options.only)}" if options.only else ""
    command += f" --cells {options.cells}" if options.cells else ""
    picture = options.output.with_suffix(".png")
    figure(records).savefig(picture)
    write_atomically(options.output.with_suffix(".md"), page(records, command, picture.name).encode())
    Console().print(summary(records), highlight=False, soft_wrap=True, markup=False)
    return 0


def measured(cells: Sequence[Setting], seed: int, folder: Path, jobs: int) -> Iterator[dict[str, Any]]:
    """Measure cells, several at a time if ``jobs`` > 1."""
    if jobs == 1:
        yield from (measure(cell, seed, folder) for cell in cells)
        return
    with worker_pool(jobs) as pool:
        for future in as_completed([pool.submit(measure, cell, seed, folder) for cell in cells]):
            yield future.result()


if __name__ == "__main__":
    sys.exit(main())
