"""What else states numbers about labels: checks by hand, certificates, cleanlab and GLC's matrix."""

from __future__ import annotations

import warnings

import numpy as np
from cleanlab.count import estimate_joint
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression

from bench.judging import calibration, entries, interval, ranking, timed
from bench.labelled import Noisy
from vri_pyro.certification import Checks, Population, certify
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.noise_aware_head import Labels

CERTIFIED, POWERED = "100 checks, certified", "100 checks, prediction-powered"
_BOOTSTRAPS = 100


def compared(
    data: Noisy,
    scores: np.ndarray,
    predicted: tuple[np.ndarray, float],
    margins: tuple[np.ndarray, float],
    generator: np.random.Generator,
) -> dict[str, dict[str, float]]:
    """Judge all alternatives on a cell.

    Args:
        data: the examples of the cell.
        scores: the package's scores of the untrusted examples, [N].
        predicted: out-of-sample probabilities of the given labels of all examples, [n, K], and the CPU seconds that
            they took.
        margins: averaged margins of the labels with the noise, [n], and the CPU seconds that they took.
        generator: draws checks and bootstraps.
    """
    labels, noisy, wrong, p = data.labels, ~data.trusted, data.wrong[~data.trusted], predicted[0]
    found = {
        "100 checks": by_hand(wrong, 100, generator),
        "200 checks": by_hand(wrong, 200, generator),
        **certified(wrong, scores, data.given[noisy], generator),
    }
    estimate, seconds = timed(lambda: confident(p, labels, generator))
    doubt = 1 - p[np.arange(len(p)), data.given]
    found["cleanlab"] = estimate | ranking(doubt[noisy], wrong) | {"seconds": predicted[1] + seconds}
    found["margin"] = ranking(margins[0][noisy], wrong) | {"seconds": margins[1]}
    if not data.trusted.any():
        found["cleanlab"] |= calibration(doubt, data.wrong)
        return found
    for method, score in (("cleanlab", doubt), ("margin", margins[0])):
        found[method] |= calibration(isotonic(score, data.trusted, data.wrong), wrong)
    return found | {"GLC": by_matrix(p, labels, data.counts, generator)}


def by_hand(wrong: np.ndarray, checks: int, generator: np.random.Generator) -> dict[str, float]:
    """Check labels drawn at random; the interval is Wilson's."""
    checked = wrong[generator.permutation(len(wrong))[:checks]]
    return interval(checked.mean(), *binomtest(int(checked.sum()), len(checked)).proportion_ci(method="wilson"))


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


def isotonic(score: np.ndarray, trusted: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Make probabilities of being wrong of the scores of the untrusted examples, by isotonic regression on the others.

    Args:
        score: scores, [n], a greater one is more suspicious.
        trusted: whether the label is trusted, bool [n].
        wrong: whether the label with the noise is wrong, bool [n], of which only the trusted are used.
    """
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score[trusted], wrong[trusted])
    return np.asarray(fitted.predict(score[~trusted]))


def confident(p: np.ndarray, labels: Labels, generator: np.random.Generator) -> dict[str, float]:
    """Estimate the rate as cleanlab does, with a bootstrap of the examples.

    Args:
        p: out-of-sample probabilities of the given labels, [n, K].
        labels: labels of the n examples.
        generator: makes the bootstrap.
    """
    p, given = p[~labels.trusted], labels.given[~labels.trusted]
    p = p / p.sum(1, keepdims=True)
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


def by_matrix(p: np.ndarray, labels: Labels, counts: np.ndarray, generator: np.random.Generator) -> dict[str, float]:
    """Estimate T as GLC does, and the rate from it, with a bootstrap of the trusted examples of each class.

    Row c is the mean of the predictions of the trusted examples of class c.

    Args:
        p: out-of-sample probabilities of the given labels, [n, K].
        labels: labels of the n examples.
        counts: see :func:`~bench.judging.entries`.
        generator: makes the bootstrap.
    """
    classes = p.shape[1]
    members = [np.flatnonzero(labels.trusted & (labels.given == c)) for c in range(classes)]
    known = np.array([len(rows) > 0 for rows in members])
    shares = np.bincount(labels.given[~labels.trusted], minlength=classes)[known]
    found = np.full((_BOOTSTRAPS + 1, classes, classes), np.nan)
    for number in range(_BOOTSTRAPS + 1):
        for c in np.flatnonzero(known):
            rows = members[c]
            found[number, c] = p[generator.choice(rows, len(rows)) if number else rows].mean(0)
    rates = 1 - np.diagonal(found, axis1=1, axis2=2)[:, known] @ (shares / shares.sum())
    (low, high), ends = (np.quantile(of, (0.025, 0.975), axis=0) for of in (found[1:], rates[1:]))
    return interval(rates[0], *ends) | entries(found[0], low, high, counts)
