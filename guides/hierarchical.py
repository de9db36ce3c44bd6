"""Guide of the hierarchical model: posteriors of the transition matrix, the rectifying vector and the gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from vri_pyro.guides.amortised import AmortisedVector
from vri_pyro.guides.diagonal_normal import DiagonalNormal
from vri_pyro.guides.gated import Gated
from vri_pyro.guides.inputs import InputFactory
from vri_pyro.guides.scalar_weight import GateNetwork
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.data_plate import DataPlate
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import predicted_counts, updated_concentration
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number


class Hierarchical(Gated):
    """Guide q(T) q(v | x, y) q(g | x, y) q(h | x, y) of the hierarchical model.

    Pairs with :class:`vri_pyro.models.HierarchicalRectification`.

    The posteriors of vector and gates are amortised and trained on the clean loss, as in :class:`Gated`. The rows of T
    have Dirichlet posteriors, which are trained by natural-gradient steps on the ELBO instead. After each training
    step, their concentrations move a fraction ρ of the way to the values that would be optimal if all data were like
    the batch. These values are the prior's concentrations plus the expected counts of (true, given) labels. All labels
    count equally in this update, regardless of their gates. A gate measures how useful an example is for the
    classifier, not how its label arose.

    The updates are those of an EM algorithm, and it depends on their start which noise they find. With T near the
    identity they stay there, because the classifier can imitate the noise: every label is then explained by itself.
    With ``start="predictions"``, as in ``vri.yaml``, q(T) starts at the prior plus the counts of (predicted class,
    given label) over the noisy examples, with the predictions of the classifier that an earlier stage trained.

    Args:
        feature_dim: D.
        num_classes: K.
        vector: constructor of the vector's guide, called with (feature_dim, num_classes).
        gate_hidden: widths of the tanh layers in each gate's network.
        gate_inputs: constructors of the inputs of the gates' networks; loss and one-hot label if None.
        rate: ρ, step size of the updates of q(T), in (0, 1].
        start: where q(T) starts: "prior" for the prior alone, as in version 0.1; "predictions" for the prior plus the
            counts, as above.

    Reference: Hoffman et al., Stochastic variational inference, JMLR 2013, eq. 33-34, with a constant step size.

    Raises:
        UserError: ``rate`` is out of range, or ``start`` unknown.
    """

    concentration: Tensor

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        vector: Callable[[int, int], AmortisedVector] = DiagonalNormal,
        gate_hidden: Sequence[int] = (32,),
        gate_inputs: Sequence[InputFactory] | None = None,
        rate: float = 0.02,
        start: Literal["prior", "predictions"] = "prior",
    ) -> None:
        super().__init__(feature_dim, num_classes, vector, gate_hidden, gate_inputs)
        check_number("rate", rate, above=0, at_most=1, remedy=", such as 0.02")
        self.transition_gate = GateNetwork(feature_dim, num_classes, gate_hidden, gate_inputs)
        if start not in ("prior", "predictions"):
            raise UserError(f"start is {start!r}; expected 'prior' or 'predictions'")
        self.rate, self.start = rate, start
        self.data = DataPlate()
        self.register_buffer("concentration", torch.eye(num_classes) + 1 / num_classes)

    @property
    def transition(self) -> Tensor:
        """Posterior mean of T, [K, K]."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    def begin_training(self, model: Any, context: TrainingContext) -> None:
        """See :class:`~vri_pyro.interfaces.base.Guide`; sets the start of q(T)."""
        self.data.size = model.data.size
        self.concentration.copy_(model.concentration)
        if self.start == "predictions":
            counts = predicted_counts(context.predict(context.noisy), context.labels_at(context.noisy))
            self.concentration.add_(counts, alpha=model.transition_weight)

    def end_step(self, model: Any, output: ClassifierOutput, y: Tensor) -> None:
        """See :class:`~vri_pyro.interfaces.base.Guide`; updates q(T)."""
        weight = (self.data.size or len(y)) / len(y) * model.transition_weight
        self.concentration.copy_(
            updated_concentration(self.concentration, model.concentration, output.logits, y, weight, self.rate)
        )

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        """See :class:`~vri_pyro.interfaces.base.Guide`.

        Sites: ``transition`` [K, K]; ``v`` [batch, K], ``gate`` and ``transition_gate`` [batch].
        """
        pyro.sample("transition", dist.Dirichlet(self.concentration).to_event(1))
        vector = self.vector.posterior(output, y)
        gate, transition_gate = self.gate(output, y), self.transition_gate(output, y)
        with self.data(y.shape[0]):
            pyro.sample("v", vector)
            pyro.sample("gate", gate)
            pyro.sample("transition_gate", transition_gate)
