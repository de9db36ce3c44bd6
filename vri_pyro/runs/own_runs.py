"""Remember which runs the user made, so that they are opened again with the user's own classes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path

from vri_pyro.runs.trust import is_known

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def remember_run(folder: Path, config: str) -> None:
    """Remember that this user made a run, so that its own classes are trusted when it is opened again.

    The memory is a file in the user's state folder. It has a hash of the run folder, the configuration and the working
    directory, from which the classes are imported. A run that names known classes only needs no memory. If the file
    cannot be written, nothing is remembered.

    Args:
        folder: the run folder.
        config: content of its ``config.yaml``.
    """
    if all(is_known(found[0]) for found in _DOTTED.finditer(config)) or is_own_run(folder, config):
        return
    with suppress(OSError, RuntimeError):
        path = _memory()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write(_mark(folder, config) + "\n")


def is_own_run(folder: Path, config: str | None = None) -> bool:
    """Return whether this user made a run here: same folder, same configuration, same working directory.

    Args:
        folder: the run folder.
        config: content of its ``config.yaml``; None reads the file.
    """
    try:
        text = (Path(folder) / "config.yaml").read_text() if config is None else config
        return _mark(Path(folder), text) in _memory().read_text().splitlines()
    except (OSError, RuntimeError, ValueError):
        return False


def _memory() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "vri-pyro" / "own_runs"


def _mark(folder: Path, config: str) -> str:
    made_of = json.dumps([str(folder.resolve()), os.getcwd(), config])
    return hashlib.sha256(made_of.encode()).hexdigest()
