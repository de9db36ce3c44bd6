"""Deprecated names of version 0.1, which work with a warning until version 0.3.

They are module paths in imports, class paths and options in configurations, and keys in checkpoints.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

REMOVED_IN = "0.3"

#: old module → new module, without ``vri_pyro.``
MODULES = {
    "algorithm": "infer.algorithm",
    "bilevel": "infer.bilevel",
    "calibration": "diagnostics.calibration",
    "checkpoint": "training.checkpoint",
    "classifier": "interfaces.classifier",
    "clean_mixup": "training.clean_mixup",
    "data_plate": "interfaces.data_plate",
    "elbo": "infer.elbo",
    "ensemble": "training.ensemble",
    "epoch_view": "interfaces.training_context",
    "errors": "utils.errors",
    "evaluation": "training.evaluation",
    "experiment": "runs.configuration",
    "guard": "infer.guard",
    "hypergradient": "infer.hypergradient",
    "initial_state": "infer.initial_state",
    "labelled": "data.batch",
    "learner": "infer.algorithm",
    "memory": "interfaces.prediction_memory",
    "metrics": "infer.metrics",
    "networks": "interfaces.networks",
    "optimisation": "infer.virtual_step",
    "pairs": "interfaces.base",
    "peers": "methods",
    "peers.confident_learning": "methods.confident_learning",
    "peers.cross_entropy": "methods.cross_entropy",
    "peers.descent": "methods.descent",
    "peers.early_learning": "methods.elr",
    "peers.gold_loss_correction": "methods.glc",
    "peers.mixup": "methods.mixup",
    "peers.reweighting": "methods.l2rw",
    "run_folder": "training.run_folder",
    "schedules": "infer",
    "selection": "training.selection",
    "single_level": "infer.single_level",
    "trained": "runs.predictor",
    "trained_run": "runs.run",
    "transition": "interfaces.transition_likelihood",
}
#: old class → new class, for renamed classes of moved modules
CLASSES = {
    "Labelled": "Batch",
    "EpochView": "TrainingContext",
    "Learner": "Algorithm",
    "TrainedRun": "Run",
    "TrainedClassifier": "Predictor",
}
#: (option whose value is the class, old name of the class's option) → new name; ``*`` matches any option
OPTIONS = {
    ("*", "particles"): "num_particles",
    ("model", "strength"): "prior_strength",
    ("model", "share"): "transition_weight",
    ("model", "early_learning"): "elr_weight",
    ("method", "strength"): "elr_weight",
    ("estimation", "strength"): "elr_weight",
}
_OLD_PATH = re.compile(r"vri_pyro\.(" + "|".join(sorted(map(re.escape, MODULES), key=len, reverse=True)) + r")(?=\.|$)")


class DeprecatedNameWarning(FutureWarning):
    """Warning about a name of an earlier version; the message contains the current name."""


def warn(old: str, new: str) -> None:
    """Warn that ``old`` is now called ``new``."""
    message = f"{old} is now called {new}; the old name will be removed in version {REMOVED_IN}"
    warnings.warn(message, DeprecatedNameWarning, stacklevel=3)


def current_class_path(path: str) -> str:
    """Return the current name of a class path; warn if the path is deprecated."""
    if not (match := _OLD_PATH.match(path)):
        return path
    module, rest = MODULES[match[1]], path[match.end() :].lstrip(".")
    new = ".".join(part for part in ("vri_pyro", module, CLASSES.get(rest, rest)) if part)
    warn(path, new)
    return new


def current_option(holder: str, name: str) -> str:
    """Return the current name of an option of a class; warn if the name is deprecated.

    Args:
        holder: option whose value is the class, such as "model".
        name: name of the class's option.
    """
    new = OPTIONS.get((holder, name)) or OPTIONS.get(("*", name))
    if new is None:
        return name
    warn(f"{holder}.{name}", f"{holder}.{new}")
    return new


def current_configuration(value: Any, holder: str = "") -> Any:
    """Return a configuration with current class paths and option names; warn about each deprecated one.

    Args:
        value: nested dicts, lists and plain values, as in ``config.yaml``.
        holder: name of the option that has this value.
    """
    if isinstance(value, str):
        return current_class_path(value)
    if isinstance(value, list):
        return [current_configuration(item, holder) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        if key == "init_args" and isinstance(inner, dict):
            inner = {current_option(holder, name): item for name, item in inner.items()}
        inside = holder if key in ("class_path", "init_args") else key
        found[key] = current_configuration(inner, inside)
    return found


def current_arguments(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments with current class paths and option names; warn about each deprecated one."""
    return [_current_argument(argument) for argument in arguments]


def _current_argument(argument: str) -> str:
    if not argument.startswith("--"):
        return current_class_path(argument)
    option, equals, value = argument.partition("=")
    above, dot, name = option.rpartition(".")
    holder = above.removeprefix("--").rpartition(".")[2]
    return f"{above}{dot}{current_option(holder, name) if dot else name}{equals}{current_class_path(value)}"


def current_checkpoint_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trainer state saved by version 0.1 with the current keys."""
    found = dict(state)
    if "phases" in found:
        found["stages"] = [_with_members(stage) for stage in found.pop("phases")]
    if rows := found.get("progress", {}).get("rows"):
        found["progress"] = found["progress"] | {"rows": [current_row(row) for row in rows]}
    return found


def current_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of ``metrics.csv`` with the current column names."""
    return {"stage" if name == "phase" else name: value for name, value in row.items()}


def _with_members(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"members" if name == "learners" else name: value for name, value in state.items()}


class _OldModules(MetaPathFinder, Loader):
    """Import hook that imports a deprecated module as an alias of its replacement."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self, is_package=name == "peers") if _is_old(package, name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        old, new = spec.name, f"vri_pyro.{MODULES[spec.name.partition('.')[2]]}"
        warn(old, new)
        module = ModuleType(old)

        def look_up(name: str) -> Any:
            return getattr(import_module(new), CLASSES.get(name, name))

        module.__getattr__ = look_up  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing; :meth:`create_module` returns a complete module."""


def _is_old(package: str, name: str) -> bool:
    return package == "vri_pyro" and name in MODULES


def keep_old_modules_importable() -> None:
    """Install an import hook for deprecated modules, such as ``vri_pyro.pairs``."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
