"""Checkpoints: written so that a crash or a full disk leaves the previous one whole, read without pickled code."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from vri_pyro.utils.deprecations import DeprecatedNameWarning, current_checkpoint_state, current_configuration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

FORMAT = 3
_OLD_FORMAT = 2  # of version 0.1
# What PyTorch raises, by kind of damage, for bytes that are no sound checkpoint.
_UNREADABLE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OSError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


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
        raise UserError(f"there is no checkpoint {path}; train with vri-pyro fit, without --resume")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UserError(f"checkpoint {path} is damaged or no checkpoint; delete it and start the run again") from error
    found = saved.get("format") if isinstance(saved, dict) else None
    if found not in (FORMAT, _OLD_FORMAT):
        raise UserError(
            f"checkpoint {path} has format {found}, this version of vri_pyro reads {FORMAT}; "
            "use the version that wrote it, or start the run again"
        )
    if config is not None and (difference := _first_difference(saved["config"], config)) is not None:
        raise UserError(
            f"checkpoint {path} belongs to another configuration ({difference}); resume with the run's own config.yaml "
            "and the version that began it, or choose another output folder"
        )
    return current_checkpoint_state(saved["state"]) if found == _OLD_FORMAT else saved["state"]


def _first_difference(saved: str, asked: str) -> str | None:
    """The first option in which two configurations in YAML differ, by its full name; None where they agree."""
    if saved == asked:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecatedNameWarning)  # reading config.yaml has warned already
        was = dict(named_options(current_configuration(yaml.safe_load(saved))))
    now = dict(named_options(yaml.safe_load(asked)))
    for name in was | now:
        before, after = was.get(name, "not set"), now.get(name, "not set")
        if before != after:
            return f"{name} was {before}, now it is {after}"
    return None


def named_options(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The options in a nested configuration and their values, named as on the command line."""
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for key, inner in value.items():
        inside = key not in ("class_path", "init_args")
        yield from named_options(inner, f"{name}.{key}".lstrip(".") if inside else name)
