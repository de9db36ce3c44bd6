"""Enhanced meta label correction (EMLC): a teacher with a network of its own corrects the labels of the classifier."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vri_pyro.data.batch import Batch
from vri_pyro.infer.algorithm import CLEAN_WEIGHT, check_not_negative
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import ELBOTerms, RectificationELBO
from vri_pyro.infer.functional import classifier_output
from vri_pyro.infer.hypergradient import Hypergradient
from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.networks import hidden_layers
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.models import CorrectedCrossEntropy
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import joined
from vri_pyro.utils.numbers import check_integer


class Teacher(Guide):
    """Guide of a soft label, r · y + (1 − r) · p(x): the given label if it is retained, or else a prediction.

    The prediction p is that of the teacher's own network. The probability r that the label is retained is computed from
    the features of this network and an embedding of the label. Pairs with
    :class:`vri_pyro.models.CorrectedCrossEntropy`.

    Args:
        network: the teacher's network; :class:`EMLC` copies the classifier.
        label_dim: width of the embedding of the label.
        hidden: widths of the ReLU layers of the network that computes r.

    Reference: Taraday & Baskin, Enhanced meta label correction for coping with label corruption, ICCV 2023, figure 3.
    """

    uses_inputs = True

    def __init__(self, network: Classifier, label_dim: int = 128, hidden: Sequence[int] = (128,)) -> None:
        super().__init__()
        check_integer("label_dim", label_dim, 1)
        self.network = network
        self.embedding = nn.Embedding(network.num_classes, label_dim)
        body, width = hidden_layers(network.feature_dim + label_dim, hidden, nn.ReLU)
        self.retention = nn.Sequential(body, nn.Linear(width, 1))

    def see(self, x: Tensor, count: int) -> ClassifierOutput:
        """Return the output of the teacher's network on the joined batch.

        Args:
            x: inputs, this process's share of them, [batch, ...].
            count: number of examples of all processes. Every process computes the output for all of them.
        """
        return classifier_output(self.network, joined(x, count))

    def retained(self, seen: ClassifierOutput, y: Tensor) -> Tensor:
        """Logit of r, [batch], for labels ``y`` [batch] and the output ``seen`` of the teacher's network."""
        return self.retention(torch.cat([seen.features, self.embedding(y)], dim=-1)).squeeze(-1)

    def soft_label(self, seen: ClassifierOutput, y: Tensor) -> Tensor:
        """Return the soft label, [batch, K]; see :meth:`retained`."""
        retained = self.retained(seen, y).sigmoid().unsqueeze(-1)
        return retained * F.one_hot(y, self.network.num_classes) + (1 - retained) * seen.logits.softmax(-1)

    def forward(self, output: ClassifierOutput, y: Tensor) -> Tensor:
        """See :class:`~vri_pyro.interfaces.base.Guide`. Site: ``soft_label`` [batch, K].

        Raises:
            UserError: the output has no inputs.
        """
        if output.inputs is None:
            raise UserError(
                "the output has no inputs, but the teacher of EMLC has a network of its own; call "
                "output._replace(inputs=x)"
            )
        soft = self.soft_label(self.see(output.inputs, len(y)), y)
        with pyro.plate("data", len(y)):
            return pyro.sample("soft_label", dist.Delta(soft, event_dim=1))


class EMLCSVI(BilevelSVI):
    """Trains a classifier on the soft labels of a teacher, and the teacher on the clean loss and on clean labels.

    The teacher is trained on G(ŵ) + α CE(p(x), y) + β BCE. G is the cross entropy of the clean batch at parameters ŵ
    of the classifier after a step on the soft labels; its gradient is exact. The other two terms are those of the
    teacher itself on the clean batch: its cross entropy, and the binary cross entropy of the retention of labels, for
    which every other label is replaced by the wrong class that the teacher finds most probable. Then the classifier
    takes the step to ŵ, as in the authors' code, so that it follows the teacher of the step before.

    Args:
        classifier, inner_optimizer, outer_optimizer, clean_weight, hypergradient, max_skipped: see
            :class:`~vri_pyro.infer.bilevel.BilevelSVI`.
        teacher: the guide.
        supervised_weight: α.
        retention_weight: β.

    Raises:
        UserError: a weight is negative.

    Reference: Taraday & Baskin, Enhanced meta label correction for coping with label corruption, ICCV 2023.
    """

    def __init__(
        self,
        classifier: Classifier,
        teacher: Teacher,
        inner_optimizer: Optimizer,
        outer_optimizer: Optimizer,
        *,
        supervised_weight: float = 1.0,
        retention_weight: float = 1.0,
        clean_weight: float = CLEAN_WEIGHT,
        hypergradient: Hypergradient | None = None,
        max_skipped: int = 10,
    ) -> None:
        check_not_negative(supervised_weight=supervised_weight, retention_weight=retention_weight)
        super().__init__(
            classifier,
            CorrectedCrossEntropy(classifier.feature_dim, classifier.num_classes),
            teacher,
            inner_optimizer,
            outer_optimizer,
            elbo=RectificationELBO(1),
            outer_kl_weight=0.0,
            clean_weight=clean_weight,
            hypergradient=hypergradient,
            late=True,
            max_skipped=max_skipped,
        )
        self.teacher = teacher
        self.supervised_weight, self.retention_weight = supervised_weight, retention_weight

    def _meta_weight(self) -> float:
        """Weight of the clean loss; it is not divided by the learning rate, as in the paper."""
        return 1.0

    def _direct(self, terms: ELBOTerms, clean: Batch) -> Tensor | None:
        if not (self.supervised_weight or self.retention_weight):
            return None
        seen = self.teacher.see(clean.x, len(clean.y))
        supervised = F.cross_entropy(seen.logits, clean.y)
        right = torch.arange(len(clean.y), device=clean.y.device) % 2 == 1
        shown = torch.where(right, clean.y, most_probable_wrong(seen.logits, clean.y))
        retention = F.binary_cross_entropy_with_logits(self.teacher.retained(seen, shown), right.to(seen.logits))
        return self.supervised_weight * supervised + self.retention_weight * retention


def most_probable_wrong(logits: Tensor, y: Tensor) -> Tensor:
    """Class with the highest logit [batch, K] among those that are not ``y`` [batch], int64 [batch]."""
    return logits.detach().scatter(-1, y.unsqueeze(-1), -torch.inf).argmax(-1)


class EMLC(Method):
    """Enhanced meta label correction (EMLC): a teacher with a network of its own corrects labels.

    Builds an :class:`EMLCSVI`. The network of the teacher is a copy of the classifier as the first stage finds it; in
    the paper, both start from the same network, trained by self-supervision.

    Args:
        outer_optimizer: optimiser of the teacher; SGD without momentum, with the learning rate of the classifier, in
            the authors' code.
        label_dim: width of the embedding of the label.
        hidden: widths of the layers of the network that decides whether a label is retained.
        supervised_weight: weight of the teacher's cross entropy on clean labels.
        retention_weight: weight of the binary cross entropy of retention; 0 in the authors' code for CIFAR, 1 in that
            for Clothing1M.
        clean_weight: weight of the cross entropy of a clean batch in the classifier's step.
        hypergradient: strategy for the hypergradient; SplitJVP by default.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    pool: Pool = "noisy"
    models_noise = True

    def __init__(
        self,
        outer_optimizer: OptimizerFactory,
        label_dim: int = 128,
        hidden: Sequence[int] = (128,),
        supervised_weight: float = 1.0,
        retention_weight: float = 1.0,
        clean_weight: float = CLEAN_WEIGHT,
        hypergradient: Hypergradient | None = None,
        max_skipped: int = 10,
    ) -> None:
        self.outer_optimizer, self.label_dim, self.hidden = outer_optimizer, label_dim, hidden
        self.options: dict[str, Any] = {
            "supervised_weight": supervised_weight,
            "retention_weight": retention_weight,
            "clean_weight": clean_weight,
            "hypergradient": hypergradient,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> EMLCSVI:
        """See :class:`~vri_pyro.methods.Method`."""
        like = next(classifier.parameters())
        teacher = Teacher(copy.deepcopy(classifier), self.label_dim, self.hidden).to(like.device)
        outer = self.outer_optimizer([p for p in teacher.parameters() if p.requires_grad])
        return EMLCSVI(classifier, teacher, optimizer(classifier.parameters()), outer, **self.options)
