"""Draw the README's figure: accuracies of cross entropy and VRI on noisy labels, and the most suspicious labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from vri_pyro import Run
from vri_pyro.cli.main import main as vri_pyro
from vri_pyro.label_issues import evidence_of, rank

CONFIGS = Path(__file__).parent / "configs"
METHODS = {"cross entropy": ("cross_entropy", "tab:red"), "VRI": ("vri", "tab:blue")}
SUSPECTS = 10


def main() -> int:
    """Train both methods on digits with 40% wrong labels, and draw accuracies and suspects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/overview"), help="where the run folders go")
    parser.add_argument("--output", type=Path, default=Path("docs/overview.png"), help="the picture")
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    runs = {name: _trained(options.runs / config, config, options.epochs) for name, (config, _) in METHODS.items()}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), width_ratios=(1, 1.35), layout="constrained")
    _draw_accuracies(left, runs)
    _draw_suspects(right, runs["VRI"])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=120)
    print(options.output)
    return 0


def _trained(folder: Path, config: str, epochs: int) -> Run:
    arguments = ["--config", str(CONFIGS / f"{config}.yaml"), "--epochs", str(epochs), "--output", str(folder)]
    fixed = ["--resume", "true", "--report", "false", "--quiet", "true", "--threads", "1", "--device", "cpu"]
    if vri_pyro(["fit", *arguments, *fixed]):
        raise SystemExit(1)
    return Run(folder)


def _draw_accuracies(axis: Axes, runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        rows = [row for row in run.folder.read_metrics() if row["stage"] == "training"]
        axis.plot([row["test_accuracy"] for row in rows], color=METHODS[name][1])
        axis.annotate(
            f"{name}: {rows[-1]['test_accuracy']:.0f}%",
            (len(rows) - 1, rows[-1]["test_accuracy"]),
            xytext=(-4, -14),
            textcoords="offset points",
            ha="right",
            color=METHODS[name][1],
        )
    axis.set(
        xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 102), title="Digits, 40% of the labels wrong (seed 0)"
    )
    axis.spines[["top", "right"]].set_visible(False)


def _draw_suspects(axis: Axes, run: Run) -> None:
    issues = rank(evidence_of(run, run.split.noisy_indices), seed=run.split.seed)
    axis.axis("off")
    axis.set_title("The labels that VRI suspects most")
    for place, row in enumerate(issues.order()[:SUSPECTS].tolist()):
        image = run.examples.original(next(run.examples.in_order(run.split.noisy_indices[[row]], 1)).x)[0, 0].numpy()
        inset = axis.inset_axes((place % 5 / 5 + 0.01, 0.5 - place // 5 * 0.5, 0.18, 0.36))
        inset.imshow(image, cmap="gray_r")
        inset.set(xticks=[], yticks=[])
        given, suggested = (run.classes[int(labels[row])] for labels in (issues.given, issues.suggested))
        inset.set_title(f"given {given}, suggested {suggested}", fontsize=8)


if __name__ == "__main__":
    sys.exit(main())
