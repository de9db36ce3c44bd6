"""Peak memory and time of converting many posterior draws with ``from_pyro_svi``, for VRI's model and guide.

    python experiments/posterior_memory.py [--draws 1000] [--examples 5000] [--classes 10] [--chunk 20]

The conversion creates all groups: latent vector and rectifier under posterior and prior, both predictive
distributions, log-likelihoods and densities. The peak is that of the whole process, including PyTorch and Pyro. The
memory before the conversion and the size of the result are reported as well.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import torch

from vri_pyro.diagnostics import from_pyro_svi
from vri_pyro.guides import DiagonalNormal
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import Rectification
from vri_pyro.utils.provenance import provenance

FEATURES = 64
RESULTS = Path(__file__).parent / "results" / "posterior_memory.json"
MIB = 2**20


def peak() -> float:
    """Return the peak memory of this process so far in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB on Linux
    return used / (MIB if sys.platform == "darwin" else 2**10)


def measure(draws: int, examples: int, classes: int, chunk: int) -> dict[str, float]:
    """Measure time and memory of one conversion."""
    import arviz  # noqa: F401  # imported here to count as memory before the conversion

    output = ClassifierOutput(torch.randn(examples, classes), torch.randn(examples, FEATURES))
    y = torch.randint(classes, (examples,))
    pair = Rectification(FEATURES, classes), DiagonalNormal(FEATURES, classes)
    from_pyro_svi(pair, model_args=(output, y), num_samples=1)
    before, started = peak(), time.perf_counter()
    tree = from_pyro_svi(pair, model_args=(output, y), num_samples=draws, chunk_size=chunk)
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 1),
        "peak_mib": round(peak()),
        "before_mib": round(before),
        "result_mib": round(sum(group.nbytes for group in tree.children.values()) / MIB),
    }


def main() -> int:
    """Measure, print and write the results; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("draws", 1000), ("examples", 5000), ("classes", 10), ("chunk", 20)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.manual_seed(0)
    sizes = {name: getattr(options, name) for name in ("draws", "examples", "classes", "chunk")}
    found = measure(**sizes)
    print(json.dumps(sizes | found))
    made_by = provenance(torch.device("cpu"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"sizes": sizes, "found": found, "made_by": made_by}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
