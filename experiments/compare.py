"""Compare VRI with other methods across data sets, noises, rates and sizes of the clean set.

    python experiments/compare.py --tune --data DATA    # choose the training regime of each method on a separate seed
    python experiments/compare.py --data DATA           # compare the methods under the chosen regimes

A training regime is an optimiser, a learning rate schedule, and whether the weights are averaged. ``--tune`` chooses it
by validation accuracy in some of the settings and writes the choice to compare_regimes.json. Without that file, every
method trains with the default regime of the bench.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata
from study import (
    CIFAR10_16,
    CIFAR100,
    FASHION_MNIST_14,
    SCALES,
    Bench,
    Cell,
    Estimate,
    Options,
    Page,
    Records,
    Study,
    by_method,
    config,
    grid,
    main,
    markdown_table,
    parser,
    recorded,
)
from study.benches import AVERAGED, COSINE, clean_labels, noise, open_set, sgd
from study.statistics import mean_of

WITH_CLEAN = " + clean batch"
CLEAN = ("--method.clean_weight", "0.2")  # the value of the library's default VRI
PEERS = {
    "cross entropy": config("cross_entropy"),
    "mixup": config("mixup"),
    "ELR": config("elr"),
    "confident learning": config("confident_learning"),
    "GLC": config("glc"),
    "L2RW": config("l2rw"),
    "MW-Net": config("mw_net"),
    "MLC": config("mlc"),
    "WarPI": config("warpi"),
    "VRI, paper": recorded("vri_paper"),
    "VRI, released": recorded("vri_released"),
}
DEFAULT = "VRI"
METHODS: dict[str, Options] = {
    DEFAULT: recorded("vri"),
    "VRI, vector": config("vri_vector", *CLEAN),
    "VRI, gated": config("vri_gated", *CLEAN),
    "VRI, Dirac": config("vri_dirac", *CLEAN),
    "clean-only": config("clean_only"),
    "noisy and clean": config("noisy_and_clean"),
    "fine-tuned": config("fine_tuned", "--fine_tuning.epochs", "10"),
    **PEERS,
    # VRI's real step includes a clean batch, so every peer is also run with one.
    **{f"{name}{WITH_CLEAN}": (*options, *CLEAN) for name, options in PEERS.items()},
}
REGIMES = {
    "SGD 0.1, momentum 0.9, averaged": (*sgd(0.1, 0.9), *AVERAGED),
    "SGD 0.1, momentum 0.9, cosine": (*sgd(0.1, 0.9), *COSINE),
    "SGD 0.2, cosine": (*sgd(0.2, 0.0), *COSINE),
}
# Methods for benches on which a run takes a minute.
ESSENTIAL = (
    *(DEFAULT, "VRI, vector", "cross entropy", "noisy and clean", "fine-tuned", "ELR + clean batch"),
    *("GLC + clean batch", "MW-Net + clean batch"),
)
# Peers whose variant without the clean batch is left out on benches with tried="most".
SPARED = ("mixup", "ELR", "confident learning", "L2RW", "MLC", "WarPI", "VRI, released")
SIZES = (10, 100)
# Benches with short runs also train the default and a strong peer for twice as many epochs and compare the two.
LONGER, TWICE = (DEFAULT, "ELR + clean batch"), ", twice as long"
TUNED_UNDER = ("flip 40%, 10 clean", "uniform 60%, 100 clean")
TUNING_SEEDS = (100,)
# Noises, on both data sets, under which the parts of the default were chosen by test accuracy; see RESULTS.md.
DESIGNED_ON = ("flip 40%", "uniform 60%", "instance 40%", "open 40%")
PAPERS = """\
Sun et al. (2025), 1,000 clean labels, 160 epochs. The classifier is ResNet-32 for flip noise, ResNet-34 for
instance-dependent noise on CIFAR-100, and ResNet-18 otherwise. The authors' released script reports the highest test
accuracy over the epochs; this page reports the accuracy after the last epoch.

| reported, CIFAR-10 | flip 20% | flip 40% | instance 20% | instance 40% | uniform 40% | uniform 60% |
|---|---:|---:|---:|---:|---:|---:|
| VRI | 91.93 | 91.21 | 92.13 | 90.60 | 91.34 | 87.68 |
| WarPI | 90.93 | 89.87 | 89.76 | 87.57 | | |
| MW-Net | 90.33 | 87.54 | | | | |
| MLC | 90.07 | 88.97 | | | | |
| cross entropy | 76.83 | 70.77 | 85.10 | 77.00 | | |

| reported, CIFAR-100 | flip 20% | flip 40% | instance 20% | instance 40% | uniform 40% | uniform 60% |
|---|---:|---:|---:|---:|---:|---:|
| VRI | 66.03 | 65.04 | 71.24 | 68.17 | 68.92 | 62.12 |
| WarPI | 65.52 | 62.37 | 65.08 | 57.38 | | |
| MW-Net | 64.22 | 58.64 | | | | |
| MLC | 64.91 | 59.96 | | | | |
| cross entropy | 50.86 | 43.01 | 52.19 | 42.26 | | |"""
Choice = Mapping[str, Mapping[str, str]]  # name of the regime by title of the data set and method


def methods_on(bench: Bench) -> dict[str, Options]:
    """Return the methods to run on a bench, according to :attr:`Bench.tried`."""
    most = [name for name in METHODS if bench.tried == "all" or name not in SPARED]
    tried = ESSENTIAL if bench.tried == "essential" else most
    return {name: (*METHODS[name], *bench.adapted.get(name.removesuffix(WITH_CLEAN), ())) for name in tried}


def noises(bench: Bench) -> dict[str, Options]:
    """Return the noises of a bench; open-set noise requires open-set images."""
    found = {
        "flip 20%": noise("Flip", 0.2),
        "flip 40%": noise("Flip", 0.4),
        "uniform 40%": noise("UniformExclusive", 0.4),
        "uniform 60%": noise("UniformExclusive", 0.6),
        "instance 40%": noise("InstanceDependent", 0.4),
    }
    return found | {"open 40%": open_set(bench, 0.4)} if bench.foreign or bench.foreign_path else found


def settings(bench: Bench) -> dict[str, Options]:
    """Return every noise with every size of the clean set, named "<data>, <noise>, <size> clean"."""
    return {
        f"{bench.title}, {name}, {size} clean": bench.setting(*about, *clean_labels(size))
        for size in SIZES
        for name, about in noises(bench).items()
    }


def cells(bench: Bench, choice: Choice) -> list[Cell]:
    """Return every method in every setting with its chosen regime, and the longer runs if the bench has them."""
    chosen = choice.get(bench.title, {})
    methods = {
        name: (*options, *(REGIMES[chosen[name]] if name in chosen else (*bench.optimizer, *bench.schedule)))
        for name, options in methods_on(bench).items()
    }
    if bench.lengthened:
        methods |= {f"{name}{TWICE}": (*methods[name], "--epochs", str(2 * bench.epochs)) for name in LONGER}
    return grid(settings(bench), methods)


def report(records: Records) -> Page:
    """Report tables by data set and size of the clean set, and the default's lead over every other method."""
    parts = []
    for group in dict.fromkeys((parts_of(setting)[0], parts_of(setting)[2]) for setting in records.settings):
        columns = {s: parts_of(s)[1] for s in records.settings if (parts_of(s)[0], parts_of(s)[2]) == group}
        here = Records(record for record in records if record["setting"] in columns)
        parts += [f"## {group[0]}, {group[1]} labels per class", by_method(here, columns=columns)]
    usual = Records(record for record in records if not record["method"].endswith(TWICE))
    by_title = {title: on_data(usual, title) for title in titles(records)}
    for title, here in by_title.items():
        parts += [f"## {DEFAULT} compared with the other methods, {title}", standing(here)]
    everywhere = on_every_data(usual)
    if len(by_title) > 1 and len(everywhere):
        seeds = ", ".join(map(str, everywhere.seeds))
        parts += [f"## {DEFAULT} compared with the other methods, all data, seeds {seeds}", standing(everywhere)]
    about = [
        "* accuracy: mean over settings and seeds.",
        f"* {DEFAULT} − other: difference averaged over settings within each seed; mean ± standard error over "  # noqa: RUF001
        "seeds, and its 95% interval by Student's t.",
        "* settings not used for design: the same difference over the settings that were not used to design "
        f"{DEFAULT}. Its parts were chosen by test accuracy on seeds 5 and 6 under {', '.join(DESIGNED_ON)}, which "
        f"favours {DEFAULT} under these noises.",
        "* rank: mean rank over settings.",
        "* first: number of settings in which the method has the highest mean, or is within one standard deviation of "
        "it. The standard deviation is over the seeds of the method with the highest mean.",
    ]
    parts += ["Columns of the comparisons:", "\n".join(about)]
    parts.append("The training regime of every method was chosen by validation accuracy on seed 100.")
    if len(usual) < len(records):
        parts += ["## Trained twice as long", twice_as_long(records)]
    return Page("VRI and other methods: test accuracy (%), last epoch", parts, drawn(usual), PAPERS)


def titles(records: Records) -> list[str]:
    """Return the names of the data sets, each once."""
    return list(dict.fromkeys(parts_of(setting)[0] for setting in records.settings))


def on_data(records: Records, title: str) -> Records:
    """Return the records on one data set."""
    return Records(record for record in records if parts_of(record["setting"])[0] == title)


def on_every_data(records: Records) -> Records:
    """Return the records of methods and seeds that every data set has, so that their means are comparable."""
    parts = [on_data(records, title) for title in titles(records)]
    methods = set.intersection(*(set(part.methods) for part in parts))
    seeds = set.intersection(*(set(part.seeds) for part in parts))
    return Records(record for record in records if record["method"] in methods and record["seed"] in seeds)


def parts_of(setting: str) -> tuple[str, str, str]:
    """Split the name of a setting into data set, noise and clean set."""
    data, about, clean = setting.split(", ")
    return data, about, clean


def pairs(records: Records, method: str) -> dict[tuple[str, int], float]:
    """Return a method's test accuracies after the last epoch, by setting and seed."""
    return {(s, seed): value for s in records.settings for seed, value in records.accuracies(method, s).items()}


def standing(records: Records) -> str:
    """Format one row per method, best mean first: mean accuracy, the default's lead, rank, number of first places."""
    places = {method: ranks(records).get(method, []) for method in records.methods}
    default, rows = pairs(records, DEFAULT), []
    untouched = {key: value for key, value in default.items() if not designed_on(key[0])}
    for method in sorted(records.methods, key=lambda name: -np.mean(list(pairs(records, name).values()))):
        own = pairs(records, method)
        leads = [None, None] if method == DEFAULT else [lead_over(own, default), lead_over(own, untouched)]
        shown = [str(lead or "–") for lead in leads]  # noqa: RUF001
        shown.insert(1, leads[0].interval if leads[0] else "–")  # noqa: RUF001
        first = [s for s in records.settings if method in leaders(records, s)]
        there = [s for s in records.settings if records.of(method, s)]
        mean = f"{np.mean(list(own.values())):.1f}"
        rows.append([method, mean, *shown, f"{np.mean(places[method]):.1f}", f"{len(first)} of {len(there)}"])
    head = ["method", "accuracy", f"{DEFAULT} − other", "95% interval", "settings not used for design"]  # noqa: RUF001
    head += ["rank", "first"]
    return markdown_table(head, rows)


def twice_as_long(records: Records) -> str:
    """Format one row per data set: gains of the two longer trained methods, and the default's lead after them.

    Only settings and seeds that both methods have are included, so that the means are comparable.
    """
    rows = []
    for title in titles(records):
        here = on_data(records, title)
        own, other = (pairs(here, f"{name}{TWICE}") for name in LONGER)
        if not (both := own.keys() & other.keys()):
            continue
        told = [title, str(len(both))]
        for name, all_found in zip(LONGER, (own, other), strict=True):
            found = {key: all_found[key] for key in sorted(both)}
            gain = lead_over(pairs(here, name), found)
            told += [f"{np.mean(list(found.values())):.1f}", str(gain or "–")]  # noqa: RUF001
        lead = lead_over(other, own)
        rows.append([*told, str(lead), lead.interval if lead else ""])
    names = [cell for name in LONGER for cell in (name, "gain")]
    return markdown_table(["data", "runs per method", *names, f"{DEFAULT} − other", "95% interval"], rows)  # noqa: RUF001


def lead_over(other: Mapping[tuple[str, int], float], default: Mapping[tuple[str, int], float]) -> Estimate | None:
    """Estimate the default's lead over another method.

    The settings of one seed share data and are not independent, so the lead is averaged within each seed first.

    Args:
        other: accuracies of the other method by setting and seed.
        default: accuracies of the default by setting and seed.

    Returns:
        The estimate over seeds, or None if the methods have no run in common.
    """
    seeds: dict[int, list[float]] = {}
    for (setting, seed), value in default.items():
        if (setting, seed) in other:
            seeds.setdefault(seed, []).append(value - other[setting, seed])
    return mean_of([float(np.mean(leads)) for leads in seeds.values()]) if seeds else None


def designed_on(setting: str) -> bool:
    """Return whether the default's parts were chosen under the noise of this setting."""
    return parts_of(setting)[1] in DESIGNED_ON


def ranks(records: Records) -> dict[str, list[float]]:
    """Return the ranks of the methods by mean accuracy in each setting; 1 is the best."""
    found: dict[str, list[float]] = {}
    for setting in records.settings:
        means = means_in(records, setting)
        for method, rank in zip(means, rankdata([-mean for mean in means.values()]), strict=True):
            found.setdefault(method, []).append(float(rank))
    return found


def means_in(records: Records, setting: str) -> dict[str, float]:
    """Return the mean accuracy in a setting by method."""
    found = {method: list(records.accuracies(method, setting).values()) for method in records.methods}
    return {method: float(np.mean(values)) for method, values in found.items() if values}


def leaders(records: Records, setting: str) -> list[str]:
    """Return the method with the highest mean in a setting, and those within one standard deviation of it."""
    means = means_in(records, setting)
    best = max(means, key=means.__getitem__)
    values = list(records.accuracies(best, setting).values())
    within = means[best] - (np.std(values, ddof=1) if len(values) > 1 else 0.0)
    return [method for method, mean in means.items() if mean >= within]


def drawn(records: Records) -> Figure:
    """Draw the default's lead over every other method with 95% intervals, by data set."""
    others = [method for method in records.methods if method != DEFAULT]
    figure = Figure(figsize=(9, 1.6 + 0.28 * len(others)))
    axis = figure.subplots()
    leads = {title: {} for title in titles(records)}
    for title, lead in leads.items():
        here = on_data(records, title)
        lead |= {method: lead_over(pairs(here, method), pairs(here, DEFAULT)) for method in others}
    order = sorted(others, key=lambda m: -np.mean([lead[m].value for lead in leads.values() if lead[m]] or [0]))
    for number, (title, lead) in enumerate(leads.items()):
        found = [(y, lead[method]) for y, method in enumerate(order) if lead[method]]
        shift = 0.3 * (number - (len(leads) - 1) / 2)
        reach = [[one.value - one.low for _, one in found], [one.high - one.value for _, one in found]]
        axis.errorbar(
            [one.value for _, one in found],
            [y + shift for y, _ in found],
            xerr=np.nan_to_num(reach),
            linestyle="none",
            capsize=2,
            label=title,
        )
    axis.axvline(0, color="black", linewidth=1)
    axis.set_yticks(range(len(order)), order)
    axis.set_xlabel(f"{DEFAULT} − other (points of test accuracy), mean and 95% interval")  # noqa: RUF001
    axis.legend(loc="upper right")
    return figure


def tuning_cells(bench: Bench) -> list[Cell]:
    """Return every method in every regime in the tuning settings, with a large validation set."""
    some = {name: options for name, options in settings(bench).items() if ", ".join(parts_of(name)[1:]) in TUNED_UNDER}
    methods = {
        f"{method}; {regime}": (*how, *options, "--split.validation_per_class", str(bench.chosen_by))
        for method, how in methods_on(bench).items()
        for regime, options in REGIMES.items()
    }
    return grid(some, methods)


def tuning_report(records: Records) -> Page:
    """Report the validation accuracy by method and regime, and the chosen regimes."""
    choice: dict[str, dict[str, str]] = {}
    parts, sampled = [], []
    for title in titles(records):
        means: dict[str, dict[str, float]] = {}
        for name in records.methods:
            method, _, regime = name.partition("; ")
            runs = [
                record
                for setting in records.settings
                if parts_of(setting)[0] == title
                for record in records.of(name, setting).values()
            ]
            if runs:
                values = np.array([record["curves"]["validation_accuracy"][-1] for record in runs])
                examples = np.array([record["split"]["validation"] for record in runs])
                means.setdefault(method, {})[regime] = float(np.mean(values))
                sampled.append(np.sqrt((values * (100 - values) / examples).sum()) / len(values))
        choice[title] = {method: max(found, key=found.__getitem__) for method, found in means.items()}
        rows = [
            [method, *(f"{found[r]:.1f}" if r in found else "–" for r in REGIMES), choice[title][method]]  # noqa: RUF001
            for method, found in means.items()
        ]
        parts += [f"## {title}", markdown_table(["method", *REGIMES, "chosen"], rows)]
    parts.append(
        f"Entries are validation accuracies (%) after the last epoch, averaged over {'; '.join(records.settings)}. The "
        f"finite number of validation examples gives an entry a standard error of up to {max(sampled):.1f} points. "
        "This does not include the variation between seeds. Choices by smaller differences are therefore due to chance."
    )
    return Page("Training regimes, chosen on a separate seed", parts, data=choice)


TUNING = Study(
    "compare_regimes",
    __doc__,
    tuning_cells,
    tuning_report,
    seeds=TUNING_SEEDS,
    curves=("test_accuracy", "validation_accuracy"),
    script="compare.py --tune",
)
STUDY = Study("compare", __doc__, partial(cells, choice={}), report)
BENCHES = {**SCALES, "small": (FASHION_MNIST_14, CIFAR10_16), "paper100": (CIFAR100,)}


def chosen_regimes(file: Path) -> Choice:
    """Read the regimes chosen by ``--tune``; empty if the file does not exist."""
    return json.loads(file.read_text()) if file.exists() else {}


def run(arguments: list[str]) -> int:
    """Run the tuning (``--tune``) or the comparison; returns the exit status."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--tune", action="store_true")
    tune, rest = first.parse_known_args(arguments)
    if tune.tune:
        return main(replace(TUNING, benches=BENCHES), rest)
    options = parser(STUDY).parse_args(rest)
    choice = chosen_regimes(options.results / f"{TUNING.named(options.scale)}.json")
    return main(replace(STUDY, cells=partial(cells, choice=choice), benches=BENCHES), rest)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
