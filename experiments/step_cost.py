"""Cost of a bi-level step: time, added memory, and Pyro's part, for every strategy and option and for other engines.

    python experiments/step_cost.py [--networks MLP SmallCNN] [--only SplitJVP late higher] [--device cuda]

Time is reported relative to a plain SGD step. The steps take turns in one process, so that changes in machine speed
affect them equally; medians of the ratios are shown. On a CPU, the script uses one thread and measures process time.
Added memory is the peak of the resident set during a step minus the resident set before it; each step is measured in
its own process.

Every step is the paper's: the virtual SGD step with momentum and weight decay on the rectified loss with two sampled
vectors, the clean loss there and the KL, a step of Adam on guide and prior, and the real SGD step without a clean
batch. The other engines (experiments/peers_of_the_engine) are left out if they are not installed:
``pip install higher torchopt betty-ml``; BOAT runs from its unpacked source, in ``PYTHONPATH``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import pyro
import torch
from peers_of_the_engine import PEERS, Task, missing_library
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from vri_pyro.backbones import MLP, PreActResNet18, ResNet32, SmallCNN
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.hypergradient import (
    SplitFiniteDifference,
    SplitForwardDifference,
    SplitJVP,
    SplitVJP,
    Unrolled,
)
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.models import PriorNetwork, Rectification
from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.provenance import provenance

CLASSES, SHAPE, HIDDEN = 10, (3, 32, 32), (128, 64)  # widths of the networks of guide and prior
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Network:
    """A classifier to measure, the size of its batches, and the default number of rounds of timing."""

    build: Callable[..., Classifier]
    batch: int
    rounds: int


NETWORKS = {
    "MLP": Network(MLP, 100, 60),
    "SmallCNN": Network(SmallCNN, 100, 25),
    "ResNet-32": Network(ResNet32, 100, 3),
    "PreAct ResNet-18": Network(PreActResNet18, 32, 2),
}
PLAIN = "plain SGD"
OURS: dict[str, dict[str, Any]] = {
    "SplitJVP": {"hypergradient": SplitJVP},
    "SplitVJP": {"hypergradient": SplitVJP},
    "Unrolled": {"hypergradient": Unrolled},
    "SplitFiniteDifference": {"hypergradient": SplitFiniteDifference},
    "SplitForwardDifference": {"hypergradient": SplitForwardDifference},
    "SplitJVP, not shared": {"hypergradient": SplitJVP, "share_forward": False},
    "SplitVJP, not shared": {"hypergradient": SplitVJP, "share_forward": False},
    "Unrolled, not shared": {"hypergradient": Unrolled, "share_forward": False},
    "SplitFiniteDifference, not shared": {"hypergradient": SplitFiniteDifference, "share_forward": False},
    "SplitForwardDifference, not shared": {"hypergradient": SplitForwardDifference, "share_forward": False},
    "late": {"hypergradient": SplitJVP, "late": True},
    "every 4th step": {"hypergradient": SplitJVP, "outer_every": 4},
    "late, every 4th step": {"hypergradient": SplitJVP, "late": True, "outer_every": 4},
}
STEPS = [*OURS, *PEERS]
LATE = ("late", "every 4th step", "late, every 4th step")


@dataclass(frozen=True)
class Step:
    """A function that takes ``times`` steps."""

    take: Callable[[], object]
    times: int = 1


def task(network: Network, size: int, device: torch.device) -> Task:
    """Create networks, optimisers and random batches."""
    classifier = network.build(SHAPE, CLASSES).to(device)
    shape = classifier.feature_dim, CLASSES
    model = Rectification(*shape, prior=lambda *of: PriorNetwork(*of, hidden=HIDDEN)).to(device)
    guide = DiagonalNormal(*shape, hidden=HIDDEN).to(device)
    inner = torch.optim.SGD(classifier.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    outer = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=3e-4)
    return Task(classifier, model, guide, inner, outer, batch(size, device), batch(size, device))


def batch(size: int, device: torch.device) -> Batch:
    """Create a random batch of 32 x 32 colour images."""
    return Batch(torch.randn(size, *SHAPE, device=device), torch.randint(CLASSES, (size,), device=device))


def make(name: str, task: Task) -> Step:
    """Return the step called ``name``."""
    if name == PLAIN:
        return Step(lambda: plain(task))
    if name in PEERS:
        return Step(PEERS[name](task).step)
    options = dict(OURS[name])
    parts = task.classifier, task.model, task.guide, task.inner_optimizer, task.outer_optimizer
    strategy = options.pop("hypergradient")()
    svi = BilevelSVI(
        *parts, elbo=RectificationELBO(task.particles), clean_weight=0.0, hypergradient=strategy, **options
    )
    return Step(lambda: [svi.step(task.noisy, task.clean) for _ in range(svi.outer_every)], svi.outer_every)


def plain(task: Task) -> None:
    """Take a plain SGD step."""
    F.cross_entropy(task.classifier(task.noisy.x).logits, task.noisy.y).backward()
    task.inner_optimizer.step()
    task.inner_optimizer.zero_grad()  # at the end, so that gradients count as added memory, as in a bi-level step


def clock(device: torch.device) -> float:
    """Return process time in seconds on a CPU, and wall time after synchronisation on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def interleaved(steps: Mapping[str, Step], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Time the steps in turn, after one call of each to warm up; returns the seconds of a step in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step.take()
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock(device)
            step.take()
            seconds[name].append((clock(device) - start) / step.times)
    return seconds


def added_memory(step: Step, device: torch.device) -> float:
    """Measure the memory in MiB that a step adds at its peak, in the third call, when all states are allocated."""
    step.take()
    step.take()
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step.take()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    step.take()
    return (_resident("VmHWM") - before) / 2**10


def _resident(field: str) -> int:
    """Read a memory field of this process in KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def memory_in_own_process(name: str, network: str, size: int, device: torch.device) -> float:
    """Call :func:`added_memory` in a new process whose allocator returns freed memory to the system."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--memory-of", name, "--networks", network, "--batch", str(size)]
    command += ["--device", device.type]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def measured(name: str, only: Iterable[str], options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure the steps of a network."""
    network = NETWORKS[name]
    size, rounds = options.batch or network.batch, options.rounds or network.rounds
    lacking = {step: missing for step in only if step in PEERS and (missing := missing_library(step))}
    names = [PLAIN, *(step for step in only if step not in lacking)]
    steps = {step: make(step, task(network, size, device)) for step in names}
    seconds = interleaved(steps, rounds, device)
    rows: list[dict[str, Any]] = []
    for step in names:
        ratios = [own / plain for own, plain in zip(seconds[step], seconds[PLAIN], strict=True)]
        row = {"step": step, "plain_steps": median(ratios), "ms": 1e3 * median(seconds[step])}
        if name in options.memory:
            row["mib"] = memory_in_own_process(step, name, size, device)
        rows.append(row)
    rows += [{"step": step, "missing": missing} for step, missing in lacking.items()]
    return {"batch": size, "rounds": rounds, "rows": rows}


def peers_versions() -> dict[str, str]:
    """Versions of the installed libraries of the peers."""
    found = {}
    for name in ("higher", "torchopt", "betty-ml", "boat-torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def pyros_part(size: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Time the two ELBO evaluations of a step of an MLP in milliseconds, with Pyro and with an equivalent without.

    Only the evaluations are timed, without their gradients, which are the same.
    """
    problem = task(NETWORKS["MLP"], size, device)
    model, guide, y = problem.model, problem.guide, problem.noisy.y
    features = torch.randn(size, problem.classifier.feature_dim, device=device)
    output = ClassifierOutput(torch.randn(size, CLASSES, device=device, requires_grad=True), features)
    elbo = RectificationELBO(num_particles=2)

    def direct() -> object:
        q = guide.posterior(output, y)
        v = q.rsample((2,))
        logits = model.link(v) * output.logits
        log_likelihood = Categorical(logits=logits, validate_args=False).log_prob(y).mean(0)
        return log_likelihood, kl_divergence(q, model.prior(features))

    steps = {
        "pyro": Step(lambda: elbo.terms(model, guide, output, y)),
        "direct": Step(direct),
        "step": make("SplitJVP", problem),
    }
    timed = interleaved(steps, rounds, device)
    difference = median(a - b for a, b in zip(timed["pyro"], timed["direct"], strict=True))
    milliseconds = {name: 1e3 * median(seconds) for name, seconds in timed.items()}
    return {
        "ms": 2e3 * difference,
        "with_pyro_ms": 2 * milliseconds["pyro"],
        "without_ms": 2 * milliseconds["direct"],
        "step_ms": milliseconds["step"],
    }


def page(figures: Mapping[str, Any]) -> str:
    """Return the page of results in Markdown."""
    networks = figures["networks"]
    order = [PLAIN, *STEPS]
    cells = {name: {row["step"]: row for row in about["rows"]} for name, about in networks.items()}
    steps = [step for step in order if any(step in rows for rows in cells.values())]
    with_memory = [name for name, rows in cells.items() if any("mib" in row for row in rows.values())]
    head = [f"{name}, batch {about['batch']}" for name, about in networks.items()]
    head += [f"memory added, MiB ({name})" for name in with_memory]
    lines = ["| step | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
    for step in steps:
        row = [_shown(rows.get(step), "plain_steps", ".2f") for rows in cells.values()]
        row += [_shown(cells[name].get(step), "mib", ".0f") for name in with_memory]
        lines.append(f"| {step}{'' if _is_exact(step) else ' *'} | " + " | ".join(row) + " |")
    made = [
        f"{name}: {about['rounds']} rounds; plain step {cells[name][PLAIN]['ms']:.1f} ms; "
        + ", ".join(f"{key} {value}" for key, value in about["made_by"].items())
        for name, about in networks.items()
    ]
    parts = ["# Cost of a step", "`python experiments/step_cost.py`", *__doc__.strip().split("\n\n")[2:]]
    parts += ["Time in plain SGD steps:", "\n".join(lines)]
    parts += [
        "\\* not the exact meta-gradient step. `late` and `every 4th step` use exact meta-gradients, less often or one "
        "step late; the cost of `every 4th step` is the mean over four steps. betty takes a finite difference one step "
        "late. The finite differences of this package are approximate."
    ]
    if part := figures.get("pyro"):
        parts.append(
            f"Pyro's part of a step (two evaluations of the ELBO, k = 2): {part['ms']:.2f} ms, "
            f"{part['ms'] / part['step_ms']:.0%} of a step of the MLP "
            f"({part['with_pyro_ms']:.2f} ms with Pyro, {part['without_ms']:.2f} without)."
        )
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in made)]) + "\n"


def _is_exact(step: str) -> bool:
    if step in PEERS:
        return PEERS[step].exact
    return step == PLAIN or (OURS[step]["hypergradient"].exact and step not in LATE)


def _shown(row: Mapping[str, Any] | None, key: str, digits: str) -> str:
    if row is not None and "missing" in row:
        return f"{row['missing']} is not installed"
    return "" if row is None or key not in row else format(row[key], digits)


def main() -> None:
    """Measure, print a page in Markdown, and write it with the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--memory", nargs="*", choices=NETWORKS, default=["PreAct ResNet-18"], help="networks whose memory is measured"
    )
    parser.add_argument("--batch", type=int, help="examples in a batch; default: depends on the network")
    parser.add_argument("--rounds", type=int, help="rounds of timing; default: depends on the network")
    parser.add_argument(
        "--only", nargs="+", choices=STEPS, default=STEPS, metavar="STEP", help=f"steps to measure: {', '.join(STEPS)}"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS / "step_cost.json",
        help="file of the figures, which keeps those of other networks; the page is written next to it",
    )
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device(options.device)
    logging.disable(logging.INFO)  # betty's messages
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pyro.enable_validation(False)
    if options.memory_of:
        (name,) = options.networks
        print(added_memory(make(options.memory_of, task(NETWORKS[name], options.batch, device)), device))
        return

    made_by = provenance(device) | peers_versions()
    figures = json.loads(options.output.read_text()) if options.output.exists() else {}
    known = figures.get("networks", {})
    for name in options.networks:
        known[name] = measured(name, options.only, options, device) | {"made_by": made_by}
        figures["networks"] = {name: known[name] for name in NETWORKS if name in known}
        if name == "MLP":
            figures["pyro"] = pyros_part(
                options.batch or NETWORKS[name].batch, 300 if options.rounds is None else options.rounds, device
            )
        write_atomically(options.output, (json.dumps(figures, indent=1) + "\n").encode())
        write_atomically(options.output.with_suffix(".md"), page(figures).encode())
    print(page(figures))


if __name__ == "__main__":
    main()
