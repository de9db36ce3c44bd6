"""How the trunk of a classifier, that is, all layers but its head, is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.interfaces.classifier import Classifier, trunk_parameters
from vri_pyro.methods.base import OptimizerFactory
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number


@dataclass(frozen=True)
class Trunk:
    """Trains the trunk of the classifier, all layers but its head, with a lower learning rate, or not at all.

    Use it for a pretrained network, whose head alone is new. Schedules multiply both learning rates.

    Attributes:
        lr_factor: learning rate of the trunk, divided by that of the head, such as 0.1; above 0.
        frozen: whether the weights and the batch statistics of the trunk stay as they are. The trunk is then in
            evaluation mode, without dropout.

    Raises:
        UserError: ``lr_factor`` is out of range, or set although the trunk is frozen.
    """

    lr_factor: float = 1.0
    frozen: bool = False

    def __post_init__(self) -> None:
        """Check the factor."""
        check_number(
            "trunk.lr_factor", self.lr_factor, above=0, remedy=", such as 0.1; use trunk.frozen for no training"
        )
        if self.frozen and self.lr_factor != 1:
            raise UserError(
                f"trunk.lr_factor is {self.lr_factor} but a frozen trunk has no learning rate; leave out one of the two"
            )

    def optimizer(self, of: OptimizerFactory, classifier: Classifier) -> OptimizerFactory:
        """Return a function that builds an optimiser with a parameter group for the trunk and one for the others.

        Args:
            of: builds an optimiser from parameters.
            classifier: the classifier whose parameters the optimiser gets, possibly with others.

        Raises:
            UserError: the classifier has no head.
        """
        trunk = {id(parameter) for parameter in trunk_parameters(classifier)}

        def build(parameters: Iterable[Tensor]) -> Optimizer:
            groups: list[dict[str, Any]] = [{"params": [], "trunk": True}, {"params": [], "trunk": False}]
            for parameter in parameters:
                groups[id(parameter) not in trunk]["params"].append(parameter)
            built = of(groups)  # type: ignore[arg-type]  # every optimiser of PyTorch takes groups as well
            for group in built.param_groups:
                if group["trunk"]:
                    group["lr"] = self.lr_factor * group["lr"]
            return built

        return build
