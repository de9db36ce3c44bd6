"""Bi-level inference: trains guide and prior on the clean loss after a virtual step of the classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.half_clean_bilevel import HalfCleanBilevelSVI
from vri_pyro.infer.hypergradient import Hypergradient
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Method, OptimizerFactory, Pool, Stage
from vri_pyro.methods.pair import build_pair
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number


class Bilevel(Method):
    """Bi-level inference: trains guide and prior on the clean loss after a virtual step.

    Builds a :class:`~vri_pyro.infer.bilevel.BilevelSVI`.

    Args:
        model: the generative model, built from (feature_dim, num_classes).
        guide: the amortised posterior, built from (feature_dim, num_classes).
        outer_optimizer: optimiser of guide and prior.
        num_particles: k, number of samples of the guide per example.
        inner_kl_weight: λ, weight of the KL in the loss of the virtual step (paper, eq. 6).
        outer_kl_weight: β, weight of the KL in the outer objective; the other term is the clean loss divided by the
            learning rate.
        detach_features: whether guide and prior receive the features detached from the classifier's graph.
        clean_weight: weight of the cross entropy of a clean batch in the classifier's real step; 0 in the paper.
        hypergradient: strategy for the hypergradient; SplitJVP by default.
        share_forward: keep the graph of the noisy forward pass for the real step; faster, but uses more memory.
        late: whether the gradient of the virtual step also updates the classifier, which then follows the guide of the
            step before; cheaper.
        outer_every: number of steps from one update of guide and prior to the next; cheaper if it is above 1.
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    pool: Pool = "noisy"
    models_noise = True
    algorithm: ClassVar[type[BilevelSVI]] = BilevelSVI

    def __init__(
        self,
        model: Callable[[int, int], Model],
        guide: Callable[[int, int], Guide],
        outer_optimizer: OptimizerFactory,
        num_particles: int = 2,
        inner_kl_weight: float = 0.0,
        outer_kl_weight: float = 1e-3,
        detach_features: bool = True,
        clean_weight: float = CLEAN_WEIGHT,
        hypergradient: Hypergradient | None = None,
        share_forward: bool = True,
        late: bool = False,
        outer_every: int = 1,
        max_skipped: int = 10,
    ) -> None:
        self.model, self.guide, self.outer_optimizer = model, guide, outer_optimizer
        self.num_particles = num_particles
        self.options: dict[str, Any] = {
            "inner_kl_weight": inner_kl_weight,
            "outer_kl_weight": outer_kl_weight,
            "detach_features": detach_features,
            "clean_weight": clean_weight,
            "hypergradient": hypergradient,
            "share_forward": share_forward,
            "late": late,
            "outer_every": outer_every,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> BilevelSVI:
        """See :class:`Method`."""
        model, guide = build_pair(self.model, self.guide, classifier)
        return self.algorithm(
            classifier,
            model,
            guide,
            optimizer(classifier.parameters()),
            self.outer_optimizer([*model.parameters(), *guide.parameters()]),
            elbo=RectificationELBO(self.num_particles),
            **self.options,
        )


class HalfCleanBilevel(Bilevel):
    """Bi-level inference that also trains the classifier on half of each clean batch, as MLC's authors do.

    Builds a :class:`~vri_pyro.infer.half_clean_bilevel.HalfCleanBilevelSVI`.

    Args:
        args, kwargs: see :class:`Bilevel`.
    """

    algorithm = HalfCleanBilevelSVI

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, clean_weight=0.0, late=True, outer_every=1, **kwargs)  # type: ignore[misc]


class EstimatedBilevel(Bilevel):
    """Bi-level inference with a pre-training stage from which the model estimates its prior.

    Use it for a model whose ``begin_training`` hook needs a trained classifier. For example,
    :class:`~vri_pyro.models.HierarchicalRectification` estimates its transition matrix from a classifier that was
    trained on the noisy labels alone. After the hook, the classifier restarts from its initial parameters.

    Args:
        estimation: method of the pre-training stage, such as NoisyCrossEntropy.
        estimation_share: length of the pre-training stage as a fraction of the main stage; at least one epoch.
        args, kwargs: see :class:`Bilevel`.

    Raises:
        UserError: ``estimation_share`` is not positive.
    """

    def __init__(self, *args: Any, estimation: Method, estimation_share: float = 0.33, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_number("estimation_share", estimation_share, above=0, remedy=", such as 0.33")
        self.estimation, self.estimation_share = estimation, estimation_share
        self.options["restart"] = True

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`Method`.

        Raises:
            UserError: the estimation method has several stages.
        """
        epochs = None if stage.epochs is None else max(1, round(self.estimation_share * stage.epochs))
        if len(self.estimation.stages(name, stage)) > 1:
            raise UserError(
                f"estimation is {type(self.estimation).__name__}, which has several stages; use a method with a "
                "single stage, such as NoisyCrossEntropy"
            )
        return {"estimation": replace(stage, method=self.estimation, epochs=epochs), name: stage}
