"""Validity and power of the certificates by simulation: how often intervals of the rate of wrong labels miss it.

    python experiments/certify_validity.py

A population of labels with good, useless or inverted scores has a rate of wrong labels from 0 to 40%. Labels are drawn
without replacement and checked. For every number of checks, the script counts how often the interval misses the rate.
For the anytime-valid interval, it counts how often it misses at any time: stopping when it looks best cannot do worse.
Exact plain sampling and the prediction-powered interval, which is asymptotic, are next to it, also if somebody looks at
every number of checks in the table and stops at the first interval that misses. Widths are means over some repeats.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from vri_pyro.certification import Draws, Terms, plain_interval, prediction_powered_interval, sampling_weights, terms_of
from vri_pyro.certification.betting import capital_at_any_time, capital_for_fixed_number

RESULTS = Path(__file__).parent / "results" / "certify_validity.json"
RATES = (0.0, 0.005, 0.05, 0.4)
KINDS = ("good", "useless", "inverted")
CHECKS = (20, 100, 300, 1000)
ALPHA = 0.05
_SEPARATION = 2.0  # distance of the means of the score's normal deviate for wrong and right labels; AUROC 0.92
_BISECTIONS = 10

Capital = Callable[[Terms, np.ndarray], np.ndarray]


def population(kind: str, rate: float, size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make labels and scores: which labels are wrong, and their probability of being wrong, [N] each."""
    wrong = (np.arange(size) < round(rate * size)).astype(int)
    assumed = np.clip(rate, 0.01, 0.99)
    deviate = random.normal(size=size) + _SEPARATION * wrong
    logit = _SEPARATION * deviate - _SEPARATION**2 / 2 + np.log(assumed / (1 - assumed))
    score = 1 / (1 + np.exp(-logit))
    if kind == "useless":
        score = random.permutation(score)
    return wrong, 1 - score if kind == "inverted" else score


def drawn(wrong: np.ndarray, score: np.ndarray, number: int, uniform: float, random: np.random.Generator) -> Draws:
    """Draw and check labels without replacement."""
    weight = sampling_weights(score, uniform)
    order = np.argsort(random.exponential(size=len(wrong)) / weight)[:number]
    outcome = np.full(len(wrong), -1)
    outcome[order] = wrong[order]
    never = np.full(len(wrong), 1)
    return Draws(outcome, score, order, weight[None], np.zeros(number, dtype=np.int64), never)


def stacked(draws: list[Draws]) -> Terms:
    """Return the terms of several samples side by side, [n, repeats]."""
    return Terms(*(np.stack(one, axis=1) for one in zip(*map(terms_of, draws), strict=True)))


def first(terms: Terms, number: int, repeats: int | None = None) -> Terms:
    """Return the terms of the first draws of some of the samples."""
    return Terms(*(one[:number, :repeats] for one in terms))


def fixed(terms: Terms, m: np.ndarray) -> np.ndarray:
    """Return the capital of the gambler who knows the number of draws."""
    return capital_for_fixed_number(terms, m, ALPHA / 2)


def misses(terms: Terms, rate: float, capital: Capital) -> np.ndarray:
    """Return whether the interval of each sample misses the rate, bool [repeats]."""
    m = np.full(terms.high.shape[1], rate)
    below = capital(terms, m) * ALPHA / 2 >= 1
    return below | (capital(terms.mirrored(), 1 - m) * ALPHA / 2 >= 1)


def widths(terms: Terms, found: np.ndarray, size: int, capital: Capital) -> np.ndarray:
    """Return the width of the interval of each sample, by bisection, [repeats].

    Args:
        terms: the terms.
        found: number of wrong labels found, [repeats].
        size: size of the population.
        capital: function that bets.
    """
    known, unknown = found / size, 1 - len(terms.high) / size
    high = _bound(terms, known, known + unknown, capital)
    return high - 1 + _bound(terms.mirrored(), 1 - known - unknown, 1 - known, capital)


def _bound(terms: Terms, low: np.ndarray, high: np.ndarray, capital: Capital) -> np.ndarray:
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        rejected = capital(terms, middle) * ALPHA / 2 >= 1
        low, high = np.where(rejected, low, middle), np.where(rejected, middle, high)
    return high


def cell(kind: str, rate: float, options: argparse.Namespace, uniform: float = 1.0) -> list[dict[str, Any]]:
    """Simulate one kind of scores and one rate; one row for each number of checks, and one for all of them together."""
    seed = [options.seed, KINDS.index(kind), round(1000 * rate), round(100 * uniform)]
    random = np.random.default_rng(seed)
    wrong, score = population(kind, rate, options.population, random)
    most, size, truth = max(options.checks), options.population, wrong.mean()
    samples = [drawn(wrong, score, most, uniform, random) for _ in range(options.repeats)]
    terms = stacked(samples)
    answers = np.stack([wrong[one.order] for one in samples], axis=1)
    exact = cache(lambda found, number: plain_interval(found, number, size, 1 - ALPHA))
    rows, peeked = list[dict[str, Any]](), dict[str, np.ndarray]()
    for number in options.checks:
        found = answers[:number].sum(0)
        plain = np.array([exact(int(one), number) for one in found])
        asymptotic = np.array(
            [
                prediction_powered_interval(
                    wrong[one.order[:number]],
                    score[one.order[:number]],
                    score,
                    1 - ALPHA,
                    None if uniform == 1 else one.weight[0][one.order[:number]],
                )
                for one in samples
            ]
        )
        missed = {
            "betting": misses(first(terms, number), truth, fixed),
            "plain exact": _outside(plain, truth),
            "prediction-powered": _outside(asymptotic, truth),
        }
        if uniform < 1:
            del missed["plain exact"]  # it is for plain samples only
        for name, one in missed.items():
            peeked[name] = peeked.get(name, False) | one
        some = first(terms, number, options.widths)
        width = {
            "betting": widths(some, found[: options.widths], size, fixed).mean(),
            "betting, anytime": widths(some, found[: options.widths], size, capital_at_any_time).mean(),
            "plain exact": np.diff(plain[: options.widths]).mean(),
            "prediction-powered": np.diff(asymptotic[: options.widths]).mean(),
        }
        if uniform < 1:
            del width["plain exact"]
        rows.append(_row(kind, rate, uniform, number, missed, width))
    at_any_time = {f"{name}, looking at every number": one for name, one in peeked.items() if name != "betting"}
    at_any_time["betting, anytime"] = misses(terms, truth, capital_at_any_time)
    rows.append(_row(kind, rate, uniform, None, at_any_time, {}))
    return rows


def _outside(intervals: np.ndarray, truth: float) -> np.ndarray:
    return (truth < intervals[:, 0] - 1e-12) | (truth > intervals[:, 1] + 1e-12)


def _row(
    kind: str, rate: float, uniform: float, checks: int | None, missed: dict[str, np.ndarray], width: dict[str, float]
) -> dict[str, Any]:
    return {
        "scores": kind,
        "rate": rate,
        "uniform": uniform,
        "checks": checks,
        "repeats": len(next(iter(missed.values()))),
        "missed": {name: int(one.sum()) for name, one in missed.items()},
        "width": {name: round(float(one), 5) for name, one in width.items()},
    }


def too_often(row: dict[str, Any], name: str, tests: int) -> bool:
    """Return whether an interval misses significantly too often, at 5% over all tests together (Bonferroni)."""
    p = stats.binom.sf(row["missed"][name] - 1, row["repeats"], ALPHA)
    return bool(p < 0.05 / tests)


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Return the results in lines."""
    lines = []
    for name in dict.fromkeys(name for row in rows for name in row["missed"]):
        some = [row for row in rows if name in row["missed"]]
        worst = max(some, key=lambda row: row["missed"][name] / row["repeats"])
        share = worst["missed"][name] / worst["repeats"]
        count = sum(too_often(row, name, len(some)) for row in some)
        lines.append(
            f"{name}: misses significantly too often in {count} of {len(some)} cells; at most in {share:.1%} ("
            f"{worst['scores']} scores, rate {worst['rate']:.1%}, {worst['checks'] or 'all'} checks)"
        )
    for row in rows:
        if row["width"]:
            shown = ", ".join(f"{name} {100 * width:.1f}" for name, width in row["width"].items())
            design = "" if row["uniform"] == 1 else f", {row['uniform']:.0%} uniform"
            lines.append(f"width, {row['scores']}, rate {row['rate']:.1%}{design}, {row['checks']} checks: {shown}")
    return lines


def main() -> int:
    """Simulate, print the results and write them; returns the exit status, 1 if a guarantee does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--widths", type=int, default=50, help="repeats of which the widths are computed")
    parser.add_argument("--population", type=int, default=2000)
    parser.add_argument("--checks", type=int, nargs="+", default=CHECKS)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--uniform", type=float, nargs="*", default=(0.5,), help="further shares of uniform sampling")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = [row for kind in KINDS for rate in options.rates for row in cell(kind, rate, options)]
    fewer = argparse.Namespace(**vars(options) | {"checks": options.checks[:3]})
    for uniform in options.uniform:
        rows += [row for kind in KINDS[:2] for rate in options.rates for row in cell(kind, rate, fewer, uniform)]
    print("\n".join(summary(rows)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    names = ("betting", "betting, anytime")
    tests = sum(name in row["missed"] for row in rows for name in names)
    return int(any(too_often(row, name, tests) for row in rows for name in names if name in row["missed"]))


if __name__ == "__main__":
    sys.exit(main())
