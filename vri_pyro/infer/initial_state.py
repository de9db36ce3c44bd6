"""The initial parameters of a classifier, to restart its training in a later stage."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.interfaces.classifier import Classifier


class InitialState:
    """Copy of a classifier's parameters and buffers that can be restored later.

    An algorithm creates it at construction, before any stage has trained the classifier, and saves it in its own state
    dict. A resumed run then restores the same parameters.

    Args:
        classifier: the classifier to copy.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._state = {name: value.detach().clone() for name, value in classifier.state_dict().items()}

    def restore(self, optimizer: Optimizer) -> None:
        """Restore the classifier, and delete the optimiser's state (momentum, moments) for its parameters."""
        self._classifier.load_state_dict(self._state)
        for parameter in self._classifier.parameters():
            optimizer.state.pop(parameter, None)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the stored parameters and buffers by name."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        for name, value in self._state.items():
            value.copy_(state[name])
