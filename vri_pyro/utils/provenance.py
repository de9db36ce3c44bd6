"""Provenance of a result: versions, commit and hardware."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import numpy as np
import pyro
import torch

import vri_pyro
from vri_pyro.utils.processes import share

_TREE = Path(vri_pyro.__file__).parents[1]
_RESULTS = "experiments/results"  # output files of studies, which do not affect the code


def provenance(device: torch.device) -> dict[str, str]:
    """Return the package versions and the hardware, and the commit if the package runs from a git checkout."""
    on_gpu, processes = device.type == "cuda", share().world_size
    commit = _commit()
    return {
        "vri_pyro": vri_pyro.__version__,
        **({"commit": commit} if commit else {}),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if on_gpu else f"cpu, {torch.get_num_threads()} threads",
        **({"processes": str(processes)} if processes > 1 else {}),
    }


def _commit() -> str | None:
    """Return the commit of the checkout, with the suffix "-dirty" if the code has uncommitted changes.

    Return None if the package is not at the top of a git checkout, for example in a virtual environment inside another
    checkout.
    """
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top) != _TREE:
        return None
    commit = _git("describe", "--always")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){_RESULTS}")
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=_TREE, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
