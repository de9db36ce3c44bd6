"""Re-weight a corrupted regression set: the hypergradient without labels, classifiers or Pyro.

40% of the training targets are mirrored at the mean. A few examples are known to be clean. A weight network φ maps the
loss, the target and the inputs of an example to its weight. Every step of the regression network w is

    φ ← φ − Adam(∂G(ŵ(φ))/∂φ),  ŵ(φ) = S(∇_w Σ_i a_i(φ) ℓ_i(w)),  then  w ← ŵ(φ) with the new φ,

where ℓ_i is the squared error of example i, a_i(φ) its weight divided by the sum of all weights, G the squared error of
the clean examples, and S the next step of Adam.

    python experiments/reweight_regression.py [--quick]
"""

import sys

import torch
from sklearn.datasets import make_friedman1
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Adam

from vri_pyro.infer import Inner, OptimizerStep, Problem, ReplayedCall, SplitJVP, loss_and_gradient

NOISY, CLEAN, TEST, STEPS = 600, 40, 1000, 600


def network(inputs: int) -> nn.Module:
    """Return a network with one hidden layer and one output."""
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 1), nn.Flatten(0))


def fit(x: Tensor, y: Tensor, steps: int) -> nn.Module:
    """Train with equal weights."""
    model = network(x.shape[1])
    optimizer = Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        mse_loss(model(x), y).backward()
        optimizer.step()
    return model


def fit_reweighted(x: Tensor, y: Tensor, clean_x: Tensor, clean_y: Tensor, steps: int) -> tuple[nn.Module, Tensor]:
    """Train with learned weights; return the network and the last weights, [examples]."""
    model, weigher = network(x.shape[1]), network(x.shape[1] + 2)
    optimizer, outer = Adam(model.parameters(), lr=0.01, weight_decay=1e-3), Adam(weigher.parameters(), lr=1e-3)
    parameters, hyperparameters = list(model.parameters()), list(weigher.parameters())

    def weights(losses: Tensor) -> Tensor:
        weight = weigher(torch.cat([losses.detach().sqrt()[:, None], y[:, None], x], 1)).sigmoid()
        return weight / weight.sum()

    for _ in range(steps):
        problem = Problem(
            parameters,
            hyperparameters,
            forward=ReplayedCall(model, lambda: mse_loss(model(x), y, reduction="none")),
            inner=lambda losses: Inner((weights(losses) * losses).sum()),
            virtual_step=OptimizerStep(optimizer, parameters),
            meta_gradient=lambda moved: loss_and_gradient(model, moved, lambda: mse_loss(model(clean_x), clean_y)),
            keep_graph=True,
        )
        result = SplitJVP()(problem)
        for p, gradient in zip(hyperparameters, result.gradients, strict=True):
            p.grad = gradient
        outer.step()
        optimizer.zero_grad()
        problem.inner(result.output).loss.backward()  # the real step has the new weights
        optimizer.step()
    return model, weights(result.output).detach()


def compare(seed: int, steps: int = STEPS) -> dict[str, float]:
    """Return the test errors, in units of the targets' variance, and the AUROC of the weights."""
    torch.manual_seed(seed)
    x, y = (torch.tensor(t, dtype=torch.float32) for t in make_friedman1(NOISY + CLEAN + TEST, random_state=seed))
    y = (y - y.mean()) / y.std()
    right = torch.rand(len(y)) > 0.4
    right[NOISY:] = True
    given = torch.where(right, y, -y)
    noisy, clean, train, test = slice(NOISY), slice(NOISY, -TEST), slice(-TEST), slice(-TEST, None)
    reweighted, weights = fit_reweighted(x[noisy], given[noisy], x[clean], y[clean], steps)
    models = {
        "unweighted": fit(x[train], given[train], steps),
        "clean only": fit(x[clean], y[clean], steps),
        "re-weighted": reweighted,
        "right only (oracle)": fit(x[train][right[train]], y[train][right[train]], steps),
    }
    errors = {name: mse_loss(model(x[test]), y[test]).item() for name, model in models.items()}
    return errors | {"AUROC of the weights": float(roc_auc_score(right[noisy], weights))}


if __name__ == "__main__":
    steps = 20 if sys.argv[1:] == ["--quick"] else STEPS
    rows = [compare(seed, steps) for seed in range(3)]
    for name in rows[0]:
        values = torch.tensor([row[name] for row in rows])
        print(f"{name:<22}{values.mean():.3f} ± {values.std():.3f}")
