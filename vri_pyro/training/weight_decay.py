"""Weight decay of the classifier's weights, without its biases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import OptimizerFactory

_MOST_SHRINKAGE = 0.05  # of the weights, in one step


def with_weight_decay(of: OptimizerFactory, classifier: Classifier, weight_decay: float) -> OptimizerFactory:
    """Return a function that builds an optimiser with a given weight decay for the weights of a classifier.

    The decay applies to matrices and convolution kernels. Biases and the scales of normalisation layers are not
    decayed, because the frequency of a class must not depend on it. The learning rate is lowered if a step would
    otherwise shrink the weights by more than 5%.

    Args:
        of: builds an optimiser from parameters; the optimiser has the option ``weight_decay``.
        classifier: the classifier. Other parameters, such as those of a guide, keep the optimiser's own decay.
        weight_decay: the weight decay, at least 0.
    """
    own = {id(parameter) for parameter in classifier.parameters()}

    def options_of(parameter: Tensor) -> tuple[tuple[str, float], ...]:
        if id(parameter) not in own:
            return ()
        return (("weight_decay", weight_decay if parameter.dim() > 1 else 0.0),)

    def build(parameters: Iterable[Any]) -> Optimizer:
        given = list(parameters)
        divided: list[dict[str, Any]] = []
        for group in given if given and isinstance(given[0], dict) else [{"params": given}]:
            parts: dict[tuple[tuple[str, float], ...], list[Tensor]] = {}
            for parameter in group["params"]:
                parts.setdefault(options_of(parameter), []).append(parameter)
            divided += [group | dict(options) | {"params": part} for options, part in parts.items()]
        built = of(divided)  # type: ignore[arg-type]  # every optimiser of PyTorch takes groups as well
        if weight_decay > 0:
            for part in built.param_groups:
                part["lr"] = min(part["lr"], _MOST_SHRINKAGE / weight_decay)
        return built

    return build
