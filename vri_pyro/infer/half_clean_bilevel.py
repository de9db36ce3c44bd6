"""Bi-level inference that also trains the classifier on half of each clean batch, as MLC's authors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from vri_pyro.data.batch import Batch
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.hypergradient import Problem, Result
from vri_pyro.infer.metrics import Metrics
from vri_pyro.infer.virtual_step import AddedGradient
from vri_pyro.utils import processes
from vri_pyro.utils.errors import UserError


class HalfCleanBilevelSVI(BilevelSVI):
    """Bi-level inference that trains the classifier on half of each clean batch, and guide and model on the other half.

    Let n be the size of the noisy batch and m that of the second half of the clean batch. The loss of the classifier is
    the mean over both,

        (n · L(noisy) + m · CE(second half)) / (n + m),

    in the virtual step and in the real one, which are the same step. Guide and model descend the clean loss of the
    first half after that step. An odd clean batch has one more example in its second half.

    Args:
        args, kwargs: see :class:`BilevelSVI`. ``late`` is True, ``clean_weight`` 0 and ``outer_every`` 1, and other
            values raise.

    Raises:
        UserError: one of these three options has another value, or the clean batch of a step has a single example; see
            also :class:`BilevelSVI`.

    Reference: the code of Zheng et al., Meta label correction for noisy label learning, AAAI 2021.
    """

    def __init__(self, *args: Any, late: bool = True, clean_weight: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, late=late, clean_weight=clean_weight, **kwargs)
        for name, found, expected in (
            ("late", late, True),
            ("clean_weight", clean_weight, 0),
            ("outer_every", self.outer_every, 1),
        ):
            if found != expected:
                raise UserError(
                    f"{name} is {found}, but {type(self).__name__} trains on half of each clean batch in the same step "
                    f"as on the noisy batch; set {name}={expected}, or use BilevelSVI"
                )

    def check(self, noisy: Batch, clean: Batch) -> None:
        """See :class:`BilevelSVI`.

        Raises:
            UserError: several processes train together.
        """
        if processes.several():
            raise UserError("a clean batch cannot be halved between several processes; start one process")
        super().check(noisy, clean)

    def _problem(self, forward: ReplayedForward, y: Tensor, clean: Batch, check_adjoint: bool) -> Problem:
        if len(clean.y) < 2:
            raise UserError("the clean batch has a single example, which cannot be halved; use batches of 2 or more")
        half = len(clean.y) // 2
        first, second = (Batch(clean.x[rows], clean.y[rows]) for rows in (slice(half), slice(half, None)))
        share = len(y) / (len(y) + len(second.y))
        named = dict(zip(forward.names, self._weights, strict=True))
        loss, gradient = self.clean_gradient(named, second, 1 - share)
        problem = super()._problem(forward, y, first, check_adjoint)
        self._clean_part = (1 - share) * loss
        self._mixed = AddedGradient(problem.virtual_step, share, gradient)
        return replace(problem, virtual_step=self._mixed)

    def _late_step(self, forward: ReplayedForward, result: Result, clean: Batch) -> tuple[Metrics, bool]:
        loss = self._mixed.share * result.inner.loss.detach() + self._clean_part
        gradients: Sequence[Tensor | None] = self._mixed.added(result.inner_gradient)
        return self.descend_along(forward, loss, gradients, self._weights)
