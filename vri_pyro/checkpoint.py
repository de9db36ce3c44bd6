"""Checkpoints: written so that a crash or a full disk leaves the previous one whole, read without pickled code."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from vri_pyro.errors import UserError

FORMAT = 1


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it was: write beside it, flush to disk, rename.

    Raises:
        UserError: when the file cannot be written; the previous file is intact.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        kept = "the previous file is intact" if path.exists() else "nothing was written"
        raise UserError(f"cannot write {path}: {error.strerror}; {kept}, free some space or fix the rights") from error


def save_checkpoint(path: Path, state: dict[str, Any], config: str) -> None:
    """Save ``state`` (tensors and plain values) with the configuration it belongs to.

    Args:
        path: the checkpoint's file.
        state: nested dicts and lists of tensors and plain values.
        config: the run's configuration as text.

    Raises:
        UserError: when it cannot be written; the previous checkpoint is intact.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "config": config, "state": state}, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, config: str | None = None) -> dict[str, Any]:
    """Load the state saved at ``path``.

    Args:
        path: the checkpoint's file.
        config: when given, the configuration that the checkpoint must belong to.

    Raises:
        UserError: for a missing or damaged file, another format, or another configuration.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; start the run without --resume")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise UserError(f"checkpoint {path} is damaged or no checkpoint; delete it and start the run again") from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        found = saved.get("format") if isinstance(saved, dict) else None
        raise UserError(
            f"checkpoint {path} has format {found}, this version of vri_pyro reads {FORMAT}; "
            "use the version that wrote it, or start the run again"
        )
    if config is not None and saved["config"] != config:
        raise UserError(
            f"checkpoint {path} belongs to another configuration ({_first_difference(saved['config'], config)}); "
            "resume with the run's own config.yaml, or choose another output folder"
        )
    return saved["state"]


def _first_difference(saved: str, asked: str) -> str:
    """The first lines that differ between two YAML texts."""
    pairs = zip(saved.splitlines() + [""], asked.splitlines() + [""], strict=False)
    was, now = next(((a.strip(), b.strip()) for a, b in pairs if a != b), ("", ""))
    return f"there '{was}', now '{now}'"
