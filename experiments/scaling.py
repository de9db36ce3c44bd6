"""Time of a training step against batch size, number of classes, number of particles and number of processes.

    python experiments/scaling.py [--device cuda] [--steps 20] [--only processes] [--methods default vector]

One quantity varies at a time; the others have the values of the base. Medians over the steps, in ms: the CPU time of
the first process, and, after a slash, the wall time. On a CPU, every process has one thread. The two times agree only
if the machine has an idle core for each process; on a busy machine, the CPU time says what idle cores would need.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyro
import torch
from torch import multiprocessing
from torch.optim import SGD, Adam

from vri_pyro.backbones import PreActResNet18, SmallCNN
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal, Hierarchical, NoLatents
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods import Bilevel, Method, SingleLevel
from vri_pyro.models import CrossEntropy, HierarchicalRectification, Rectification
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.processes import number_started, started
from vri_pyro.utils.provenance import provenance

SHAPE = (3, 32, 32)
BACKBONES: dict[str, Any] = {"SmallCNN": SmallCNN, "PreActResNet18": PreActResNet18}
METHODS: dict[str, Callable[[int], Method]] = {
    "default": lambda particles: _bilevel(HierarchicalRectification, Hierarchical, particles),
    "vector": lambda particles: _bilevel(Rectification, DiagonalNormal, particles),
    "cross entropy": lambda particles: SingleLevel(CrossEntropy, NoLatents, clean_weight=0.0),
}


class Setting(NamedTuple):
    """A step to time."""

    method: str = "default"
    backbone: str = "SmallCNN"
    batch: int = 128
    classes: int = 10
    particles: int = 2
    processes: int = 1


AXES: dict[str, tuple[int, ...]] = {
    "batch": (32, 64, 128, 256, 512),
    "classes": (10, 100, 1000),
    "particles": (1, 2, 5, 20),
    "processes": (1, 2),
}


def _bilevel(model: Any, guide: Any, particles: int) -> Bilevel:
    return Bilevel(model, guide, partial(Adam, lr=3e-4), num_particles=particles)


def step_times(setting: Setting, steps: int, device: str = "cpu") -> tuple[float, float]:
    """Time training steps of a setting; the processes start, and wait for each other, for the purpose.

    Args:
        setting: the setting.
        steps: number of timed steps, after two others.
        device: "cpu" or "cuda"; with "cuda", every process has a GPU of its own.

    Returns:
        median CPU time and median wall time of a step in the first process, in ms.
    """
    if setting.processes == 1:
        return _timed(setting, steps, device)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "times.json"
        multiprocessing.spawn(_process, (setting, steps, device, port, found), nprocs=setting.processes)
        cpu, wall = json.loads(found.read_text())
        return cpu, wall


def _process(rank: int, setting: Setting, steps: int, device: str, port: int, found: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(setting.processes)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with started():
        times = _timed(setting, steps, device)
    if rank == 0:
        found.write_text(json.dumps(times))


def _timed(setting: Setting, steps: int, device: str) -> tuple[float, float]:
    torch.set_num_threads(1)
    pyro.enable_validation(False)
    warnings.simplefilter("ignore")  # structural zeros of a method, which the study is not about
    torch.manual_seed(0)
    on = choose_device(device)  # type: ignore[arg-type]
    classifier = BACKBONES[setting.backbone](SHAPE, setting.classes).to(on)
    algorithm = METHODS[setting.method](setting.particles).build(classifier, partial(SGD, lr=0.02, momentum=0.9))
    x = torch.randn(setting.batch, *SHAPE, device=on)
    y, index = (torch.arange(setting.batch, device=on) % n for n in (setting.classes, setting.batch))
    whole = Batch(x, y, index)
    algorithm.begin_training(TrainingContext(classifier, lambda at: [x[at.to(on)]], y, index.cpu(), index.cpu()))
    batch, cpu, wall = whole.shared(), list[float](), list[float]()
    for _ in range(steps + 2):
        start = time.process_time(), time.perf_counter()
        algorithm.step(batch, batch)
        if on.type == "cuda":
            torch.cuda.synchronize()
        cpu.append(1e3 * (time.process_time() - start[0]))
        wall.append(1e3 * (time.perf_counter() - start[1]))
    return median(cpu[2:]), median(wall[2:])


def _settings(base: Setting, only: list[str]) -> Iterator[tuple[str, Setting]]:
    for axis in only:
        for value in AXES[axis]:
            yield axis, base._replace(**{axis: value})


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each setting")
    parser.add_argument("--only", nargs="+", choices=AXES, default=list(AXES), help="quantities to vary")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--backbone", choices=BACKBONES, default="SmallCNN")
    for name in AXES:
        parser.add_argument(f"--{name}", type=int, default=getattr(Setting(), name), help=f"{name} of the base")
    parser.add_argument("--output", type=Path, help="also write the results to this file as JSON")
    options = parser.parse_args()
    chosen = {name: getattr(options, name) for name in AXES}
    rows = []
    for axis, setting in _settings(Setting(backbone=options.backbone, **chosen), options.only):
        for method in options.methods:
            own = setting._replace(method=method)
            cpu, wall = step_times(own, options.steps, options.device)
            rows.append({"axis": axis, **own._asdict(), "cpu_ms": cpu, "wall_ms": wall})

    print(f"| | {' | '.join(options.methods)} |\n|---|{'---:|' * len(options.methods)}")
    for axis in options.only:
        for value in AXES[axis]:
            found = [row for row in rows if row["axis"] == axis and row[axis] == value]
            cells = [f"{row['cpu_ms']:.1f} / {row['wall_ms']:.1f}" for row in found]
            print(f"| {axis} {value} | {' | '.join(cells)} |")
    if options.output:
        made_by = provenance(choose_device(options.device))
        options.output.write_text(json.dumps({"rows": rows, "made_by": made_by}, indent=2) + "\n")


if __name__ == "__main__":
    assert number_started() == 1, "start this script without torchrun; it starts its own processes"
    main()
