"""One check of everything that only a GPU can tell: tests, times, memory, synchronisations, loading; eight minutes.

    python experiments/gpu_check.py
    python experiments/gpu_check.py --device cpu --quick    # dry run

Each section runs in a process of its own with a time limit, so that a failure or a broken device affects no other
section. What a section has found before it fails or reaches its limit is kept. The results are one JSON file and a
readable page next to it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Seconds for each section, in order of importance. They add up to less than TOTAL, which bounds the whole.
BUDGETS = {
    "epochs": 80,
    "options": 70,
    "strategies": 80,
    "tests": 110,
    "synchronisations": 30,
    "loading": 50,
    "operations": 40,
}
TOTAL = 470
TITLES = {
    "tests": "Tests marked gpu",
    "strategies": "Cost of a step by strategy: PreAct ResNet-18, batches of 100",
    "options": "Cost of a step by precision, layout and optimisers: PreAct ResNet-18, batches of 100",
    "epochs": "PreAct ResNet-18 on images of CIFAR-10's shape, batches of 100, with loading and augmentation",
    "synchronisations": "Synchronisations of host and device",
    "loading": "Time spent waiting for data",
    "operations": "Operations that take the most time",
}
OUTPUT = Path(__file__).parent / "results" / "gpu_check.json"


def run(section: str, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Run a section in its own process; returns its rows, seconds, and error if it failed or was stopped."""
    began, error = time.monotonic(), None
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "rows.jsonl"
        command = [sys.executable, __file__, "--section", section, "--device", options.device, "--output", str(found)]
        command += ["--quick"] if options.quick else []
        # A group of its own, so that the processes that a section starts end with it.
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            _, told = process.communicate(timeout=max(seconds, 1))
            if process.returncode:
                error = "\n".join(told.strip().splitlines()[-15:]) or f"exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            error = f"stopped after {seconds:.0f} seconds"
        rows = [json.loads(line) for line in found.read_text().splitlines()] if found.exists() else []
    return {"rows": rows, "seconds": round(time.monotonic() - began, 1), "error": error}


def child(section: str, options: argparse.Namespace) -> None:
    """Write the rows of a section to a file, each as soon as it is there."""
    from on_gpu.sections import rows_of  # here, because the parent needs no PyTorch

    with options.output.open("w") as file:
        for row in rows_of(section, options.device, options.quick):
            file.write(json.dumps(row) + "\n")
            file.flush()


def made_by(options: argparse.Namespace) -> dict[str, str]:
    """Return versions, commit and device, found by a process of its own."""
    code = (
        "import json, sys, torch; from vri_pyro.utils.provenance import provenance; "
        "print(json.dumps(provenance(torch.device(sys.argv[1]))))"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code, options.device], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return {"unknown": "no answer within a minute"}
    return json.loads(done.stdout) if done.returncode == 0 else {"unknown": done.stderr.strip()[-300:]}


def page(results: Mapping[str, Any]) -> str:
    """Return the results in Markdown."""
    versions = ", ".join(f"{name} {value}" for name, value in results["made_by"].items())
    parts = ["# Check on a GPU", f"`{results['command']}`; {versions}."]
    if results["quick"]:
        parts.append("A dry run with tiny sizes: the figures mean nothing.")
    for section, found in results["sections"].items():
        parts.append(f"## {TITLES[section]}")
        if found["error"]:
            parts.append(f"**Failed** after {found['seconds']} s:\n\n```\n{found['error']}\n```")
        parts += [f"{row['setting']}:\n\n```\n{row['text']}\n```" for row in found["rows"] if "text" in row]
        if rows := [row for row in found["rows"] if "text" not in row]:
            parts.append(_table(rows))
    return "\n\n".join(parts) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    head = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in head) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value).replace("|", "\\|")


def main() -> int:
    """Run the sections, and write the results after each of them; returns 1 if a section failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a dry run")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try out the script")
    parser.add_argument("--only", nargs="+", choices=BUDGETS, default=list(BUDGETS), help="sections to run")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="file of the results; the page is written next to it"
    )
    parser.add_argument("--section", choices=BUDGETS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.section:
        child(options.section, options)
        return 0

    from vri_pyro.utils.files import write_atomically

    end = time.monotonic() + TOTAL
    words = ["python experiments/gpu_check.py", *(["--device cpu"] if options.device == "cpu" else [])]
    results: dict[str, Any] = {
        "command": " ".join([*words, *(["--quick"] if options.quick else [])]),
        "quick": options.quick,
        "made_by": made_by(options),
        "sections": {},
    }
    for section in options.only:
        found = run(section, options, min(BUDGETS[section], end - time.monotonic()))
        results["sections"][section] = found
        print(f"{section}: {found['error'] or 'done'} ({found['seconds']} s)", flush=True)
        write_atomically(options.output, (json.dumps(results, indent=1) + "\n").encode())
        write_atomically(options.output.with_suffix(".md"), page(results).encode())
    print(f"written: {options.output} and {options.output.with_suffix('.md')}")
    return 1 if any(found["error"] for found in results["sections"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
