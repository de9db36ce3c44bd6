"""Loading speed: resident and streamed data compared with a plain DataLoader and torchvision transforms.

    python experiments/loader_speed.py [--device cuda] [--rounds 15] [--workers 2]

The loaders take turns in one process, so that changes in machine speed affect them equally; medians are shown. Every
loader makes standardised float batches on the device from the same synthetic 32 x 32 colour images, without
augmentation, with weak augmentation (pad-crop, flip), and with strong augmentation (pad-crop, flip, RandAugment with
n = 2 and m = 10). Streamed images are decoded from PNG files; the images of the plain loader are in memory.

The script also measures the share of a VRI training step that is spent on loading, with resident data, a strongly
augmented noisy batch and a weakly augmented clean batch, on PreAct ResNet-18 and on a small CNN.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

from vri_pyro.backbones import PreActResNet18, SmallCNN
from vri_pyro.data import (
    Augmentation,
    BatchPlan,
    DeviceData,
    ImageFiles,
    NoAugmentation,
    StreamedData,
    Strong,
    Weak,
    generator_for,
)
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.models import Rectification
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.provenance import provenance

BATCH = 100
MEAN, STD = np.full(3, 0.5), np.full(3, 0.25)
AUGMENTATIONS: dict[str, Augmentation] = {"none": NoAugmentation(), "weak": Weak(), "strong": Strong()}
PLAIN: dict[str, list[torch.nn.Module]] = {
    "none": [],
    "weak": [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()],
    "strong": [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.RandAugment(2, 10)],
}


def images(count: int) -> np.ndarray:
    """Create smooth random images, uint8 [count, 32, 32, 3]."""
    coarse = torch.from_numpy(generator_for(0).random((count, 3, 4, 4)))
    fine = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return (fine * 255).byte().permute(0, 2, 3, 1).numpy()


def plan(count: int, augmentation: Augmentation, purpose: str = "noisy batches") -> BatchPlan:
    """Return a plan of batches from all images."""
    return BatchPlan(np.arange(count), BATCH, 0, purpose, augmentation)


class Plain:
    """DataLoader whose workers apply torchvision transforms to each image."""

    def __init__(self, x: np.ndarray, name: str, device: torch.device, workers: int) -> None:
        tensors = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
        steps = [*PLAIN[name], v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN.tolist(), STD.tolist())]
        self._data, self._transform = TensorDataset(tensors), v2.Compose(steps)
        self._device, self._workers = device, workers

    def collate(self, items: list[tuple[torch.Tensor]]) -> torch.Tensor:
        """Transform each image and stack them, as with a data set's ``transform``."""
        return torch.stack([self._transform(image) for (image,) in items])

    def __iter__(self) -> Iterator[torch.Tensor]:
        loader = DataLoader(
            self._data,
            BATCH,
            shuffle=True,
            num_workers=self._workers,
            collate_fn=self.collate,
            pin_memory=self._device.type == "cuda",
            multiprocessing_context="forkserver" if self._workers else None,
            persistent_workers=self._workers > 0,
        )
        while True:
            for batch in loader:
                yield batch.to(self._device, non_blocking=True)


def rate(make: Callable[[], object], batches: int, device: torch.device) -> float:
    """Measure images per second over a number of batches."""
    started = time.perf_counter()
    for _ in range(batches):
        make()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return batches * BATCH / (time.perf_counter() - started)


def paths(x: np.ndarray, folder: Path, device: torch.device, workers: int) -> dict[str, Callable[[], object]]:
    """Return functions that make the next batch, by loader and augmentation."""
    count, labels = len(x), np.zeros(len(x), dtype=np.int64)
    names = [f"{number}.png" for number in range(count)]
    for name, image in zip(names, x, strict=True):
        Image.fromarray(image).save(folder / name)
    resident = DeviceData(x, labels, device, MEAN, STD)
    streamed = StreamedData(ImageFiles(folder, names, 32), labels, device, MEAN, STD, workers=workers)
    found: dict[str, Callable[[], object]] = {}
    for name, augmentation in AUGMENTATIONS.items():
        for path, data in (("resident", resident), ("streamed from PNG files", streamed)):
            found[f"{path}, {name}"] = _counting(data.sequence(plan(count, augmentation)))
        found[f"plain DataLoader, {name}"] = iter(Plain(x, name, device, workers)).__next__
    return found


def _counting(at: Callable[[int], object]) -> Callable[[], object]:
    steps = iter(range(2**62))
    return lambda: at(next(steps))


def waiting_share(x: np.ndarray, device: torch.device, steps: int, backbone: Callable[..., Classifier]) -> float:
    """Measure the share of a VRI training step that is spent on loading its two batches from resident data.

    On a CPU, loading is timed directly. On CUDA, work is queued, so complete steps are compared with steps that reuse
    the same two batches.
    """
    classifier = backbone((3, 32, 32), 10).to(device)
    model, guide = (part(classifier.feature_dim, 10).to(device) for part in (Rectification, DiagonalNormal))
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.02, momentum=0.9)
    svi = BilevelSVI(
        classifier, model, guide, optimizer, torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=3e-4)
    )
    data = DeviceData(x, np.arange(len(x)) % 10, device, MEAN, STD)
    noisy = data.sequence(plan(len(x), Strong()))
    clean = data.sequence(plan(len(x), Weak(), "clean batches"))

    def batches(step: int) -> tuple[Batch, Batch]:
        return noisy(step), clean(step)

    ready = batches(0)
    svi.step(*ready)
    if device.type == "cpu":
        making, whole = (
            _seconds(lambda step: batches(step), steps, device),
            _seconds(lambda step: svi.step(*batches(step)), steps, device),
        )
        return making / whole
    without = median(_seconds(lambda _: svi.step(*ready), steps, device) for _ in range(5))
    whole = median(_seconds(lambda step: svi.step(*batches(step)), steps, device) for _ in range(5))
    return (whole - without) / whole


def _seconds(step: Callable[[int], object], steps: int, device: torch.device) -> float:
    started = time.perf_counter()
    for number in range(steps):
        step(number)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=20, help="batches per loader and round")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=3, help="training steps to measure; 0 to skip")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "loader_speed.json")
    options = parser.parse_args()
    device, x = choose_device(options.device), images(options.images)
    if device.type == "cpu":
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        makers = paths(x, Path(folder), device, options.workers)
        for make in makers.values():
            make()  # starts the workers
        rounds = [
            {name: rate(make, options.batches, device) for name, make in makers.items()} for _ in range(options.rounds)
        ]
    found = {name: median(one[name] for one in rounds) for name in makers}
    shares = {
        backbone.__name__: waiting_share(x, device, options.steps, backbone)
        for backbone in (PreActResNet18, SmallCNN)
        if options.steps
    }
    for name, images_a_second in found.items():
        plain = found[f"plain DataLoader, {name.rsplit(', ', 1)[1]}"]
        print(f"{name:<40} {images_a_second:>10,.0f} images/s {images_a_second / plain:>7.1f}x")
    for name, share in shares.items():
        print(f"share of a VRI step on {name} spent on its batches: {share:.2%}")
    record = {
        "images_per_second": found,
        "waiting_share": shares,
        "workers": options.workers,
        "cpu_count": os.cpu_count(),
        "made_by": provenance(device),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
