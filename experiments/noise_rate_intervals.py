"""Coverage of the 95% interval of the noise rate, on finished runs with known true labels such as those of the demo.

    python experiments/noise_rate_intervals.py RUN [RUN ...]

For each run, the script reports the interval of the share of wrong labels, the true share, and whether the held-out
examples give rise to a warning about the interval. A run is named after its folder and the parent folder; for the demo
these are the method and the seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from vri_pyro.label_issues import evidence_of, rank
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.provenance import provenance

RESULTS = Path(__file__).parent / "results" / "noise_rate_intervals.json"


def measure(folder: Path) -> dict[str, Any]:
    """Measure the interval of a run in percent, the true share, and whether there is a warning.

    Raises:
        UserError: if the true labels of the run are unknown.
    """
    run = Run(folder)
    if run.split.true_labels is None:
        raise UserError(f"{folder}: the true labels are unknown; use runs with known true labels")
    issues = rank(evidence_of(run, run.split.noisy_indices, draws=1), seed=run.split.seed)
    low, high = issues.transition.noise_rate_interval()
    rate = run.split.realised_rate
    return {
        "run": f"{folder.parent.name}/{folder.name}",
        "low": round(100 * low, 2),
        "high": round(100 * high, 2),
        "true": round(100 * rate, 2),
        "covered": low <= rate <= high,
        "held out, right": None if issues.held_out is None else round(100 * issues.held_out[0], 1),
        "warned": issues.warning is not None,
    }


def main() -> int:
    """Measure the runs, print a summary and write the results; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        found = [measure(folder.absolute()) for folder in options.runs]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    told = [one for one in found if not one["warned"]]
    covered, warned = sum(one["covered"] for one in told), len(found) - len(told)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"runs": found, "made_by": provenance(torch.device("cpu"))}, indent=1) + "\n")
    summary = f"the interval covers in {covered} of {len(told)} runs without a warning; {warned} runs have a warning"
    Console().print(summary, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
