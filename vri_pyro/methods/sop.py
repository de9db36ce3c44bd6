"""Sparse over-parameterisation (SOP): learns the noise of every label together with the classifier."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, autograd, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, check_not_negative
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.descent import Descent
from vri_pyro.methods.views import both_views
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import own_rows
from vri_pyro.utils.numbers import check_number

_LEAST = 1e-4  # bounds of the authors' code: predictions are at least this, and u² and v² at most 1 minus this


class SparseNoise(nn.Module):
    """The noise s = u² ∘ y − v² ∘ (1 − y) of every label, with a number u and a vector v per example.

    Gradient descent from a tiny initial value keeps most of the u and v at practically zero, so that s is sparse. In
    float32, it needs 4 bytes per example and class on the device.

    Args:
        num_classes: K.
        scale: standard deviation of the initial values, which are normal.

    Attributes:
        u, v: tables by position of the example in its data set, [examples, 1] and [examples, K]. Saved in the state
            dict.
        size: number of examples, if :meth:`reserve` has set it. Saved in the state dict.
    """

    def __init__(self, num_classes: int, scale: float = 1e-8) -> None:
        super().__init__()
        check_number("scale", scale, above=0, remedy="; u and v stay at 0 if they start there")
        self.scale = scale
        self.u, self.v = torch.zeros(0, 1), torch.zeros(0, num_classes)
        self.size: int | None = None

    def reserve(self, examples: int) -> None:
        """Set the number of examples in advance, which saves a host-device synchronisation per batch."""
        self.size = examples

    def rows(self, index: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return u [batch, 1] and v [batch, K] of the examples at positions ``index``, int64 [batch], as new leaves.

        Args:
            index: the positions.
            like: a tensor with the type and the device of the result.
        """
        count = int(index.max()) + 1 if self.size is None else self.size
        self.u, self.v = (self._grown(table.to(like), count) for table in (self.u, self.v))
        return self.u[index].requires_grad_(), self.v[index].requires_grad_()

    def descend(self, index: Tensor, u_step: Tensor, v_step: Tensor) -> None:
        """Subtract ``u_step`` [batch, 1] and ``v_step`` [batch, K] from the values at positions ``index``."""
        self.u.index_add_(0, index, u_step, alpha=-1)
        self.v.index_add_(0, index, v_step, alpha=-1)

    def _grown(self, table: Tensor, count: int) -> Tensor:
        missing = count - len(table)
        return (
            table
            if missing <= 0
            else torch.cat([table, self.scale * table.new_empty(missing, *table.shape[1:]).normal_()])
        )

    def get_extra_state(self) -> Any:
        """Return the tables and their size, which PyTorch saves in the state dict."""
        return {"u": self.u, "v": self.v, "size": self.size}

    def set_extra_state(self, state: Any) -> None:
        """Restore the tables and their size."""
        self.u, self.v = (state[name].to(self.u.device, copy=True) for name in ("u", "v"))
        self.size = state["size"]


class SOPDescent(Descent):
    """Minimises CE(φ(p(x) + s), y) over classifier and u, and ‖ŷ(x) + s − y‖² over v, with s = u² ∘ y − v² ∘ (1 − y).

    p is the softmax of the classifier, ŷ its most probable class and y the given label, both one-hot. φ raises entries
    below 1e-4 to it and normalises. As s comes to explain a wrong label, the label stops to train the classifier. u and
    v take plain gradient steps whose learning rates are not scheduled.

    SOP+ adds two terms to the loss of the classifier: the KL from the prediction for the first view, as a constant, to
    that for the second view, and the cross entropy from a uniform distribution to the mean of φ over the batch.

    Args:
        classifier, optimizer: see :class:`Descent`.
        u_rate, v_rate: learning rates of u and v.
        consistency_weight, balance_weight: weights of the two terms of SOP+.
        clean_weight, max_skipped: see :class:`Descent`.

    Attributes:
        memory: u and v of all examples. Saved in the state dict.

    Raises:
        UserError: a learning rate or a weight is negative.

    Reference: Liu et al., Robust training under label noise by over-parameterization, ICML 2022, algorithm 1.
    """

    stateful: ClassVar[tuple[str, ...]] = (*Descent.stateful, "memory")

    def __init__(
        self,
        classifier: Classifier,
        optimizer: Optimizer,
        *,
        u_rate: float = 10.0,
        v_rate: float = 10.0,
        consistency_weight: float = 0.0,
        balance_weight: float = 0.0,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        super().__init__(classifier, optimizer, clean_weight=clean_weight, max_skipped=max_skipped)
        check_not_negative(
            u_rate=u_rate, v_rate=v_rate, consistency_weight=consistency_weight, balance_weight=balance_weight
        )
        self.u_rate, self.v_rate = u_rate, v_rate
        self.consistency_weight, self.balance_weight = consistency_weight, balance_weight
        self.memory = SparseNoise(classifier.num_classes)

    def begin_training(self, context: TrainingContext) -> None:
        """See :class:`~vri_pyro.infer.algorithm.Algorithm`."""
        self.memory.reserve(len(context.labels))

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``, and ``noise``, the mean of u², the part of
            the labels that s explains. If a value is non-finite, the step changes neither the classifier nor u and v.

        Raises:
            UserError: the noisy batch has no index.
        """
        if noisy.index is None:
            raise UserError("the noisy batch has no index, but SOP stores the noise per example; set its index")
        forward, logits, second = self._logits(noisy)
        label = F.one_hot(noisy.y, logits.shape[-1]).to(logits)
        u, v = self.memory.rows(noisy.index, like=logits)
        added, removed = _bounded(u) * label, _bounded(v) * (1 - label)
        explained = _normalised(logits.softmax(-1) + added - removed.detach())
        loss = -(label * explained.log()).sum(-1).mean()
        if self.balance_weight:
            loss = loss - self.balance_weight * explained.mean(0).log().mean()
        (u_gradient,) = autograd.grad(loss, u, retain_graph=True)
        predicted = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits)
        distance = (predicted + added.detach() - removed - label).square().sum(-1).mean()
        (v_gradient,) = autograd.grad(distance, v)
        if second is not None:
            target = logits.detach().log_softmax(-1)
            divergence = F.kl_div(second.log_softmax(-1), target, log_target=True, reduction="batchmean")
            loss = loss + self.consistency_weight * divergence
        metrics, moved = self.learn(forward, loss, clean)
        if moved:
            self.memory.descend(noisy.index, self.u_rate * u_gradient, self.v_rate * v_gradient)
        return metrics | {"noise": _bounded(u).detach().mean()}

    def _logits(self, noisy: Batch) -> tuple[ReplayedForward, Tensor, Tensor | None]:
        """Forward pass, and the logits of the first and of the second view, if it is needed, [batch, K] each."""
        count = len(noisy.y)
        if not self.consistency_weight:
            forward = ReplayedForward(self.classifier, noisy.x, count=count)
            return forward, forward(self.weights).logits, None
        forward = ReplayedForward(self.classifier, own_rows(both_views(noisy)), count=2 * count)
        first, second = forward(self.weights).logits.chunk(2)
        return forward, first, second


def _bounded(values: Tensor) -> Tensor:
    """Squares of u or v, at most just below 1."""
    return values.square().clamp(max=1 - _LEAST)


def _normalised(values: Tensor) -> Tensor:
    """φ: probabilities [batch, K], each at least about 1e-4."""
    positive = values.clamp_min(_LEAST)
    return (positive / positive.sum(-1, keepdim=True)).clamp_min(_LEAST)


class SOP(Method):
    """Sparse over-parameterisation (SOP, SOP+): learns a sparse noise per label, which explains wrong labels.

    Builds an :class:`SOPDescent`. SOP+ is SOP with ``consistency_weight`` 0.9 and ``balance_weight`` 0.1; it uses two
    views of every example, as semi-supervised methods do.

    Args:
        u_rate: learning rate of u; the paper uses 10 for CIFAR-10 and 1 for CIFAR-100.
        v_rate: learning rate of v; the paper uses 10, or 100 with asymmetric noise.
        consistency_weight: weight of the consistency between two views; the second view is drawn if it is above 0.
        balance_weight: weight of the term that keeps the predicted classes balanced.
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        clean_weight: weight of the cross entropy of a clean batch, added to the loss; 0 in the paper.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    def __init__(
        self,
        u_rate: float = 10.0,
        v_rate: float = 10.0,
        consistency_weight: float = 0.0,
        balance_weight: float = 0.0,
        pool: Pool = "noisy",
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        check_not_negative(consistency_weight=consistency_weight)
        self.pool = pool
        self.views: Literal[1, 2] = 2 if consistency_weight else 1
        self.needs_clean = pool != "noisy" or clean_weight > 0
        self.options: dict[str, Any] = {
            "u_rate": u_rate,
            "v_rate": v_rate,
            "consistency_weight": consistency_weight,
            "balance_weight": balance_weight,
            "clean_weight": clean_weight,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> SOPDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return SOPDescent(classifier, optimizer(classifier.parameters()), **self.options)
