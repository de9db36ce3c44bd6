"""The training-averaged margin: how a classifier ranks labels while it is trained on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from vri_pyro import Classifier
from vri_pyro.label_issues import margin

EPOCHS, BATCH_SIZE = 20, 64


def averaged_margins(
    backbone: Callable[[tuple[int, ...], int], Classifier],
    x: np.ndarray,
    trained_on: np.ndarray,
    judged: np.ndarray,
    num_classes: int,
    seed: int,
) -> np.ndarray:
    """Train a classifier with cross entropy, and average the margin of each label over the epochs, [N].

    The margin is the largest logit of another class minus the logit of the label, so a greater one is more suspicious.
    It is that of the batch in which the example is trained on. SGD has the learning rate 0.1, the Nesterov momentum
    0.9, a weight decay of 1e-4 and batches of 64, as in the paper until its first decrease of the learning rate. There
    are 20 epochs; the paper has 150.

    Args:
        backbone: function of (input_shape, num_classes) that returns a classifier.
        x: standardised inputs, [N, D] or [N, C, H, W].
        trained_on: labels that the classifier is trained on, int64 [N].
        judged: labels whose margins are averaged, int64 [N].
        num_classes: number of classes K.
        seed: seed of weights and batches.

    Reference: Pleiss et al., Identifying mislabeled data using the area under the margin ranking, NeurIPS 2020.
    """
    inputs = torch.from_numpy(x.astype(np.float32))
    targets, labels = torch.from_numpy(trained_on), torch.from_numpy(judged)
    total = torch.zeros(len(x))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = backbone(x.shape[1:], num_classes)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH_SIZE):
                logits = network(inputs[rows]).logits
                optimizer.zero_grad()
                cross_entropy(logits, targets[rows]).backward()
                optimizer.step()
                total[rows] += 2 * margin(logits.detach(), labels[rows]) - 1  # it is normalised for probabilities
    return (total / EPOCHS).double().numpy()
