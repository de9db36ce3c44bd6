"""Parse the options of an experiment and build its configuration; defines the default experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.optimizer_options import check_optimizers
from vri_pyro.runs.own_runs import is_own_run
from vri_pyro.runs.places import with_data_at
from vri_pyro.runs.trust import check_classes, importing, without_downloads
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.deprecations import current_configuration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.yaml_files import read_yaml

# The default experiment, as class paths, since this package imports no models and no guides.
DEFAULTS: dict[str, Any] = {
    "method": {
        "class_path": "vri_pyro.methods.EstimatedBilevel",
        "init_args": {
            "model": {
                "class_path": "vri_pyro.models.HierarchicalRectification",
                "init_args": {
                    "prior": {"class_path": "vri_pyro.models.PriorNetwork", "init_args": {"hidden": [128, 64]}}
                },
            },
            "guide": {
                "class_path": "vri_pyro.guides.Hierarchical",
                "init_args": {
                    "vector": {"class_path": "vri_pyro.guides.DiagonalNormal", "init_args": {"hidden": [128, 64]}},
                    "start": "predictions",
                },
            },
            "outer_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
            "estimation": {"class_path": "vri_pyro.methods.NoisyCrossEntropy"},
        },
    },
    "data": {"class_path": "vri_pyro.data.Digits"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05, "weight_decay": 5e-4}},
    "schedule": {"class_path": "vri_pyro.infer.Constant"},
    "augmentation": {"class_path": "vri_pyro.data.NoAugmentation"},
    "clean_augmentation": {"class_path": "vri_pyro.data.NoAugmentation"},
    "ema": 0.99,
    "loggers": [{"class_path": "vri_pyro.training.loggers.TensorBoardLogger"}],
}

#: options of config.yaml that a finished run needs; those of the data may change, since the data may have moved
USED = tuple(field.name for field in fields(Configuration) if field.name not in ("data", "noise", "split", "loggers"))
# Options of config.yaml that a finished run does not need.
_FOR_TRAINING = ("noise", "split", "loggers", "config", "report", "trust")


class ConfigurationFileError(ArgumentError):
    """Unknown option or invalid value in a configuration file.

    Args:
        path: the file.
        message: the message of the parser.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(None, message)
        self.path = path


def configuration_parser(description: str | None = None) -> ArgumentParser:
    """Return a parser for the options of an experiment, on the command line or in a ``config.yaml``."""
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--config",
        action="config",
        help="YAML file with options, or the name of an installed configuration, such as elr; may be repeated; later "
        "files override earlier ones",
    )
    parser.add_class_arguments(Configuration)
    parser.add_argument("--report", type=bool, default=True, help="write report.html to the run folder (fit only)")
    parser.add_argument(
        "--trust",
        type=bool,
        default=False,
        help="import and execute code that a --config file names although it is not part of vri_pyro",
    )
    parser.set_defaults(DEFAULTS)
    return parser


def read_configuration(parser: ArgumentParser, path: Path) -> Namespace:
    """Read the options in a YAML file, such as ``config.yaml``; names of version 0.1 are converted.

    Raises:
        UserError: the file is unreadable.
        ConfigurationFileError: the file has an unknown option or an invalid value.
    """
    return _parsed(parser, current_configuration(read_yaml(path)), path)


def read_run(parser: ArgumentParser, folder: RunFolder, trust: bool, data: Mapping[str, Path | str]) -> Configuration:
    """Read ``config.yaml`` of a run and build what is needed to use the run: all but noise, split and loggers.

    Args:
        parser: parser of the options of an experiment.
        folder: the run folder.
        trust: whether the configuration may name any code. Runs that the user made in the working directory always may.
            Otherwise, only known classes are imported, and the data set is not downloaded.
        data: new places of data that have moved; see :func:`~vri_pyro.runs.places.with_data_at`.

    Raises:
        UntrustedCode: the configuration names code that is neither known nor trusted.
        UserError: the file is unreadable.
        ConfigurationFileError: the file has an unknown option or an invalid value.
    """
    options = {name: value for name, value in read_options(folder).items() if name not in _FOR_TRAINING}
    if not (trust := trust or is_own_run(folder.path)):
        check_classes(options, folder.config)
        options = without_downloads(options)
    with importing(trust, folder.config):
        parsed = _parsed(parser, options | {"loggers": []}, folder.config)
        try:
            check_values(parsed)
        except UserError as error:
            raise UserError(f"{folder.config}: {error}") from error
        return build_configuration(parser, with_data_at(parsed, data) if data else parsed)


def read_options(folder: RunFolder) -> dict[str, Any]:
    """Read ``config.yaml`` of a run, with current names; nothing is imported.

    Raises:
        UserError: the file is unreadable.
    """
    return current_configuration(read_yaml(folder.config))


def _parsed(parser: ArgumentParser, options: dict[str, Any], path: Path) -> Namespace:
    try:
        return parser.parse_object(options)
    except ArgumentError as error:
        raise ConfigurationFileError(path, str(error)) from error


def build_configuration(parser: ArgumentParser, options: Namespace) -> Configuration:
    """Build the configuration from parsed options.

    Raises:
        UserError: an option has an invalid value.
    """
    check_values(options)
    try:
        return Configuration(**vars(without(parser.instantiate(options), ("config", "report", "trust"))))
    except ValueError as error:
        raise _user_error(error) or error from None


def check_values(options: Namespace) -> None:
    """Raise for what the parser accepts: null for an option that needs a value, a value for a group, bad optimisers."""
    if "split" in options and not isinstance(options.split, Namespace | None):
        raise UserError("--split takes no value; set its options, such as --split.file")
    for option in fields(Configuration):
        if option.name in options and options[option.name] is None and "None" not in str(option.type):
            raise UserError(f"{option.name} is null; set a value, or leave the option out")
    check_optimizers(options)


def _user_error(error: BaseException | None) -> UserError | None:
    """Find the UserError among the causes of ``error``; jsonargparse wraps it if the option may also be null."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


def without(options: Namespace, names: Sequence[str]) -> Namespace:
    """Return the options without those in ``names``."""
    return Namespace(**{name: value for name, value in vars(options).items() if name not in names})
