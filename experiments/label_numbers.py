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
where the package takes them. "Margin" ranks by the margin of the label, averaged over the training of an MLP on all
labels. Isotonic regression on the trusted labels, of which it is told how they were labelled with the noise, makes
probabilities of cleanlab's scores and of margins.

The method was designed on cells of seeds 0 to 2, 5 and 6, and measured on those of seeds 7 and 8. Then came the
features of a kernel, designed on cells of seeds 0 and 11 and on other examples, and two kinds of classes that no line
separates: "clusters", of which each class has four, and "quadrants", of which each class has two; they were measured on
seeds 9 and 10. Last came the posterior of examples of no class, designed on cells of seed 11, and two more noises,
"flip2" and "open". The cells of seeds 14 and 15 were measured once, after that.
"""

from __future__ import annotations

import sys
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench.alternatives import by_hand, by_matrix, certified, confident, isotonic
from bench.judging import calibration, confusions, entries, interval, ranking
from bench.labelled import CLUSTERED, FOREIGN, GAUSSIANS, NOISES, STORED, Setting, cells, noisy
from bench.margin import averaged_margins
from bench.numbers import Numbers

from vri_pyro import find_label_issues
from vri_pyro.backbones import MLP
from vri_pyro.label_issues import JointPosterior, joint_posterior
from vri_pyro.label_issues.cross_fitting import Predictions, cross_fitted
from vri_pyro.label_issues.head_candidates import head_candidates
from vri_pyro.label_issues.noise_aware_head import Labels
from vri_pyro.label_issues.open_set_of_vectors import open_set_of_vectors


def measure(cell: Setting, seed: int, folder: Path) -> dict[str, Any]:
    """Measure all methods on one cell; seconds are those of the CPU."""
    generator = np.random.default_rng([seed, zlib.crc32(repr(cell).encode())])
    x, z, y, trusted, classes = noisy(cell, generator, folder)
    wrong, labels = y != z, Labels(np.where(trusted, z, y), trusted)
    counts = confusions(z[~trusted], y[~trusted], classes)
    ours, ours_took = timed(lambda: product(labels, features=x))
    predicted, took = timed(lambda: cross_fitted(x, labels, classes, 0))
    p = np.exp(predicted.log_given)
    theirs = 1 - p[np.arange(len(y)), y]
    table, table_took = timed(lambda: product(labels, pred_probs=p))
    margins, margins_took = timed(lambda: averaged_margins(MLP, x, labels.given, y, classes, seed))
    draws = posterior(x, predicted, labels).transition.transition.numpy()
    scores = ours["score"].to_numpy()[~trusted]
    found = {
        "cell": [*cell, seed],
        "true": float(wrong[~trusted].mean()),
        "accuracy": float((predicted.log_true.argmax(1) == z).mean()),
        "doubt": float((scores * (1 - scores)).mean()),
        "ours": stated(ours, wrong, trusted) | entries(draws.mean(0), draws, counts) | {"seconds": ours_took},
        "predictions": stated(table, wrong, trusted) | {"seconds": took + table_took},
        "100 checks": by_hand(wrong[~trusted], 100, generator),
        "200 checks": by_hand(wrong[~trusted], 200, generator),
        **certified(wrong[~trusted], scores, y[~trusted], generator),
    }
    estimate, estimate_took = timed(lambda: confident(p, labels, generator))
    found["cleanlab"] = estimate | ranking(theirs[~trusted], wrong[~trusted]) | {"seconds": took + estimate_took}
    found["margin"] = ranking(margins[~trusted], wrong[~trusted]) | {"seconds": margins_took}
    if not trusted.any():
        found["cleanlab"] |= calibration(theirs, wrong)
        return found
    for method, score in (("cleanlab", theirs), ("margin", margins)):
        found[method] |= calibration(isotonic(score, trusted, wrong), wrong[~trusted])
    return found | {"GLC": by_matrix(p, labels, counts, generator)}


def timed[T](function: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a function and the CPU seconds that it took."""
    started = time.process_time()
    return function(), time.process_time() - started


def product(labels: Labels, **evidence: np.ndarray) -> pd.DataFrame:
    """Judge the labels by the package, in the order of the examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no trusted labels
        return find_label_issues(labels.given, trusted=labels.trusted, **evidence).sort_values("index")


def stated(table: pd.DataFrame, wrong: np.ndarray, trusted: np.ndarray) -> dict[str, float]:
    """Judge what a table of the package states about the untrusted labels."""
    scores = table["score"].to_numpy()[~trusted]
    rate = interval(table.attrs["noise_rate"], *table.attrs["noise_rate_interval"])
    return rate | calibration(scores, wrong[~trusted]) | ranking(scores, wrong[~trusted])


def posterior(x: np.ndarray, predicted: Predictions, labels: Labels) -> JointPosterior:
    """Sample the posterior of which the package's table has the mean of T, but no interval of its entries."""
    trusted, classes, draws, seed = labels.trusted, predicted.log_true.shape[1], 200, 0
    candidates = head_candidates(predicted, labels)
    _, foreign = open_set_of_vectors(x, candidates, predicted.transition, labels, draws, seed)
    noisy, known = candidates.at(~trusted), candidates.at(trusted)
    return joint_posterior(noisy, classes, known, open_set=foreign, draws=draws, seed=seed)


NUMBERS = Numbers(
    name="label_numbers",
    title="The numbers about labels",
    text=__doc__ or "",
    cells=cells,
    measure=measure,
    groups=((*GAUSSIANS, *CLUSTERED, "digits", *STORED), ("none", *NOISES, FOREIGN)),
    data=("--features", "folder of the frozen features, cifar10_features.npz and fashion_mnist_features.npz"),
)

if __name__ == "__main__":
    sys.exit(NUMBERS.main())
