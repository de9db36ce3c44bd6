"""The default model and guide in a training loop of your own, with a plain DataLoader."""

import sys
from functools import partial
from itertools import cycle

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from vri_pyro import Batch, BilevelSVI, TrainingContext
from vri_pyro.backbones import MLP
from vri_pyro.guides import DiagonalNormal, Hierarchical
from vri_pyro.models import HierarchicalRectification, PriorNetwork

CLASSES, EPOCHS = 10, int(sys.argv[1]) if sys.argv[1:] else 60


def main() -> None:
    """Train on digits, 40% of whose labels are wrong, with three clean labels per class; print the test accuracy."""
    torch.manual_seed(0)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x, truth = torch.tensor(digits.data / 16, dtype=torch.float32)[order], torch.tensor(digits.target)[order]
    test_x, test_y, x, truth = x[:500], truth[:500], x[500:], truth[500:]
    trusted = torch.cat([(truth == label).nonzero()[:3, 0] for label in range(CLASSES)])
    clean_x, clean_y = x[trusted], truth[trusted]
    y = torch.where(torch.rand(len(truth)) < 0.4, (truth + 1) % CLASSES, truth)
    # The third tensor holds positions, by which the model stores the predictions of each example.
    loader = DataLoader(TensorDataset(x, y, torch.arange(len(y))), batch_size=100, shuffle=True, drop_last=True)
    clean_loader = DataLoader(TensorDataset(clean_x, clean_y), batch_size=len(clean_y), shuffle=True)

    classifier = MLP((64,), CLASSES, hidden=(128,))
    prior, vector = partial(PriorNetwork, hidden=(128, 64)), partial(DiagonalNormal, hidden=(128, 64))
    model = HierarchicalRectification(classifier.feature_dim, CLASSES, prior)
    guide = Hierarchical(classifier.feature_dim, CLASSES, vector, start="predictions")
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1, weight_decay=5e-4)
    outer = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=1e-3)
    svi = BilevelSVI(classifier, model, guide, optimizer, outer, restart=True)

    # 1. Cross entropy on the noisy labels: the model estimates its transition matrix from this classifier.
    for _ in range(EPOCHS // 3):
        for batch_x, batch_y, _ in loader:
            optimizer.zero_grad()
            cross_entropy(classifier(batch_x).logits, batch_y).backward()
            optimizer.step()
    print(f"cross entropy: {100 * (classifier(test_x).logits.argmax(-1) == test_y).double().mean():.1f}%")

    # 2. Bi-level steps, from the initial parameters again.
    svi.begin_training(TrainingContext.from_tensors(classifier, y, clean_x, clean_y, noisy_x=x))
    for _ in range(EPOCHS):
        for noisy, clean in zip(loader, cycle(clean_loader), strict=False):
            svi.step(Batch(*noisy), Batch(*clean))
    print(f"VRI: {100 * (classifier(test_x).logits.argmax(-1) == test_y).double().mean():.1f}%")


if __name__ == "__main__":
    main()
