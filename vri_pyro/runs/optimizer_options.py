"""Check the options of PyTorch's optimisers, whose own errors do not name the option and let NaN pass."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace

from vri_pyro.utils.numbers import check_number

_RANGES: dict[str, dict[str, Any]] = {
    "lr": {"at_least": 0},
    "momentum": {"at_least": 0, "below": 1},
    "betas": {"at_least": 0, "below": 1},
    "weight_decay": {"at_least": 0},
    "eps": {"at_least": 0},
}


def check_optimizers(options: Any, name: str = "") -> None:
    """Raise if an option of an optimiser is out of range; the message has its full name, such as "optimizer.lr".

    Args:
        options: parsed options, searched recursively.
        name: full name of the option that they are the value of.

    Raises:
        UserError: a number is out of range or not finite.
    """
    if not isinstance(options, Namespace):
        return
    if str(options.get("class_path", "")).startswith("torch.optim."):
        for option, value in vars(options.get("init_args") or Namespace()).items():
            values = value if isinstance(value, tuple | list) else [value]
            for one in values if option in _RANGES else ():
                check_number(f"{name}.{option}", one, **_RANGES[option])
    for option, value in vars(options).items():
        check_optimizers(value, name if option == "init_args" else f"{name}.{option}".removeprefix("."))
