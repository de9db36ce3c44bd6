"""A hierarchical model of all labels: one transition matrix, and a rectifying vector and two gates per example."""

from __future__ import annotations

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from vri_pyro.interfaces.base import Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.data_plate import DataPlate
from vri_pyro.interfaces.prediction_memory import PredictionMemory, early_learning_regulariser
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import glc_estimate, noisy_log_probabilities
from vri_pyro.models.gate import Gate
from vri_pyro.models.gated_rectification import GatedRectification
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.utils.errors import UserError

_LEAST = 1e-4  # of a probability that a gate is to move


class HierarchicalRectification(GatedRectification):
    """Two accounts of a label, rectified and by a transition, each with a gate that says how much it counts.

    For all examples together, and then for each of them::

        T_c ~ Dirichlet(min(s, n_c) · T̂_c + 1/K)             how labels of class c are given
        v ~ p(v | z),  g ~ Normal(μ, 1),  h ~ Normal(ν, 1)
        y ~ Categorical(logits = π(v) ⊙ F(x))                to the power of (1 - α) · w
        y ~ Categorical(probs = softmax(F(x))ᵀ T)            to the power of α · u
        and a factor (1 - ⟨softmax(F(x)), t⟩)                to the power of -λ

    with the weights w = sigmoid(g + logit p(c = y | t, y, T)) and u = sigmoid(h), each over its mean in the batch.
    Where the gate g says nothing, the rectified account of an example counts as much as the transition believes its
    label. Noise without structure, and images of no class, are for the gates; noise that confuses certain classes, for
    the transition; and the vector reshapes what depends on the example.

    What the classifier predicts of an example is, later on, its label learned by heart, right or wrong. So the belief
    is that of t, the running mean of its predictions since training began, and the last factor, ELR's, holds it to t.
    Where the examples' positions are not known (``output.index``), t is the prediction, without such a factor. In
    evaluation mode there is no such factor either: it says nothing of the latents, and would shift their bound.

    The two likelihoods look at one label, so their product is a composite likelihood, and α shares it out. What w sees
    of T and t is cut off from learning them: only the second likelihood informs T. T̂_c is estimated on the n_c clean
    examples of a class when training begins, by what was trained on noisy labels until then: see
    :class:`~vri_pyro.methods.EstimatedBilevel`. It counts for as many labels, up to s, because what that classifier
    confuses it takes for noise, however many they are. A class without any counts as one whose labels are right.

    Pairs with :class:`vri_pyro.guides.Hierarchical`.

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        prior: builds the vector's prior from (feature_dim, num_classes).
        link: π; see :class:`~vri_pyro.models.Rectification`.
        prior_strength: s, how many labels of a class the estimate counts for at most.
        transition_weight: α, of the transition in the likelihood, in (0, 1).
        elr_weight: λ, strength of the pull to earlier predictions.
        momentum: of their running mean, in [0, 1).

    Reference: the rows' prior is GLC's estimate (Hendrycks et al., NeurIPS 2018); early learning: Liu et al., NeurIPS
        2020; composite likelihoods: Varin et al., Statistica Sinica 2011; cutting feedback: Plummer, Statistics and
        Computing 2015. Their combination with VRI's vector and MW-Net's weight is ours.

    Raises:
        UserError: prior_strength, transition_weight, elr_weight or momentum is out of range.
    """

    concentration: Tensor

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        prior: Callable[[int, int], Prior] = PriorNetwork,
        link: nn.Module | None = None,
        prior_strength: float = 10.0,
        transition_weight: float = 0.5,
        elr_weight: float = 1.0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__(feature_dim, num_classes, prior, link)
        if not prior_strength > 0:
            raise UserError(f"prior_strength is {prior_strength}; give a number of labels above 0, such as 10")
        if not 0 < transition_weight < 1:
            raise UserError(f"transition_weight is {transition_weight}; give one between 0 and 1, such as 0.5")
        if not elr_weight >= 0:
            raise UserError(f"elr_weight is {elr_weight}; give 0 or more, such as 1")
        self.prior_strength, self.transition_weight, self.elr_weight = prior_strength, transition_weight, elr_weight
        self.memory = PredictionMemory(num_classes, momentum)
        self.transition_gate = Gate(name="transition_gate")
        self.data = DataPlate()
        self.register_buffer("concentration", self._around(torch.eye(num_classes), torch.ones(num_classes)))

    def begin_training(self, context: TrainingContext) -> None:
        """See :class:`~vri_pyro.interfaces.base.Model`.

        Raises:
            UserError: nothing was trained yet that could tell the transition.
        """
        if not context.trained:
            raise UserError(
                "HierarchicalRectification estimates its transition by a classifier trained on the noisy labels, and "
                "this one was not trained yet; give the method EstimatedBilevel, which has a stage for it, or a warm_up"
            )
        y = context.labels_at(context.clean)
        counts = y.bincount(minlength=len(self.concentration)).clamp_min(1)
        self.concentration.copy_(self._around(glc_estimate(context.predict(context.clean), y), counts))
        self.data.size = len(context.noisy)
        self.memory.reserve(len(context.labels))

    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        """See :class:`~vri_pyro.interfaces.base.Model`; remembers the predictions."""
        if output.index is not None:
            self.memory.keep(output.index, self.memory.moved(output.logits, output.index))

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`.

        Sites: latents ``transition`` [K, K] outside the data plate; ``v`` [batch, K], ``gate`` and ``transition_gate``
        [batch] in it; the label as ``y``, rectified, and as ``y_by_transition``; the factor ``early_learning``, in
        training mode.
        """
        size, logits = output.logits.shape[0], output.logits
        transition = pyro.sample("transition", dist.Dirichlet(self.concentration).to_event(1))
        with self.data(size):
            v = pyro.sample("v", self.prior(output.features))
            rectifier = pyro.deterministic("rectifier", self.link(v), event_dim=1)
            noisy = noisy_log_probabilities(logits, transition)
            with self.transition_gate.scaled(size), poutine.scale(scale=self.transition_weight):
                given = pyro.sample("y_by_transition", dist.Categorical(logits=noisy), obs=y)
            believed = logits.log_softmax(-1)
            if output.index is not None:
                targets = self.memory.moved(logits, output.index)
                believed = (targets / targets.sum(-1, keepdim=True)).log()
                if self.training:
                    pull = -self.elr_weight * early_learning_regulariser(logits, targets)
                    pyro.factor("early_learning", pull)
            # p(c = ỹ | t, ỹ, T) = t[ỹ] T[ỹ, ỹ] / p(ỹ | t, T), of every label ỹ and then of the given one.
            right = believed + transition.diagonal(dim1=-2, dim2=-1).log()
            right = right - noisy_log_probabilities(believed, transition)
            right = right.detach().exp().gather(-1, given.expand(right.shape[:-1]).unsqueeze(-1)).squeeze(-1)
            with self.gate.scaled(size, offset=right.logit(_LEAST)), poutine.scale(scale=1 - self.transition_weight):
                return pyro.sample("y", dist.Categorical(logits=rectifier * logits), obs=y)

    def _around(self, transition: Tensor, counts: Tensor) -> Tensor:
        return counts.clamp(max=self.prior_strength).unsqueeze(-1) * transition + 1 / len(transition)
