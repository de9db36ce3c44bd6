"""Full-size runs on frozen features: CIFAR-10, 50,000 images, seen by EfficientNet-Lite0.

    python experiments/frozen_features.py --data cifar10.npz --features DIR [--seeds 0 1 2] [--epochs 10]

The features are extracted once with ``vri-pyro embed``, at 160 pixels; repeat the command if it is interrupted. Then a
linear classifier is trained on all examples by ``vri-pyro fit``, with VRI, the default, and with cross entropy. The
noise is flip 40% and instance-dependent 40%; 1,000 labels are clean. scikit-learn's logistic regression is trained on
the same standardised features: on the noisy and the clean labels together, on the clean labels alone and, as a bound,
on the true labels.

The time of a run is that of the whole command, from loading to the last evaluation, without the start of Python and
without the report. The time of the logistic regression is that of ``fit``, with its standardisation. Seconds are those
of the process, which other processes on the machine do not affect; the last column is by the clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from study.clock import timing

from vri_pyro.cli.main import main as vri_pyro
from vri_pyro.data import Arrays, FeatureFolder, Split
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.provenance import provenance

RESULTS = Path(__file__).parent / "results"
METHODS = {"VRI": "vri", "cross entropy": "cross_entropy"}
NOISES = {
    "flip 40%": ("--noise", "Flip", "--noise.rate", "0.4"),
    "instance 40%": ("--noise", "InstanceDependent", "--noise.rate", "0.4"),
}
PEERS = ("noisy and clean labels", "clean labels", "true labels")
ITERATIONS = 200
HEADINGS = ("noise", "method", "test accuracy (%)", "seconds an epoch", "seconds in all", "the same by the clock")


def embedded(options: argparse.Namespace) -> float:
    """Extract the features, or what is missing; return the seconds between the first and the last file."""
    arguments = ["embed", "--data", "NpzFile", "--data.path", str(options.data), "--data.verified", "true"]
    arguments += ["--backbone", options.backbone, "--output", str(options.features), "--batch_size", "32"]
    arguments += ["--rows_per_file", "2500", "--threads", "1", "--device", "cpu"]
    if vri_pyro(arguments):
        raise SystemExit(2)
    written = [path.stat().st_mtime for path in (options.features / "features.json", *options.features.glob("*.npy"))]
    return max(written) - min(written)


def fitted(options: argparse.Namespace, method: str, noise: str, seed: int) -> dict[str, Any]:
    """Train one run with the command line, and return its accuracy and times."""
    run = options.runs / f"{METHODS[method]}-{noise.split()[0]}-{seed}"
    arguments = ["fit", "--config", METHODS[method], "--data", "FeatureFolder", "--data.path", str(options.features)]
    arguments += [*NOISES[noise], "--split.clean_per_class", str(options.clean), "--epochs", str(options.epochs)]
    arguments += ["--seed", str(seed), "--loggers", "[study.clock.Clock]", "--report", "false", "--quiet", "true"]
    began, began_cpu = time.time(), time.process_time()
    if vri_pyro([*arguments, "--threads", "1", "--device", "cpu", "--output", str(run)]):
        raise SystemExit(2)
    whole, clock, times = time.process_time() - began_cpu, time.time() - began, timing(run)
    accuracy = RunFolder(run).read_summary()["results"]["last"]
    seconds = {"epoch": times.epoch_cpu, "whole": whole, "clock": clock}
    return {"method": method, "accuracy": accuracy, "epochs": times.epochs, **seconds}


def regressions(arrays: Arrays, split: Split) -> Iterator[dict[str, Any]]:
    """Train scikit-learn's logistic regression on the same features and labels."""
    y, y_test, x_test = arrays.y_train, arrays.y_test, arrays.x_test
    assert x_test is not None
    both = np.sort(np.concatenate([split.noisy_indices, split.clean_indices]))
    labels = {"noisy and clean labels": split.labels(y), "clean labels": y, "true labels": y}
    parts = {"noisy and clean labels": both, "clean labels": split.clean_indices, "true labels": both}
    for name in PEERS:
        x = arrays.x_train[parts[name]]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
        began, began_cpu = time.time(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it need not converge; the number of iterations is reported
            model.fit(x, labels[name][parts[name]])
        seconds = {"whole": time.process_time() - began_cpu, "clock": time.time() - began}
        accuracy = 100 * float((model.predict(x_test[:]) == y_test).mean())
        iterations = int(model[-1].n_iter_[0])
        yield {"method": f"logistic regression, {name}", "accuracy": accuracy, "iterations": iterations, **seconds}


def page(records: list[dict[str, Any]], seconds: float, examples: int, options: argparse.Namespace) -> str:
    """Return the results as Markdown."""
    lines = ["# Frozen features", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|---|---:|---:|---:|---:|"]
    for noise, method in dict.fromkeys((record["noise"], record["method"]) for record in records):
        found = [one for one in records if (one["noise"], one["method"]) == (noise, method)]
        epoch = f"{mean(found, 'epoch'):.1f}" if "epoch" in found[0] else "–"  # noqa: RUF001
        whole, clock = (f"{mean(found, name):.0f}" for name in ("whole", "clock"))
        cells = (noise, method, spread([one["accuracy"] for one in found]), epoch, whole, clock)
        lines.append("| " + " | ".join(cells) + " |")
    seeds = f"Seeds {', '.join(map(str, options.seeds))}; mean ± standard deviation if there are several."
    lines += [
        "",
        f"{seeds} {options.epochs} epochs in each stage, one thread. Features of {examples:,} images were extracted "
        f"once, in {seconds:,.0f} s by the clock. Logistic regression stops after at most {ITERATIONS} iterations.",
        "",
        f"    python experiments/frozen_features.py --data {options.data.name} --features {options.features.name} "
        f"--seeds {' '.join(map(str, options.seeds))} --epochs {options.epochs} --clean {options.clean}",
        "",
    ]
    return "\n".join(lines)


def mean(records: list[dict[str, Any]], name: str) -> float:
    """Return the mean of a number over records."""
    return sum(record[name] for record in records) / len(records)


def spread(values: list[float]) -> str:
    """Return mean and standard deviation as text."""
    text = f"{np.mean(values):.1f}"
    return f"{text} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else text


def main() -> int:
    """Extract, train, print and write the results; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="an .npz file with x_train, y_train, x_test, y_test")
    parser.add_argument("--features", type=Path, required=True, help="folder of the features")
    parser.add_argument("--backbone", default="EfficientNetLite0")
    parser.add_argument("--runs", type=Path, default=Path("runs/frozen_features"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--clean", type=int, default=100, help="number of clean labels per class")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = embedded(options)
    records = []
    arrays = FeatureFolder(options.features).load()
    for seed in options.seeds:
        for noise in NOISES:
            for method in METHODS:
                records.append({"noise": noise, "seed": seed, **fitted(options, method, noise, seed)})
                print(json.dumps(records[-1]), flush=True)
            split = Split.load(RunFolder(options.runs / f"vri-{noise.split()[0]}-{seed}").split)
            for record in regressions(arrays, split):
                records.append({"noise": noise, "seed": seed, **record})
                print(json.dumps(records[-1]), flush=True)
    examples = len(arrays.y_train) + (0 if arrays.y_test is None else len(arrays.y_test))
    text = page(records, seconds, examples, options)
    print(text)
    made_by = provenance(torch.device("cpu"))
    found = {"records": records, "embed_seconds": round(seconds), "examples": examples, "made_by": made_by}
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "frozen_features.json").write_text(json.dumps(found, indent=2) + "\n")
    (options.results / "frozen_features.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
