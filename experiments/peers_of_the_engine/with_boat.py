"""The step with BOAT (operations NGD and RAD), which runs higher's loop inside.

After every step, BOAT evaluates both losses once more for its log, which it writes to a file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from peers_of_the_engine.peer import ExactPeer
from peers_of_the_engine.task import Task


def lower(feed: dict[str, Any], upper_model: nn.Module, classifier: nn.Module, **_: Any) -> Tensor:
    """Rectified loss of the noisy batch, []; keeps the KL for :func:`upper`."""
    task: Task = feed["task"]
    loss, task.kl = task.terms(classifier(task.noisy.x))  # type: ignore[attr-defined]
    return loss


def upper(
    feed: dict[str, Any], upper_model: nn.Module, classifier: Any, params: Sequence[Tensor] | None = None
) -> Tensor:
    """Outer objective, []."""
    task: Task = feed["task"]
    given = {} if params is None else {"params": list(params)}
    return task.outer(classifier(task.clean.x, **given), task.kl)  # type: ignore[attr-defined]


class Boat(ExactPeer):
    """Differentiates through one step of higher's SGD inside BOAT."""

    library = "boat_torch"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        import boat_torch

        self.folder = tempfile.TemporaryDirectory()
        config = {
            "fo_op": None,
            "gm_op": ["NGD"],
            "na_op": ["RAD"],
            "lower_iters": 1,
            "device": task.noisy.x.device,
            "lower_level_model": task.classifier,
            "upper_level_model": nn.ModuleList([task.model, task.guide]),
            "lower_level_var": task.weights,
            "upper_level_var": task.hyper,
            "lower_level_opt": task.inner_optimizer,
            "upper_level_opt": task.outer_optimizer,
            "GDA": {"alpha_init": 0.0, "alpha_decay": 0.0},
            "RGT": {"truncate_iter": 0},
            "accumulate_grad": False,
            "copy_last_param": False,
            "return_grad": True,
            "loss_log_path": str(Path(self.folder.name) / "log.json"),
        }
        losses = {f"{n}_level_loss": {"function": f"{__name__}.{n}", "params": {}} for n in ("lower", "upper")}
        self.problem = boat_torch.Problem(config, losses)
        self.problem.build_ll_solver().build_ul_solver()

    def meta_gradient(self) -> Sequence[Tensor]:
        """See :class:`ExactPeer`."""
        feed = {"task": self.task}
        gradients, _ = self.problem.run_iter(feed, feed, 0)
        for p in self.task.hyper:
            p.grad = None
        return gradients
