"""Training anew: a classifier's parameters as they were before any training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.interfaces.classifier import Classifier


class InitialState:
    """Remembers a classifier's parameters and buffers, to go back to them.

    An algorithm makes one when it is built, before any phase has trained, and names it in its ``stateful``: a resumed
    run then goes back to the very same parameters.

    Args:
        classifier: as it is now.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._state = {name: value.detach().clone() for name, value in classifier.state_dict().items()}

    def restore(self, optimizer: Optimizer) -> None:
        """Put the classifier back, and let ``optimizer`` forget what it knows of its parameters (momentum, moments)."""
        self._classifier.load_state_dict(self._state)
        for parameter in self._classifier.parameters():
            optimizer.state.pop(parameter, None)

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters and buffers by name."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state of a :meth:`state_dict`."""
        for name, value in self._state.items():
            value.copy_(state[name])
