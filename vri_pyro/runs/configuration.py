"""An experiment as its options describe it: their defaults, the parser that reads them, and what is built of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.utils.errors import UserError
from vri_pyro.runs.experiment import Experiment

# The engine imports no model or guide; what runs when nothing is asked for is named here.
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
                    "vector": {"class_path": "vri_pyro.guides.DiagonalNormal", "init_args": {"hidden": [128, 64]}}
                },
            },
            "outer_optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
            "estimation": {"class_path": "vri_pyro.methods.NoisyCrossEntropy"},
            "clean_weight": 0.2,
        },
    },
    "data": {"class_path": "vri_pyro.data.Digits"},
    "noise": {"class_path": "vri_pyro.data.Flip", "init_args": {"rate": 0.4}},
    "backbone": {"class_path": "vri_pyro.backbones.SmallCNN"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.05, "weight_decay": 5e-4}},
    "schedule": {"class_path": "vri_pyro.infer.schedules.Constant"},
    "ema": 0.99,
}


def experiment_parser(description: str | None = None, epilog: str | None = None) -> ArgumentParser:
    """A parser of everything that makes up an experiment, such as the ``config.yaml`` of a run."""
    parser = ArgumentParser(description=description, epilog=epilog, exit_on_error=False)
    parser.add_argument("--config", action="config", help="a YAML file; several are merged in their order")
    parser.add_class_arguments(Experiment)
    parser.add_argument("--report", type=bool, default=True, help="leave a page about the run in its folder (fit only)")
    parser.set_defaults(DEFAULTS)
    return parser


def build_experiment(parser: ArgumentParser, options: Namespace) -> Experiment:
    """The experiment that parsed options describe.

    Raises:
        UserError: a part of it refuses its options.
    """
    try:
        return Experiment(**vars(without(parser.instantiate(options), ("config", "report"))))
    except ValueError as error:
        raise _users_own(error) or error from None


def _users_own(error: BaseException | None) -> UserError | None:
    """The error that a part raised, which the parser wraps where the option may also be null."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


def without(options: Namespace, names: Sequence[str]) -> Namespace:
    """The options but for some."""
    return Namespace(**{name: value for name, value in vars(options).items() if name not in names})
