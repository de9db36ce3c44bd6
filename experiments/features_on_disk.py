"""Memory and speed of training on features that stay on disk: a million rows of 768 numbers.

    python experiments/features_on_disk.py [--rows 1000000] [--dim 768] [--steps 200] [--folder DIR]

Random features are written to a temporary folder with ``embed`` and deleted at the end: 1.5 GB as they are, and 1.5 GB
as shards. One epoch of ``vri-pyro fit`` with the default method, of 200 steps of 1,000 rows, then runs in a process of
its own, after an estimation stage of one epoch. Its memory is read
from /proc (Linux) every 20 ms:

* ``anonymous_mib``: largest RssAnon, the memory that the process has allocated;
* ``peak_mib``: VmHWM, the largest total, which also counts the pages of the page cache that the process has mapped; the
  system takes these back when it needs memory.

The start includes the hashes of all rows, the search for duplicates, and the standardisation, which read all files.

The speed of reading is compared with plain reads of the same files: in order, and row by row at the sorted positions of
a random batch (``pread``). "cold" means after the files were dropped from the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from study.clock import timing

from vri_pyro.backbones import MLP
from vri_pyro.data import Arrays, BatchPlan, FeatureFolder, StoredData, StoredVectors, generator_for
from vri_pyro.runs.embedding import embed
from vri_pyro.utils.provenance import provenance

RESULTS = Path(__file__).parent / "results" / "features_on_disk.json"
CLASSES = 10
MIB = 2**20


def generate(path: Path, rows: int, dim: int) -> Arrays:
    """Write vectors around one random centre per class to an .npy file, chunk by chunk."""
    generator = np.random.default_rng(0)
    centres = 0.2 * generator.standard_normal((CLASSES, dim), dtype=np.float32)
    labels = generator.integers(CLASSES, size=rows)
    whole = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(rows, dim))
    for start in range(0, rows, 10_000):
        part = labels[start : start + 10_000]
        whole[start : start + 10_000] = centres[part] + generator.standard_normal((len(part), dim), dtype=np.float32)
    whole.flush()
    names = tuple(map(str, range(CLASSES)))
    return Arrays(StoredVectors([np.load(path, mmap_mode="r")]), labels, None, None, names)


def identity(input_shape: tuple[int, ...], num_classes: int) -> MLP:
    """Return a network whose features are its inputs."""
    return MLP(input_shape, num_classes, hidden=())


def drop(files: Iterable[Path]) -> None:
    """Drop files from the page cache."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def fit(folder: Path, output: Path, batch: int, steps: int) -> dict[str, float]:
    """Run ``vri-pyro fit`` for an epoch of a number of steps, and measure its time and memory."""
    options = {
        "--data": "FeatureFolder",
        "--data.path": str(folder),
        "--split.clean_per_class": "100",
        "--split.noisy_size": str(batch * steps),
        "--batch_size": str(batch),
        "--epochs": "1",
        "--threads": "1",
        "--device": "cpu",
        "--report": "false",
        "--quiet": "true",
        "--loggers": "[study.clock.Clock]",
        "--output": str(output),
    }
    arguments = [word for option in options.items() for word in option]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    began, anonymous, peak = time.time(), 0.0, 0.0
    process = subprocess.Popen([sys.executable, "-m", "vri_pyro.cli", "fit", *arguments], env=environment)
    while process.poll() is None:
        used = memory(process.pid)
        anonymous, peak = max(anonymous, used.get("RssAnon", 0.0)), max(peak, used.get("VmHWM", 0.0))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(process.returncode)
    times = timing(output)
    return {
        "start_seconds": round(times.first_step - began, 1),
        "epoch_seconds": round(times.epoch, 1),
        "epoch_cpu_seconds": round(times.epoch_cpu, 1),
        "epochs": times.epochs,
        "whole_seconds": round(time.time() - began, 1),
        "anonymous_mib": round(anonymous),
        "peak_mib": round(peak),
    }


def memory(process: int) -> dict[str, float]:
    """Return the memory of a process in MiB by name, as in /proc/PID/status; empty where there is none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) / 2**10 for name, size, _ in fields}


def reading(folder: Path, files: list[Path], batch: int, batches: int) -> dict[str, float]:
    """Measure plain reads, and the batches of ``StoredData``, in rows a second."""
    arrays = FeatureFolder(folder).load()
    rows, dim = arrays.x_train.shape
    width, most = 2 * dim, len(np.load(files[0], mmap_mode="r"))
    places = [generator_for(0, step).integers(rows, size=batch) for step in range(batches)]
    descriptors = [os.open(path, os.O_RDONLY) for path in files]

    def in_order() -> None:
        for path in files:
            with path.open("rb", buffering=0) as file:
                while file.read(8 * MIB):
                    pass

    def row_by_row() -> None:
        for place in places:
            for row in np.sort(place).tolist():
                os.pread(descriptors[row // most], width, 128 + width * (row % most))

    def stored() -> None:
        data = StoredData(arrays.x_train, arrays.y_train, "cpu", np.zeros(dim), np.ones(dim))  # type: ignore[arg-type]
        batch_of = data.sequence(BatchPlan(np.arange(rows), batch, 0, "noisy batches"))
        for step in range(batches):
            batch_of(step)

    found = {}
    for name, read, count in (
        ("plain, in order", in_order, rows),
        ("plain, row by row", row_by_row, batch * batches),
        ("StoredData, random batches", stored, batch * batches),
    ):
        drop(files)
        found[f"{name}, cold"] = rate(read, count)
        in_order()
        found[f"{name}, warm"] = rate(read, count)
    for descriptor in descriptors:
        os.close(descriptor)
    return found


def rate(work: Callable[[], None], rows: int) -> float:
    """Return rows a second."""
    began = time.perf_counter()
    work()
    return round(rows / (time.perf_counter() - began))


def main() -> int:
    """Measure, print and write the results; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("rows", 1_000_000), ("dim", 768), ("batch", 1000), ("steps", 200), ("read_batches", 50)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--folder", type=Path, default=None, help="where to put the temporary files")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        place = Path(name)
        arrays, folder = generate(place / "whole.npy", options.rows, options.dim), place / "features"
        began = time.perf_counter()
        embed(arrays, identity, folder, made_from={}, batch_size=options.batch, rows_per_file=65_536)
        seconds = time.perf_counter() - began
        (place / "whole.npy").unlink()
        files = sorted(folder.glob("*.npy"))
        found = {
            "gigabytes": round(sum(path.stat().st_size for path in files) / 1e9, 3),
            "embed_seconds": round(seconds, 1),
            "rows_a_second": reading(folder, files, options.batch, options.read_batches),
        }
        drop(files)
        found["fit"] = fit(folder, place / "run", options.batch, options.steps)
    print(json.dumps(found, indent=2))
    sizes = {name: getattr(options, name) for name in ("rows", "dim", "batch", "steps")}
    made_by = provenance(torch.device("cpu"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"sizes": sizes, "found": found, "made_by": made_by}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
