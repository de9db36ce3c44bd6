"""Save and load checkpoints; writing is atomic, and loading executes no pickled code."""

from __future__ import annotations

import io
import pickle
import textwrap
import warnings
from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from vri_pyro.utils.archives import DAMAGE, check_archive
from vri_pyro.utils.deprecations import DeprecatedNameWarning, current_checkpoint_state, current_configuration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import write_atomically
from vri_pyro.utils.yaml_files import read_yaml

FORMAT = 3
_OLD_FORMAT = 2  # format of version 0.1
# Exceptions that torch.load raises for a damaged file, depending on the damage.
_UNREADABLE = (*DAMAGE, AttributeError, TypeError, pickle.UnpicklingError)
# Exceptions of load_state_dict for a state of another network or without a part.
_UNFIT = (LookupError, TypeError, ValueError, AttributeError, RuntimeError)


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
    saved = _read(path)
    same = config is None or config == saved["config"]
    if (
        not same
        and (difference := _first_difference(_parsed(saved["config"]), _parsed(config), may_differ)) is not None
    ):
        raise UserError(
            f"checkpoint {path} has a different configuration ({difference}); resume with the config.yaml of the run "
            "and the version of vri_pyro that started it, or choose another output folder"
        )
    return saved["state"]


def load_configured(path: Path, config: Path, options: Container[str]) -> dict[str, Any]:
    """Load a state for a reader, which rebuilds the network from the configuration file of the run.

    The configuration in the checkpoint is protected by checksums and the file is not, so the two are compared.

    Args:
        path: checkpoint file.
        config: ``config.yaml`` of the run.
        options: names of the options that the reader uses; others may differ.

    Returns:
        see :func:`load_checkpoint`.

    Raises:
        UserError: see :func:`load_checkpoint`.
    """
    saved = _read(path)
    was, now = _parsed(saved["config"]), read_yaml(config)
    kept = {name for name in was if name in options}
    was, now = ({name: value for name, value in options.items() if name in kept} for options in (was, now))
    if (difference := _first_difference(was, now)) is not None:
        raise UserError(f"{config} differs from the configuration in {path} ({difference}); undo the change")
    return saved["state"]


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Convert errors of ``load_state_dict`` to a :class:`~vri_pyro.utils.errors.UserError` that names ``path``."""
    try:
        yield
    except UserError:
        raise
    except _UNFIT as error:
        why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UserError(
            f"checkpoint {path} does not fit the other files of the run, such as config.yaml, inputs.json and "
            f"split.npz ({textwrap.shorten(why, 200)}); copy the whole run folder, or train again"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint: format, configuration and state."""
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; train with vri-pyro fit, without --resume")
    try:
        check_archive(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UserError(f"checkpoint {path} is damaged or not a checkpoint; delete it and restart the run") from error
    found = saved.get("format") if isinstance(saved, dict) else None
    if found not in (FORMAT, _OLD_FORMAT):
        raise UserError(
            f"checkpoint {path} has format {found} but this version of vri_pyro reads format {FORMAT}; "
            "use the version that wrote it, or restart the run"
        )
    for name, kind in (("config", str), ("state", dict)):
        if not isinstance(saved.get(name), kind):
            raise UserError(f"checkpoint {path} has no {name}; delete it and restart the run")
    return saved | {"state": current_checkpoint_state(saved["state"])} if found == _OLD_FORMAT else saved


def _parsed(config: str | None) -> dict[str, Any]:
    return yaml.safe_load(config or "") or {}


# Values of options that earlier versions did not have: what they did.
_BEFORE_THE_OPTION = {
    "precision": "float32",
    "cudnn_benchmark": False,
    "late": False,
    "outer_every": 1,
    "choose_network": True,  # resumed runs choose nothing
    "start": "prior",
    "noisy_holdout": 0.0,
}


def _first_difference(saved: dict[str, Any], expected: dict[str, Any], may_differ: Collection[str] = ()) -> str | None:
    """Describe the first option in which two configurations differ; None if they agree.

    Runs of versions without an option can be resumed: one that is not set is equal to null, or to what these did.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecatedNameWarning)  # the warnings were shown when config.yaml was read
        was, now = (dict(named_options(current_configuration(options))) for options in (saved, expected))
    for name in was | now:
        unset = _BEFORE_THE_OPTION.get(name.rpartition(".")[2])
        before, after = was.get(name, unset), now.get(name, unset)
        if before != after and name not in may_differ:
            before, after = was.get(name, "not set"), now.get(name, "not set")
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
