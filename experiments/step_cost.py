"""Cost of a bi-level step with every hypergradient strategy: time, added memory, and Pyro's share of the time.

    python experiments/step_cost.py [--device cuda] [--rounds 15] [--only SplitJVP Unrolled]

Time is reported relative to a plain SGD step. The steps take turns in one process, so that changes in machine speed
affect them equally; medians are shown. On a CPU, the script uses one thread and measures process time. Added memory is
the peak of the resident set during a step minus the resident set before it; each step is measured in its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pyro
import torch
from torch import nn
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from vri_pyro.backbones import PreActResNet18
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.hypergradient import (
    Hypergradient,
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.models import Rectification
from vri_pyro.utils.provenance import provenance

CLASSES = 10
STRATEGIES: dict[str, tuple[type[Hypergradient], bool]] = {
    "Unrolled": (Unrolled, True),
    "SplitVJP": (SplitVJP, True),
    "SplitJVP": (SplitJVP, True),
    "SplitJVP, forward not shared": (SplitJVP, False),
    "SplitFiniteDifference": (SplitFiniteDifference, True),
    "SplitFiniteDifference, forward not shared": (SplitFiniteDifference, False),
    "SplitForwardDifference": (SplitForwardDifference, True),
    "SplitForwardDifference, forward not shared": (SplitForwardDifference, False),
}
PLAIN = "plain SGD"


def batch(size: int, device: torch.device) -> Batch:
    """Create a random batch of 32 x 32 colour images."""
    return Batch(torch.randn(size, 3, 32, 32, device=device), torch.randint(CLASSES, (size,), device=device))


def optimizer_of(classifier: nn.Module) -> torch.optim.SGD:
    """Return the paper's optimiser of the classifier."""
    return torch.optim.SGD(classifier.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)


def plain_step(size: int, device: torch.device) -> Callable[[], object]:
    """Return a function that takes a plain SGD step."""
    classifier = PreActResNet18((3, 32, 32), CLASSES).to(device)
    optimizer, (x, y, *_) = optimizer_of(classifier), batch(size, device)

    def step() -> None:
        F.cross_entropy(classifier(x).logits, y).backward()
        optimizer.step()
        optimizer.zero_grad()  # at the end, so that gradients count as added memory, as in a bi-level step

    return step


def bilevel_step(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return a function that takes a bi-level step with the named strategy, the paper's widths and k = 2."""
    strategy, share = STRATEGIES[name]
    classifier: Classifier = PreActResNet18((3, 32, 32), CLASSES).to(device)
    shape = classifier.feature_dim, CLASSES
    model, guide = Rectification(*shape).to(device), DiagonalNormal(*shape).to(device)
    svi = BilevelSVI(
        classifier,
        model,
        guide,
        optimizer_of(classifier),
        torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=3e-4),
        elbo=RectificationELBO(num_particles=2),
        hypergradient=strategy(),
        share_forward=share,
    )
    noisy, clean = batch(size, device), batch(size, device)
    return lambda: svi.step(noisy, clean)


def make(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return the step called ``name``."""
    return plain_step(size, device) if name == PLAIN else bilevel_step(name, size, device)


def clock(device: torch.device) -> float:
    """Return process time in seconds on a CPU, and wall time after synchronisation on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def interleaved(steps: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Time the steps in turn; returns the seconds of every call without two warm-up rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 2):
        for name, step in steps.items():
            start = clock(device)
            step()
            if round_ >= 2:
                seconds[name].append(clock(device) - start)
    return seconds


def added_memory(name: str, size: int, device: torch.device) -> float:
    """Measure the memory in MiB that a step adds at its peak, in the third step, when all states are allocated."""
    step = make(name, size, device)
    step()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    step()
    return (_resident("VmHWM") - before) / 2**10


def _resident(field: str) -> int:
    """Read a memory field of this process in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def memory_in_own_process(name: str, size: int, device: torch.device) -> float:
    """Call :func:`added_memory` in a new process whose allocator returns freed memory to the system."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--memory-of", name, "--batch", str(size), "--device", device.type]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def pyros_part(size: int, rounds: int, device: torch.device) -> tuple[float, float]:
    """Time the two ELBO evaluations of a step in milliseconds, with Pyro and with an equivalent without Pyro."""
    features = torch.randn(size, 512, device=device)
    output = ClassifierOutput(torch.randn(size, CLASSES, device=device, requires_grad=True), features)
    y = torch.randint(CLASSES, (size,), device=device)
    model, guide = Rectification(512, CLASSES).to(device), DiagonalNormal(512, CLASSES).to(device)
    elbo = RectificationELBO(num_particles=2)

    def direct() -> object:
        q = guide.posterior(output, y)
        v = q.rsample((2,))
        logits = model.link(v) * output.logits
        log_likelihood = Categorical(logits=logits, validate_args=False).log_prob(y).mean(0)
        return log_likelihood, kl_divergence(q, model.prior(features))

    timed = interleaved({"pyro": lambda: elbo.terms(model, guide, output, y), "direct": direct}, rounds, device)
    return 2e3 * median(timed["pyro"]), 2e3 * median(timed["direct"])


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), help="strategies to measure")
    parser.add_argument("--output", type=Path, help="also write the results to this file as JSON")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pyro.enable_validation(False)
    if options.memory_of:
        print(added_memory(options.memory_of, options.batch, device))
        return

    names = [PLAIN, *options.only]
    seconds = interleaved({name: make(name, options.batch, device) for name in names}, options.rounds, device)
    rows = []
    for name in names:
        ratios = [own / plain for own, plain in zip(seconds[name], seconds[PLAIN], strict=True)]
        memory = memory_in_own_process(name, options.batch, device)
        rows.append({"step": name, "plain_steps": median(ratios), "ms": 1e3 * median(seconds[name]), "mib": memory})
    with_pyro, without = pyros_part(options.batch, 300, device)

    print(f"PreAct ResNet-18, 3x32x32, batch {options.batch}, {options.rounds} rounds; {provenance(device)}\n")
    print("| step | in plain SGD steps | ms | memory added, MiB |\n|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row['step']} | {row['plain_steps']:.2f} | {row['ms']:.0f} | {row['mib']:.0f} |")
    print(f"\nPyro's part of a step: {with_pyro - without:.2f} ms ({with_pyro:.2f} with Pyro, {without:.2f} without)")
    if options.output:
        figures = {"rows": rows, "pyro_ms": with_pyro, "direct_ms": without, "made_by": provenance(device)}
        options.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
