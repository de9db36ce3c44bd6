"""The sections: name, budget in seconds, and the generator of rows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import loader_speed
import numpy as np
import pyro
import step_cost
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from on_gpu.setting import FASTEST, SETTINGS, Setting
from on_gpu.timing import added_mebibytes, milliseconds
from vri_pyro.data import Augmentation, DeviceData, ImageFiles, StreamedData, Strong, Weak
from vri_pyro.data.batch import Batch

Row = dict[str, Any]
TESTS = Path(__file__).parents[2] / "tests"
WITH_GPU_TESTS = ("data", "infer", "diagnostics", "guides", "models")  # folders of tests
CYCLE = 4  # steps from one update of guide and prior to the next, in the rarest setting
EPOCHS, STEPS_AN_EPOCH = 160, 490  # the paper's CIFAR-10: 49,000 noisy examples in batches of 100


class Size(NamedTuple):
    """Sizes of a section: examples in a batch, timed steps, images."""

    batch: int
    steps: int
    images: int


def size(quick: bool) -> Size:
    """Return the sizes of a check, or of a dry run."""
    return Size(4, 1, 200) if quick else Size(100, 20, 50_000)


def tests(device: torch.device, quick: bool) -> Iterator[Row]:
    """Run the tests that are marked ``gpu``; a dry run only collects some."""
    chosen = (
        ["--collect-only", str(TESTS / "infer" / "test_devices.py")]
        if quick
        else [str(TESTS / folder) for folder in WITH_GPU_TESTS]
    )
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    yield {"exit status": done.returncode, "summary": lines[-1] if lines else done.stderr[-500:]}
    yield from ({"failed": line} for line in lines if line.startswith(("FAILED", "ERROR")))


def strategies(device: torch.device, quick: bool) -> Iterator[Row]:
    """Cost of a step with every strategy and cheaper step, PreAct ResNet-18, float32."""
    network = step_cost.NETWORKS["MLP" if quick else "PreAct ResNet-18"]
    plain = None
    for name in (step_cost.PLAIN, *step_cost.OURS):
        step = step_cost.make(name, step_cost.task(network, size(quick).batch, device))
        time = milliseconds(step.take, device, size(quick).steps) / step.times
        plain = plain or time
        yield {
            "step": name,
            "ms": time,
            "plain steps": time / plain,
            "MiB added": added_mebibytes(step.take, device),
        }


def options(device: torch.device, quick: bool) -> Iterator[Row]:
    """Cost of a step by precision, layout and optimisers; PreAct ResNet-18, batches of 100."""
    for name, setting in SETTINGS.items():
        take, (noisy, clean) = setting.built(device, quick), setting.batches(size(quick).batch, device)
        step = _cycle(take, noisy, clean)
        time = milliseconds(step, device, size(quick).steps) / CYCLE
        yield {"setting": name, "ms": time, "MiB added": added_mebibytes(step, device)}


def _cycle(take: Callable[[Batch, Batch], object], noisy: Batch, clean: Batch) -> Callable[[], object]:
    return lambda: [take(noisy, clean) for _ in range(CYCLE)]


class Reads(TorchDispatchMode):
    """Counts the tensors whose value is read by the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def synchronisations(device: torch.device, quick: bool) -> Iterator[Row]:
    """Values that the host reads in a step, and its synchronisations with the device."""
    for name in ("float32", "float32, fused", "plain SGD, float32"):
        take, (noisy, clean) = SETTINGS[name].built(device, quick), SETTINGS[name].batches(size(quick).batch, device)
        for _ in range(3):
            take(noisy, clean)
        with Reads() as reads:
            take(noisy, clean)
        row: Row = {"setting": name, "values read in a step": reads.count}
        if device.type == "cuda":
            row |= _device_synchronisations(lambda: take(noisy, clean))  # noqa: B023
        yield row


def _device_synchronisations(step: Callable[[], object]) -> Row:
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found = [w for w in caught if "synchroniz" in str(w.message)]
    places = sorted({f"{Path(w.filename).name}:{w.lineno}" for w in found})
    return {"synchronisations in a step": len(found), "at": ", ".join(places)}


def loading(device: torch.device, quick: bool) -> Iterator[Row]:
    """Share of the time of a step that is spent waiting for its batches; noisy batch augmented as in the paper."""
    for name, setting in {"float32": Setting(), "bfloat16, fused, cuDNN benchmark": Setting(**FASTEST)}.items():
        with tempfile.TemporaryDirectory() as folder:
            for data, (noisy, clean) in _sources(Path(folder), device, quick).items():
                take, steps = setting.built(device, quick), iter(range(2**62))
                ready = noisy(next(steps)), clean(0)
                alone = milliseconds(lambda: take(*ready), device, size(quick).steps)  # noqa: B023

                def loaded() -> None:
                    step = next(steps)  # noqa: B023
                    take(noisy(step), clean(step))  # noqa: B023

                whole = milliseconds(loaded, device, size(quick).steps)
                yield {"setting": name, "data": data, "ms": whole, "share of waiting": max(0.0, 1 - alone / whole)}


Sequence = Callable[[int], Batch]


def _sources(folder: Path, device: torch.device, quick: bool) -> dict[str, tuple[Sequence, Sequence]]:
    """Return sequences of noisy and clean batches from resident data, and from PNG files read by workers."""
    x, workers = loader_speed.images(200 if quick else 5000), 0 if quick else min(8, os.cpu_count() or 1)
    names = [f"{number}.png" for number in range(len(x))]
    for name, image in zip(names, x, strict=True):
        loader_speed.Image.fromarray(image).save(folder / name)
    labels = np.arange(len(x)) % 10
    about = labels, device, loader_speed.MEAN, loader_speed.STD
    resident = DeviceData(x, *about)
    streamed = StreamedData(ImageFiles(folder, names, 32), *about, workers=workers)
    return {
        "resident": (_batches(resident, Strong()), _batches(resident, Weak())),
        f"PNG files, {workers} workers": (_batches(streamed, Strong()), _batches(streamed, Weak())),
    }


def _batches(data: Any, augmentation: Augmentation) -> Sequence:
    return data.sequence(loader_speed.plan(len(data), augmentation, f"{type(augmentation).__name__} batches"))


def epochs(device: torch.device, quick: bool) -> Iterator[Row]:
    """Training PreAct ResNet-18 on images of CIFAR-10's shape: ms a step with loading, projected for 160 epochs."""
    count = size(quick).images
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    data = DeviceData(images, np.arange(count) % 10, device, loader_speed.MEAN, loader_speed.STD)
    noisy, clean = _batches(data, Strong()), _batches(data, Weak())
    for name, setting in SETTINGS.items():
        if name not in ("float32", "float32, convolutions too") and "benchmark" not in name and "same" not in name:
            continue
        take, steps = setting.built(device, quick), iter(range(2**62))

        def cycle() -> None:
            for step in (next(steps) for _ in range(CYCLE)):  # noqa: B023
                take(noisy(step), clean(step))  # noqa: B023

        time = milliseconds(cycle, device, size(quick).steps) / CYCLE
        yield {"setting": name, "ms": time, "minutes for 160 epochs": time * EPOCHS * STEPS_AN_EPOCH / 60_000}


def operations(device: torch.device, quick: bool) -> Iterator[Row]:
    """Operations that take the most time in a step."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    for name in ("float32", "bfloat16, fused, cuDNN benchmark"):
        take, (noisy, clean) = SETTINGS[name].built(device, quick), SETTINGS[name].batches(size(quick).batch, device)
        for _ in range(3):
            take(noisy, clean)
        with profile(activities=activities) as profiler:
            for _ in range(size(quick).steps):
                take(noisy, clean)
        sort = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=sort, row_limit=20, max_name_column_width=60)
        yield {"setting": name, "text": re.sub(r"[ \t]+$", "", table, flags=re.MULTILINE)}


SECTIONS: dict[str, Callable[[torch.device, bool], Iterator[Row]]] = {
    "tests": tests,
    "strategies": strategies,
    "options": options,
    "epochs": epochs,
    "synchronisations": synchronisations,
    "loading": loading,
    "operations": operations,
}


def rows_of(section: str, device: str, quick: bool) -> Iterator[Row]:
    """Run a section; validation of distributions, which reads values, is off as in training."""
    chosen = torch.device(device)
    if chosen.type == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    pyro.enable_validation(False)
    yield from SECTIONS[section](chosen, quick)
