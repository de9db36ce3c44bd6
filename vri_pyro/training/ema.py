"""The network that a run predicts with: the trained classifier itself, or a moving average of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError


class EMA:
    """What is evaluated, saved, and asked which labels are clean.

    With a decay it is the exponential moving average of the classifier over the steps, w̄ ← d·w̄ + (1 − d)·w. Buffers
    are averaged as well: batch statistics that lag behind like the weights are those that the weights fit. The average
    starts anew with every stage, at the weights after its first step, since a stage may start its classifier anew.

    Args:
        classifier: what is trained.
        decay: d, in (0, 1); without it there is no average.

    Raises:
        UserError: the decay is out of range.

    Reference: Polyak & Juditsky (1992) for the average; Tarvainen & Valpola (2017) for its exponential form.
    """

    def __init__(self, classifier: Classifier, decay: float | None = None) -> None:
        if decay is not None:
            check_decay(decay)
        self._classifier = classifier
        self._average = (
            None
            if decay is None
            else AveragedModel(classifier, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        )

    @property
    def network(self) -> Classifier:
        """The network to predict with."""
        return self._classifier if self._average is None else cast(Classifier, self._average.module)

    def restart(self) -> None:
        """Start a new average with the next step; until then the network stays what it was."""
        if self._average is not None:
            self._average.n_averaged.zero_()

    def update(self) -> None:
        """Take the classifier after a step into the average."""
        if self._average is not None:
            self._average.update_parameters(self._classifier)

    def state_dict(self) -> dict[str, Any] | None:
        """The average, where there is one."""
        return None if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Take over the state of a :meth:`state_dict`."""
        if self._average is not None and state is not None:
            self._average.load_state_dict(state)


def check_decay(decay: float) -> None:
    """Refuse a decay outside (0, 1)."""
    if not 0 < decay < 1:
        raise UserError(f"ema is {decay}; give a decay between 0 and 1, such as 0.999, or leave it out")
