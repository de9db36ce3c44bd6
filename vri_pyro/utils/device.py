"""Selection of a device, and its settings."""

from __future__ import annotations

from typing import Literal

import torch

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.processes import local_rank


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device with the given name; "auto" selects CUDA if it is available, otherwise the CPU.

    Raises:
        UserError: ``name`` is another name, or "cuda" and no CUDA device is available, or there are more processes than
            GPUs.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device is {name!r}; expected 'auto', 'cpu' or 'cuda'")
    if name != "cpu" and 0 < torch.cuda.device_count() <= local_rank():
        raise UserError(
            f"this machine has {torch.cuda.device_count()} GPUs and process {local_rank() + 1} has none; start at most "
            "one process for each GPU, or use --device cpu"
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda but no CUDA device is available; use --device auto or --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name, torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def set_speed(tf32: bool, cudnn_benchmark: bool) -> None:
    """Set how CUDA devices compute; a CPU ignores it.

    Args:
        tf32: whether matrix products of float32 tensors round their inputs to TF32, as PyTorch's convolutions do.
        cudnn_benchmark: whether cuDNN chooses the fastest of several algorithms by trying them.
    """
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = cudnn_benchmark
