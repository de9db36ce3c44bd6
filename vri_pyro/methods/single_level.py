"""Single-level variational inference: one ELBO trains classifier, model and guide."""

from __future__ import annotations

from collections.abc import Callable

from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.pair import build_pair


class SingleLevel(Method):
    """Single-level inference: trains classifier, model and guide together on one ELBO.

    Builds a :class:`~vri_pyro.infer.single_level.SingleLevelSVI`. With the model CrossEntropy and the guide NoLatents,
    this is training with cross entropy.

    Args:
        model: the generative model, built from (feature_dim, num_classes).
        guide: the amortised posterior, built from (feature_dim, num_classes).
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        num_particles: k, number of samples of the guide per example.
        kl_weight: weight of the KL in the ELBO.
        clean_weight: weight of the cross entropy of a clean batch, added to the loss.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    def __init__(
        self,
        model: Callable[[int, int], Model],
        guide: Callable[[int, int], Guide],
        pool: Pool = "noisy",
        num_particles: int = 1,
        kl_weight: float = 1.0,
        clean_weight: float = CLEAN_WEIGHT,
        max_skipped: int = 10,
    ) -> None:
        self.model, self.guide, self.pool = model, guide, pool
        self.num_particles, self.kl_weight = num_particles, kl_weight
        self.clean_weight, self.max_skipped = clean_weight, max_skipped
        self.needs_clean = pool != "noisy" or clean_weight > 0

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> SingleLevelSVI:
        """See :class:`Method`."""
        model, guide = build_pair(self.model, self.guide, classifier)
        return SingleLevelSVI(
            classifier,
            model,
            guide,
            optimizer([*classifier.parameters(), *model.parameters(), *guide.parameters()]),
            elbo=RectificationELBO(self.num_particles, kl_weight=self.kl_weight),
            clean_weight=self.clean_weight,
            max_skipped=self.max_skipped,
        )
