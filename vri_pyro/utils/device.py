"""Choosing the device to compute on."""

from __future__ import annotations

from typing import Literal

import torch

from vri_pyro.utils.errors import UserError


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device meant by ``name``.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda but PyTorch finds no CUDA device here; use --device auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)
