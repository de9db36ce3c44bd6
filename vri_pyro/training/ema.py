"""Exponential moving average (EMA) of the classifier's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number


class EMA:
    """Optional exponential moving average of the classifier over the steps, w̄ ← d·w̄ + (1 − d)·w.

    :attr:`network` is the average, or the classifier itself if there is no decay. It is evaluated and saved, and the
    selection of clean examples uses its losses. Buffers are averaged as well, so that the batch statistics match the
    averaged weights, except for integer and boolean buffers and non-finite entries, as in a mask of -inf, which are
    those of the classifier. In every stage, the average restarts from the weights after the first step of the stage,
    since a stage may reset the classifier.

    Args:
        classifier: the classifier that is trained.
        decay: d, in (0, 1); None for no average.

    Raises:
        UserError: the decay is out of range, or the classifier cannot be copied.

    Reference: Polyak & Juditsky (1992) for the average; Tarvainen & Valpola (2017) for its exponential form.
    """

    def __init__(self, classifier: Classifier, decay: float | None = None) -> None:
        if decay is not None:
            check_decay(decay)
        self._classifier = classifier
        self._average = None if decay is None else _average_of(classifier, decay)

    @property
    def network(self) -> Classifier:
        """The averaged network, or the classifier itself if there is no average."""
        return self._classifier if self._average is None else cast(Classifier, self._average.module)

    def restart(self) -> None:
        """Restart the average at the next :meth:`update`; until then, the network remains unchanged."""
        if self._average is not None:
            self._average.n_averaged.zero_()

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current weights of the classifier, after a step."""
        if self._average is None:
            return
        self._average.update_parameters(self._classifier)
        for average, current in zip(self._average.module.buffers(), self._classifier.buffers(), strict=True):
            floating = average.is_floating_point() or average.is_complex()
            average.copy_(average.where(average.isfinite(), current) if floating else current)

    def state_dict(self) -> dict[str, Any] | None:
        """Return the state of the average; None if there is none."""
        return None if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        if self._average is not None and state is not None:
            self._average.load_state_dict(state)


def _average_of(classifier: Classifier, decay: float) -> AveragedModel:
    try:
        return AveragedModel(classifier, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    except RuntimeError as error:  # a module that keeps a tensor with a graph, as the old weight_norm does
        raise UserError(
            f"{type(classifier).__name__} cannot be copied for its moving average ({error}); set ema to null, or use "
            "torch.nn.utils.parametrizations in place of hooks that compute weights"
        ) from error


def check_decay(decay: float) -> None:
    """Raise UserError if ``decay`` is not in (0, 1)."""
    check_number("ema", decay, above=0, below=1, remedy=", such as 0.999, or null for no average")
