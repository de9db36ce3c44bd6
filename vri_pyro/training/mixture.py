"""Mixture of the predictions of several classifiers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput


class Mixture(Classifier):
    """Classifier whose class probabilities are a weighted mean of those of several classifiers.

    Its logits are log Σ_m w_m softmax(s_m F_m(x)), and its features those of all members, concatenated.

    Args:
        members: the classifiers F_m, at least one, of the same classes.
        weights: w_m, one per member, above 0; they sum to one.
        scales: s_m, one per member: numbers that its logits are multiplied by.

    Reference: Yao et al., Using stacking to average Bayesian predictive distributions, Bayesian Analysis 2018.
    """

    def __init__(self, members: Sequence[Classifier], weights: Sequence[float], scales: Sequence[float]) -> None:
        super().__init__()
        self.members, self.weights, self.scales = nn.ModuleList(members), tuple(weights), tuple(scales)
        self.feature_dim = sum(member.feature_dim for member in members)
        self.num_classes = members[0].num_classes
        self.takes_pixels = members[0].takes_pixels

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify ``x`` [batch, ...]: logits [batch, K] and features of all members [batch, Σ D_m]."""
        outputs = [member(x) for member in self.members]
        weighted = [
            (scale * output.logits).log_softmax(-1) + math.log(weight)
            for output, weight, scale in zip(outputs, self.weights, self.scales, strict=True)
        ]
        features = torch.cat([output.features for output in outputs], dim=-1)
        return ClassifierOutput(torch.stack(weighted).logsumexp(0), features)
