"""Bi-level problems on which every hypergradient strategy is compared with the unrolled one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer

import vri_pyro.models
from vri_pyro.data.batch import Batch
from vri_pyro.guides import (
    DiagonalNormal,
    DiracVector,
    Features,
    Gated,
    Hierarchical,
    LabelCorrection,
    LabelEmbedding,
    LabelOneHot,
    Logits,
    Loss,
    LowRankNormal,
    NormalisingFlow,
    ScalarWeight,
)
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.hypergradient import Hypergradient
from vri_pyro.interfaces.base import Guide, Model, Prior
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.models import (
    CorrectedCrossEntropy,
    LearnedNormal,
    MaskedGuide,
    MixtureOfNormals,
    Rectification,
    StandardNormal,
    VampPrior,
    WeightedCrossEntropy,
)

from .toys import (
    CLASSES,
    IMAGE,
    INPUTS,
    Convolutional,
    Dense,
    GatedGuide,
    GatedRectification,
    Linear,
    ScaledBySum,
    SummedBiases,
    TemperedGuide,
    TiedWeights,
    TokenTransformer,
    VisionTransformer,
    batch,
    diagonal_normal,
    rectification,
    tempered_rectification,
    with_frozen_trunk,
)

ATTACHED = {"detach_features": False}
plain_sgd = partial(SGD, lr=0.1)


@dataclass(frozen=True)
class Case:
    """How to build one bi-level problem; two builds from the same seed give the same problem.

    Attributes:
        classifier, model, guide, inner_optimizer: their constructors.
        training: whether the classifier is in training mode.
        real_steps: number of ordinary steps of the inner optimiser before the bi-level step; they fill its state.
        shape: shape of one input.
        particles: k.
        options: further arguments of :class:`BilevelSVI`.
    """

    classifier: Callable[[], Classifier] = Dense
    model: Callable[[int], Model] = rectification
    guide: Callable[[int], Guide] = diagonal_normal
    inner_optimizer: Callable[..., Optimizer] = plain_sgd
    training: bool = True
    real_steps: int = 0
    shape: tuple[int, ...] = (INPUTS,)
    particles: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, strategy: Hypergradient) -> tuple[BilevelSVI, Batch, Batch]:
        """Return the algorithm with ``strategy``, a noisy batch and a clean batch."""
        noisy, clean = batch(7, self.shape), batch(5, self.shape)
        classifier = self.classifier()
        model, guide = self.model(classifier.feature_dim), self.guide(classifier.feature_dim)
        if isinstance(model, Model):
            model.bind(guide)
        inner_optimizer = self.inner_optimizer(classifier.parameters())
        classifier(noisy.x)  # so that the buffers differ from their initial values
        for _ in range(self.real_steps):
            inner_optimizer.zero_grad()
            F.cross_entropy(classifier(noisy.x).logits, noisy.y).backward()
            inner_optimizer.step()
        outer_optimizer = Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
        algorithm = BilevelSVI(
            classifier.train(self.training),
            model,
            guide,
            inner_optimizer,
            outer_optimizer,
            elbo=RectificationELBO(num_particles=self.particles),
            hypergradient=strategy,
            **{"outer_kl_weight": 0.1, **self.options},
        )
        return algorithm, noisy, clean


CLASSIFIERS: dict[str, dict[str, Any]] = {
    "no normalisation": {},
    "BatchNorm": {"classifier": partial(Dense, nn.BatchNorm1d)},
    "BatchNorm in evaluation mode": {"classifier": partial(Dense, nn.BatchNorm1d), "training": False},
    "LayerNorm": {"classifier": partial(Dense, nn.LayerNorm)},
    "GroupNorm": {"classifier": partial(Dense, partial(nn.GroupNorm, 2))},
    "dropout": {"classifier": partial(Dense, dropout=0.5)},
    "convolutions, BatchNorm": {"classifier": Convolutional, "shape": IMAGE},
    "convolutions, BatchNorm in evaluation mode": {"classifier": Convolutional, "shape": IMAGE, "training": False},
    "convolutions, GroupNorm": {"classifier": partial(Convolutional, partial(nn.GroupNorm, 2)), "shape": IMAGE},
    "vision transformer": {"classifier": VisionTransformer, "shape": IMAGE},
    "vision transformer with dropout": {"classifier": partial(VisionTransformer, dropout=0.3), "shape": IMAGE},
    "transformer over tokens": {"classifier": TokenTransformer},
    "tied weights": {"classifier": TiedWeights},
    "parameters that share a gradient": {"classifier": SummedBiases},
    "parameter seen through its sum": {"classifier": ScaledBySum},
}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "SGD with weight decay": partial(SGD, lr=0.1, weight_decay=0.05),
    "SGD with momentum and weight decay": partial(SGD, lr=0.1, momentum=0.9, weight_decay=0.05),
    "SGD with Nesterov momentum": partial(SGD, lr=0.1, momentum=0.9, nesterov=True),
    "SGD with dampening": partial(SGD, lr=0.1, momentum=0.9, dampening=0.3),
    "Adam": partial(Adam, lr=0.02, weight_decay=0.05),
    "AdamW": partial(AdamW, lr=0.02, weight_decay=0.05),
}
GATED = {"model": GatedRectification, "guide": GatedGuide}
PRIORS: dict[str, Callable[[int, int], Prior]] = {
    "standard normal": StandardNormal,
    "learned normal": LearnedNormal,
    "mixture of normals": MixtureOfNormals,
    "VampPrior": VampPrior,
    "masked guide": MaskedGuide,
}
SMALL = {"hidden": (4,), "inputs": [Features, partial(LabelEmbedding, dim=2)]}
GUIDES: dict[str, Callable[[int, int], Guide]] = {
    "low-rank normal": partial(LowRankNormal, **SMALL),
    "normalising flow": partial(NormalisingFlow, transform_hidden=8, **SMALL),
    "Dirac vector": partial(DiracVector, **SMALL),
    "guide that sees logits and loss": partial(
        DiagonalNormal, hidden=(4,), inputs=[Features, Logits, Loss, LabelOneHot]
    ),
}
PAIRS: dict[str, tuple[Callable[[int, int], Model], Callable[[int, int], Guide]]] = {
    "library's gate": (vri_pyro.models.GatedRectification, partial(Gated, vector=partial(DiagonalNormal, **SMALL))),
    "hierarchical": (
        vri_pyro.models.HierarchicalRectification,
        partial(Hierarchical, vector=partial(DiagonalNormal, **SMALL)),
    ),
    "scalar weight": (WeightedCrossEntropy, partial(ScalarWeight, hidden=(4,))),
    "uncertain scalar weight": (WeightedCrossEntropy, partial(ScalarWeight, hidden=(4,), dirac=False)),
    "label correction": (CorrectedCrossEntropy, partial(LabelCorrection, **SMALL)),
}
TEMPERED = {"model": tempered_rectification, "guide": TemperedGuide}


def _cases() -> dict[str, Case]:
    cases = {}
    for name, parts in CLASSIFIERS.items():
        cases[f"{name}, detached"] = Case(**parts)
        cases[f"{name}, attached"] = Case(**parts, options=ATTACHED | {"inner_kl_weight": 0.1})
    for particles in (2, 5):
        cases[f"{particles} particles, detached"] = Case(particles=particles)
        cases[f"{particles} particles, attached"] = Case(particles=particles, options=ATTACHED)
    for inner, outer in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.3, 0.3)):
        weights = {"inner_kl_weight": inner, "outer_kl_weight": outer}
        cases[f"KL weights {inner} and {outer}, detached"] = Case(options=weights)
        cases[f"KL weights {inner} and {outer}, attached"] = Case(options=ATTACHED | weights)
    for name, optimizer in OPTIMIZERS.items():
        cases[f"{name} after 3 steps"] = Case(inner_optimizer=optimizer, real_steps=3)
    cases["forward not shared, detached"] = Case(options={"share_forward": False})
    cases["forward not shared, attached"] = Case(
        partial(Dense, nn.BatchNorm1d, 0.5), options=ATTACHED | {"share_forward": False, "inner_kl_weight": 0.1}
    )
    cases["gate, detached"] = Case(**GATED, particles=2)
    cases["gate, attached"] = Case(**GATED, options=ATTACHED | {"inner_kl_weight": 0.1})
    cases["global latent, detached"] = Case(**TEMPERED, particles=2)
    cases["global latent, attached"] = Case(**TEMPERED, options=ATTACHED | {"inner_kl_weight": 0.1})
    for name, prior in PRIORS.items():
        model = partial(Rectification, num_classes=CLASSES, prior=prior)
        cases[f"{name}, detached"] = Case(model=model, particles=2)
        cases[f"{name}, attached"] = Case(model=model, options=ATTACHED | {"inner_kl_weight": 0.1})
    for name, guide in GUIDES.items():
        own = partial(guide, num_classes=CLASSES)
        cases[f"{name}, detached"] = Case(guide=own, particles=2)
        cases[f"{name}, attached"] = Case(guide=own, options=ATTACHED | {"inner_kl_weight": 0.1})
    for name, (model, guide) in PAIRS.items():
        pair = {"model": partial(model, num_classes=CLASSES), "guide": partial(guide, num_classes=CLASSES)}
        cases[f"{name}, detached"] = Case(**pair, particles=2)
        cases[f"{name}, attached"] = Case(**pair, options=ATTACHED | {"inner_kl_weight": 0.1})
    cases["frozen trunk, detached"] = Case(with_frozen_trunk)
    cases["frozen trunk, attached"] = Case(with_frozen_trunk, options=ATTACHED)
    cases["features are inputs, attached"] = Case(Linear, options=ATTACHED)
    return cases


CASES = _cases()


def seeded(case: Case, strategy: Hypergradient, seed: int = 0) -> tuple[BilevelSVI, Batch, Batch]:
    """Build ``case`` from a seed, then seed again, so that any two builds draw the same noise in their next step."""
    torch.manual_seed(seed)
    built = case.build(strategy)
    torch.manual_seed(seed + 1)
    return built
