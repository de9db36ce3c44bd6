"""Deprecated names of version 0.1, which work with a warning until version 0.3.

They are module paths in imports, arguments of classes, class paths and options in configurations, and keys in
checkpoints.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType
from typing import Any

from vri_pyro.utils.errors import UserError

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
#: class → old name of an argument → new name. ``path`` of ``Table`` is both: it is the old name where ``file``, the old
#: name of the new ``path``, is given as well.
ARGUMENTS = {
    **{
        name: {"root": "path"}
        for name in (
            *("Animal10N", "Clothing1M", "Food101N", "ImageFolder", "MiniWebVision"),
            *("CIFAR10", "CIFAR10N", "CIFAR80", "CIFAR100", "CIFAR100N", "FashionMNIST", "KMNIST", "MNIST", "SVHN"),
        )
    },
    "HuggingFace": {"image": "image_column", "label": "label_column"},
    "Table": {
        "file": "path",
        "root": "image_root",
        "path": "path_column",
        "label": "label_column",
        "split": "split_column",
        "true_label": "true_label_column",
    },
}
#: class → options that its earlier versions lacked → what they did; for every configuration that names the class
BEFORE = {"vri_pyro.guides.Hierarchical": {"start": "prior"}}
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


def current_option(holder: str, name: str, class_path: str = "", given: Collection[str] = ()) -> str:
    """Return the current name of an option of a class; warn if the name is deprecated.

    Args:
        holder: option whose value is the class, such as "model".
        name: name of the class's option.
        class_path: the class, if it is known.
        given: names of all options that are given to the class.
    """
    new = OPTIONS.get((holder, name)) or OPTIONS.get(("*", name)) or current_argument(class_path, name, given)
    if new != name:
        warn(f"{holder}.{name}", f"{holder}.{new}")
    return new


def current_argument(class_path: str, name: str, given: Collection[str]) -> str:
    """Return the current name of an argument of a class, without a warning.

    Args:
        class_path: the class, such as "Table" or "vri_pyro.data.Table".
        name: name of the argument.
        given: names of all arguments that are given to the class.
    """
    package, _, class_name = class_path.rpartition(".")
    if package and not package.startswith("vri_pyro."):
        return name
    renamed = ARGUMENTS.get(class_name, {})
    if any(new == name and old not in given for old, new in renamed.items()):
        return name
    return renamed.get(name, name)


def accepts_old_arguments[G](cls: type[G]) -> type[G]:
    """Class decorator: let the constructor accept the old names of keyword arguments, with a warning for each."""
    construct = cls.__init__
    names = list(inspect.signature(construct).parameters)[1:]
    old_names = {new: old for old, new in ARGUMENTS[cls.__name__].items()}

    @wraps(construct)
    def construct_from_either(self: G, *args: Any, **kwargs: Any) -> None:
        given = [*kwargs, *(old_names.get(name, name) for name in names[: len(args)])]
        current: dict[str, Any] = {}
        for name, value in kwargs.items():
            new = current_argument(cls.__name__, name, given)
            if new in current:
                raise UserError(f"{cls.__name__} got {new} under its old name as well; set only {new}.")
            if new != name:
                warn(f"{cls.__name__}.{name}", f"{cls.__name__}.{new}")
            current[new] = value
        construct(self, *args, **current)

    cls.__init__ = construct_from_either  # type: ignore[method-assign, assignment]
    return cls


def current_configuration(value: Any, holder: str = "") -> Any:
    """Return a configuration with current class paths and option names; warn about each deprecated one.

    Options that a class of the configuration lacked in earlier versions are set to what these versions did, so that an
    old run is still the same one.

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
    class_path = str(value.get("class_path", ""))
    for key, inner in value.items():
        if key == "init_args" and isinstance(inner, dict):
            names = {name: current_option(holder, name, class_path, inner) for name in inner}
            if twice := next((new for new in names.values() if list(names.values()).count(new) > 1), None):
                raise UserError(f"{holder} has {twice} under its old name as well; set only {twice}.")
            inner = {names[name]: item for name, item in inner.items()}
        inside = holder if key in ("class_path", "init_args") else key
        found[key] = current_configuration(inner, inside)
    if before := BEFORE.get(str(found.get("class_path", ""))):
        found["init_args"] = before | (found.get("init_args") or {})
    return found


def current_arguments(arguments: Sequence[str], classes: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Return command-line arguments with current class paths and option names; warn about each deprecated one.

    Args:
        arguments: the arguments.
        classes: options whose values are classes that are not among the arguments → class paths, such as "data" →
            "ImageFolder".
    """
    split = [_option_and_value(*pair) for pair in itertools.pairwise([*arguments, ""])]
    known = {**classes, **{option: value for option, value in split if option}}
    return [_current_argument(argument, known, [option for option, _ in split]) for argument in arguments]


def _option_and_value(argument: str, following: str) -> tuple[str, str]:
    """Return the name of the option in an argument, without dashes ("" if there is none), and the option's value."""
    if not argument.startswith("--"):
        return "", ""
    option, equals, value = argument.removeprefix("--").partition("=")
    return option.replace(".init_args", ""), value if equals else following


def _current_argument(argument: str, known: Mapping[str, str], options: Sequence[str]) -> str:
    if not argument.startswith("--"):
        return current_class_path(argument)
    option, equals, value = argument.partition("=")
    above, dot, name = option.rpartition(".")
    if dot:
        whole = above.removeprefix("--").removesuffix(".init_args")
        given = [one.rpartition(".")[2] for one in options if one.rpartition(".")[0] == whole]
        name = current_option(whole.rpartition(".")[2], name, known.get(whole, ""), given)
    return f"{above}{dot}{name}{equals}{current_class_path(value)}"


def classes_in(configuration: Any, option: str = "") -> dict[str, str]:
    """Return the class paths in a configuration, as a dict from options, such as "method.model", to class paths."""
    if not isinstance(configuration, dict):
        return {}
    found = {}
    for key, value in configuration.items():
        if key == "class_path":
            found[option] = str(value)
        else:
            inside = option if key == "init_args" else f"{option}.{key}".removeprefix(".")
            found |= classes_in(value, inside)
    return found


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
