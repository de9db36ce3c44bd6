"""Save and load checkpoints; writing is atomic, and loading executes no pickled code."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from vri_pyro.utils.deprecations import DeprecatedNameWarning, current_checkpoint_state, current_configuration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically

FORMAT = 3
_OLD_FORMAT = 2  # format of version 0.1
# Exceptions that torch.load raises for a damaged file, depending on the damage.
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
    """Save a state together with the configuration of its run.

    The file is replaced atomically: a crash or a full disk leaves the previous checkpoint intact.

    Args:
        path: checkpoint file.
        state: nested dicts and lists of tensors and plain values.
        config: configuration of the run as YAML text.

    Raises:
        UserError: the file cannot be written; the previous checkpoint is intact.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "config": config, "state": state}, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, config: str | None = None, may_differ: Collection[str] = ()) -> dict[str, Any]:
    """Load a state saved by :func:`save_checkpoint`.

    Args:
        path: checkpoint file.
        config: expected configuration as YAML text; None accepts any configuration.
        may_differ: options that may have any value, such as "data.path".

    Returns:
        the state, with tensors on the CPU. A state of version 0.1 is converted to the current keys.

    Raises:
        UserError: the file does not exist, is damaged, or has a different format or configuration.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; train with vri-pyro fit, without --resume")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UserError(f"checkpoint {path} is damaged or not a checkpoint; delete it and restart the run") from error
    found = saved.get("format") if isinstance(saved, dict) else None
    if found not in (FORMAT, _OLD_FORMAT):
        raise UserError(
            f"checkpoint {path} has format {found} but this version of vri_pyro reads format {FORMAT}; "
            "use the version that wrote it, or restart the run"
        )
    if config is not None and (difference := _first_difference(saved["config"], config, may_differ)) is not None:
        raise UserError(
            f"checkpoint {path} has a different configuration ({difference}); resume with the config.yaml of the run "
            "and the version of vri_pyro that started it, or choose another output folder"
        )
    return current_checkpoint_state(saved["state"]) if found == _OLD_FORMAT else saved["state"]


def _first_difference(saved: str, expected: str, may_differ: Collection[str]) -> str | None:
    """Describe the first option in which two YAML configurations differ; None if they agree."""
    if saved == expected:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecatedNameWarning)  # the warnings were shown when config.yaml was read
        was = dict(named_options(current_configuration(yaml.safe_load(saved))))
    now = dict(named_options(yaml.safe_load(expected)))
    for name in was | now:
        before, after = was.get(name, "not set"), now.get(name, "not set")
        if before != after and name not in may_differ:
            return f"{name} was {before}, now it is {after}"
    return None


def named_options(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the options of a nested configuration with their values, named as on the command line."""
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for key, inner in value.items():
        inside = key not in ("class_path", "init_args")
        yield from named_options(inner, f"{name}.{key}".lstrip(".") if inside else name)
