"""Hierarchical model of the labels: a global transition matrix, and a rectifying vector and two gates per example."""

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
from vri_pyro.interfaces.given_label import GivenLabel
from vri_pyro.interfaces.prediction_memory import PredictionMemory, early_learning_regulariser
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import glc_estimate
from vri_pyro.models.gate import Gate
from vri_pyro.models.gated_rectification import GatedRectification
from vri_pyro.models.prior_network import PriorNetwork
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number

_LEAST = 1e-4  # clamps probabilities away from 0 and 1, where a gate could not change the weight


class HierarchicalRectification(GatedRectification):
    """Hierarchical model with two gated likelihoods: rectified logits and a transition matrix.

    The transition matrix T is shared by all examples; the other latents are per example::

        T_c ~ Dirichlet(min(s, n_c) · T̂_c + 1/K)             row of class c
        v ~ p(v | z),  g ~ Normal(μ, 1),  h ~ Normal(ν, 1)
        y ~ Categorical(logits = π(v) ⊙ F(x))                to the power of (1 - α) · w
        y ~ Categorical(probs = softmax(F(x))ᵀ T)            to the power of α · u
        and a factor (1 - ⟨softmax(F(x)), t⟩)                to the power of -λ

    The weights are w = sigmoid(g + logit p(c = y | t, y, T)) and u = sigmoid(h), each divided by its mean over the
    batch. Before this division, w at g = 0 is the probability that the label is right, according to T and t.

    The gates handle unstructured noise and images that belong to no class. The transition matrix handles noise that
    confuses certain classes. The rectifying vector handles noise that depends on the example.

    Later in training, the classifier memorises the labels, right or wrong. Therefore the probability that a label is
    right is not computed from the current prediction but from t, the running mean of the predictions since training
    began. The last factor is the regulariser of ELR, which keeps the prediction close to t. If the positions of the
    examples are unknown (``output.index`` is None), t is the current prediction and the factor is omitted. It is also
    omitted in evaluation mode, because it does not depend on the latents and would shift the ELBO.

    Both likelihoods are of the same label, so their product is a composite likelihood. The likelihood
    with the transition matrix has the share α. The weight w is detached from T and t, so only this likelihood informs
    T.

    A verified pair, an example whose verified class c and label as given ỹ are both known, is a draw from T_c. Its
    likelihood T[c, ỹ] is conjugate, so that the pairs are added to the concentrations of T as counts.

    T̂_c is estimated when training begins, on the n_c clean examples of class c, with the classifier that an earlier
    stage trained on the noisy labels (see :class:`~vri_pyro.methods.EstimatedBilevel`). In the prior, it counts as
    min(s, n_c) labels. The limit s accounts for a bias that does not decrease with n_c: the estimate includes the
    classifier's own confusions. A class without clean examples counts as one example whose label is right.

    Pairs with :class:`vri_pyro.guides.Hierarchical`.

    Args:
        feature_dim: D, width of the classifier's features z.
        num_classes: K.
        prior: constructor of the vector's prior, called with (feature_dim, num_classes).
        link: π; see :class:`~vri_pyro.models.Rectification`.
        prior_strength: s, the largest number of labels per class that the estimate T̂ counts as.
        transition_weight: α, share of the transition matrix in the composite likelihood, in (0, 1).
        elr_weight: λ, weight of the ELR regulariser.
        momentum: momentum of the running mean of the predictions, in [0, 1).

    Reference: prior of T: GLC's estimate, Hendrycks et al., NeurIPS 2018; early-learning regularisation: Liu et al.,
        NeurIPS 2020; composite likelihoods: Varin et al., Statistica Sinica 2011; cutting feedback: Plummer, Statistics
        and Computing 2015. Their combination with VRI's vector and MW-Net's weight is original to this
        package.

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
        check_number("prior_strength", prior_strength, above=0, remedy=", such as 10")
        check_number("transition_weight", transition_weight, above=0, below=1, remedy=", such as 0.5")
        check_number("elr_weight", elr_weight, at_least=0, remedy=", such as 1")
        self.prior_strength, self.transition_weight, self.elr_weight = prior_strength, transition_weight, elr_weight
        self.memory = PredictionMemory(num_classes, momentum)
        self.transition_gate = Gate(name="transition_gate")
        self.data = DataPlate()
        self.register_buffer("concentration", self._around(torch.eye(num_classes), torch.ones(num_classes)))

    def begin_training(self, context: TrainingContext) -> None:
        """See :class:`~vri_pyro.interfaces.base.Model`; estimates the prior of T.

        Raises:
            UserError: no earlier stage has trained the classifier.
        """
        if not context.trained:
            raise UserError(
                "HierarchicalRectification needs a classifier trained on the noisy labels to estimate its transition "
                "matrix, but this classifier is untrained; use the method EstimatedBilevel, which trains one first, or "
                "set warm_up"
            )
        sample = context.clean_sample
        y = context.labels_at(sample)
        counts = y.bincount(minlength=len(self.concentration)).clamp_min(1)
        self.concentration.copy_(context.with_pairs(self._around(glc_estimate(context.predict(sample), y), counts)))
        self.data.size = len(context.noisy)
        self.memory.reserve(len(context.labels))

    def end_step(self, output: ClassifierOutput, y: Tensor) -> None:
        """See :class:`~vri_pyro.interfaces.base.Model`; updates the running mean of the predictions."""
        if output.index is not None:
            self.memory.keep(output.index, self.memory.moved(output.logits, output.index))

    def forward(self, output: ClassifierOutput, y: Tensor | None = None) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Model`.

        Sites: latent ``transition`` [K, K] outside the data plate; inside it the latents ``v`` [batch, K], ``gate``
        [batch] and ``transition_gate`` [batch], the label as ``y`` (rectified) and as ``y_by_transition``, and, in
        training mode, the factor ``early_learning``.
        """
        size, logits = output.logits.shape[0], output.logits
        transition = pyro.sample("transition", dist.Dirichlet(self.concentration).to_event(1))
        with self.data(size):
            v = pyro.sample("v", self.prior(output.features))
            rectifier = pyro.deterministic("rectifier", self.link(v), event_dim=1)
            with self.transition_gate.scaled(size), poutine.scale(scale=self.transition_weight):
                given = pyro.sample("y_by_transition", GivenLabel(logits, transition), obs=y)
            believed = logits.log_softmax(-1)
            if output.index is not None:
                targets = self.memory.moved(logits, output.index)
                believed = (targets / targets.sum(-1, keepdim=True)).log()
                if self.training:
                    pull = -self.elr_weight * early_learning_regulariser(logits, targets)
                    pyro.factor("early_learning", pull)
            # p(c = ỹ | t, ỹ, T) = t[ỹ] T[ỹ, ỹ] / p(ỹ | t, T)
            label, believed = given.unsqueeze(-1), believed.detach()
            kept = (believed + transition.diagonal(dim1=-2, dim2=-1).log()).detach()
            kept = kept.gather(-1, label.expand(*kept.shape[:-1], 1)).squeeze(-1)
            right = (kept - GivenLabel(believed, transition).log_prob(given)).detach().exp()
            with self.gate.scaled(size, offset=right.logit(_LEAST)), poutine.scale(scale=1 - self.transition_weight):
                return pyro.sample("y", dist.Categorical(logits=rectifier * logits), obs=y)

    def _around(self, transition: Tensor, counts: Tensor) -> Tensor:
        return counts.clamp(max=self.prior_strength).unsqueeze(-1) * transition + 1 / len(transition)
