"""Methods as a configuration names them: what to build around a classifier once its shape is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from vri_pyro.algorithm import Algorithm, GlobalParameters
from vri_pyro.bilevel import BilevelSVI
from vri_pyro.classifier import Classifier, ClassifierOutput
from vri_pyro.elbo import RectificationELBO
from vri_pyro.errors import UserError
from vri_pyro.hypergradient import Hypergradient
from vri_pyro.pairs import Guide, Model
from vri_pyro.schedules import Schedule
from vri_pyro.single_level import SingleLevelSVI

OptimizerFactory = Callable[[Iterable[Tensor]], Optimizer]
Pool = Literal["noisy", "clean", "noisy_and_clean"]


class Method(ABC):
    """Builds an algorithm around a classifier.

    Attributes:
        pool: the examples that the first batch of a step is drawn from.
        views: how many augmented views of that batch the algorithm asks for, 1 or 2.
        needs_clean: whether it cannot do without clean examples.
    """

    pool: Pool
    views: Literal[1, 2] = 1
    needs_clean: bool = True

    @abstractmethod
    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> Algorithm:
        """The algorithm that trains ``classifier`` with ``optimizer``, on the classifier's device."""

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """The stages that a stage by this method consists of, such as the folds of a cross-validation.

        Args:
            name: the stage's, such as "training".
            stage: by this method, with its number of epochs.

        Returns:
            stages by name, in the order of training; each becomes a phase, by its own method's :meth:`build`. Those
            without a number of epochs are as long as the run's main phase.
        """
        return {name: stage}


@dataclass(frozen=True)
class Stage:
    """A part of a run, trained by one method.

    Attributes:
        method: what to train by.
        optimizer: of the classifier.
        epochs: its length; null for that of the run's main phase.
        schedule: factor on the classifier's learning rate; null for that of the run.
    """

    method: Method
    optimizer: OptimizerFactory
    epochs: int | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        """Check the length."""
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs is {self.epochs}; give at least 1")


class Bilevel(Method):
    """Bi-level inference: guide and prior learn from the clean loss after a virtual step of the classifier.

    Args:
        model: the generative model, built from (feature_dim, num_classes).
        guide: the amortised posterior, built from (feature_dim, num_classes).
        outer_optimizer: optimiser of guide and prior.
        particles: k, samples of the guide per example.
        inner_kl_weight: λ, weight of the KL in the virtual step's loss (paper, eq. 6).
        outer_kl_weight: β, weight of the KL beside the clean loss over the learning rate.
        detach_features: whether guide and prior see the features as constants.
        clean_weight: weight of a clean batch's cross entropy in the classifier's real step; 0 in the paper.
        hypergradient: the strategy; SplitJVP when none is given.
        share_forward: keep the noisy forward's graph for the real step: faster, more memory.
        max_skipped: non-finite steps in a row before the training stops.
    """

    pool: Pool = "noisy"

    def __init__(
        self,
        model: Callable[[int, int], Model],
        guide: Callable[[int, int], Guide],
        outer_optimizer: OptimizerFactory,
        particles: int = 2,
        inner_kl_weight: float = 0.0,
        outer_kl_weight: float = 1e-3,
        detach_features: bool = True,
        clean_weight: float = 1.0,
        hypergradient: Hypergradient | None = None,
        share_forward: bool = True,
        max_skipped: int = 10,
    ) -> None:
        self.model, self.guide, self.outer_optimizer = model, guide, outer_optimizer
        self.particles = particles
        self.options: dict[str, Any] = {
            "inner_kl_weight": inner_kl_weight,
            "outer_kl_weight": outer_kl_weight,
            "detach_features": detach_features,
            "clean_weight": clean_weight,
            "hypergradient": hypergradient,
            "share_forward": share_forward,
            "max_skipped": max_skipped,
        }

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> BilevelSVI:
        """See :class:`Method`."""
        model, guide = _pair(self.model, self.guide, classifier)
        return BilevelSVI(
            classifier,
            model,
            guide,
            optimizer(classifier.parameters()),
            self.outer_optimizer([*model.parameters(), *guide.parameters()]),
            elbo=RectificationELBO(self.particles),
            **self.options,
        )


class EstimatedBilevel(Bilevel):
    """Bi-level inference after a stage that the model learns from: how a classifier does that was trained otherwise.

    For a model that looks at the run when training begins, as HierarchicalRectification does at what learned from the
    noisy labels alone. The classifier then begins anew.

    Args:
        estimation: trains the classifier in the first stage, such as NoisyCrossEntropy.
        estimation_share: length of that stage as a share of the second's; it has an epoch at least.
        args, kwargs: see :class:`Bilevel`.
    """

    def __init__(self, *args: Any, estimation: Method, estimation_share: float = 0.33, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not estimation_share > 0:
            raise UserError(f"estimation_share is {estimation_share}; give a share above 0, such as 0.33")
        self.estimation, self.estimation_share = estimation, estimation_share
        self.options["restart"] = True

    def stages(self, name: str, stage: Stage) -> dict[str, Stage]:
        """See :class:`Method`.

        Raises:
            UserError: the estimation has stages of its own.
        """
        epochs = None if stage.epochs is None else max(1, round(self.estimation_share * stage.epochs))
        if len(self.estimation.stages(name, stage)) > 1:
            raise UserError(
                f"estimation is {type(self.estimation).__name__}, which has stages of its own; give a method of one "
                "stage, such as NoisyCrossEntropy"
            )
        return {"estimation": replace(stage, method=self.estimation, epochs=epochs), name: stage}


class SingleLevel(Method):
    """Ordinary training on one ELBO; with CrossEntropy and NoLatents, training by cross entropy.

    Args:
        model: the generative model, built from (feature_dim, num_classes).
        guide: the amortised posterior, built from (feature_dim, num_classes).
        pool: the examples to train on: "noisy", "clean" or "noisy_and_clean".
        particles: k, samples of the guide per example.
        kl_weight: weight of the KL.
        clean_weight: weight of a clean batch's cross entropy, added to the loss.
        max_skipped: non-finite steps in a row before the training stops.
    """

    def __init__(
        self,
        model: Callable[[int, int], Model],
        guide: Callable[[int, int], Guide],
        pool: Pool = "noisy",
        particles: int = 1,
        kl_weight: float = 1.0,
        clean_weight: float = 0.0,
        max_skipped: int = 10,
    ) -> None:
        self.model, self.guide, self.pool = model, guide, pool
        self.particles, self.kl_weight = particles, kl_weight
        self.clean_weight, self.max_skipped = clean_weight, max_skipped
        self.needs_clean = pool != "noisy" or clean_weight > 0

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> SingleLevelSVI:
        """See :class:`Method`."""
        model, guide = _pair(self.model, self.guide, classifier)
        return SingleLevelSVI(
            classifier,
            model,
            guide,
            optimizer([*classifier.parameters(), *model.parameters(), *guide.parameters()]),
            elbo=RectificationELBO(self.particles, kl_weight=self.kl_weight),
            clean_weight=self.clean_weight,
            max_skipped=self.max_skipped,
        )


def _pair(
    model: Callable[[int, int], Model], guide: Callable[[int, int], Guide], classifier: Classifier
) -> tuple[Model, Guide]:
    if not (hasattr(classifier, "feature_dim") and hasattr(classifier, "num_classes")):
        raise UserError(f"{type(classifier).__name__} sets no feature_dim and num_classes; set both in its __init__")
    shape = classifier.feature_dim, classifier.num_classes
    like = next(classifier.parameters())
    pair = model(*shape).to(like.device), guide(*shape).to(like.device)
    if hasattr(pair[0], "bind"):  # any Pyro callable may stand in for a Model
        pair[0].bind(pair[1])
    _check_pair(*pair, ClassifierOutput(like.new_zeros(2, shape[1]), like.new_zeros(2, shape[0])))
    return pair


@torch.no_grad()
def _check_pair(model: Model, guide: Guide, output: ClassifierOutput) -> None:
    """Refuse a guide that does not fit the model, or a pair with global parameters, before any stage and not after it.

    What else a pair may say to an output of nothing but zeros is left for its first step. Random states stay.
    """
    device, modes = output.logits.device, [(m, m.training) for part in (model, guide) for m in part.modules()]
    y = torch.zeros(len(output.logits), dtype=torch.int64, device=device)
    parameters = GlobalParameters()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            RectificationELBO(1).terms(model.eval(), guide.eval(), output, y)
        except UserError as error:
            raise UserError(str(error).partition("\n")[0]) from error  # below it Pyro lists all shapes
        except Exception:
            parameters.take_back()  # for the first step to find
            return
        finally:
            for module, training in modes:
                module.training = training
    parameters.refuse_new()
