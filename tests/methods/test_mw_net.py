"""MW-Net: training follows the authors' loop written by hand, with either normalisation of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from infer.toys import Dense, batch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.data.batch import Batch
from vri_pyro.models import WeightedCrossEntropy
from vri_pyro.runs.parsing import configuration_parser
from vri_pyro.utils.configurations import configuration_files
from vri_pyro.utils.errors import UserError

CLASSES, RATE, STEPS = 10, 0.3, 4

Divisor = Callable[[Tensor], Tensor | int]
OF_THE_BATCH: dict[str, Divisor] = {"mw_net": torch.sum, "mw_net_unnormalised": len}


def _losses(classifier: nn.Module, examples: Batch) -> Tensor:
    return F.cross_entropy(classifier(examples.x).logits, examples.y, reduction="none")


def _moved(classifier: Dense, gradients: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {name: p - RATE * g for (name, p), g in zip(classifier.named_parameters(), gradients, strict=True)}


def _step_by_hand(
    classifier: Dense, weights: nn.Module, adam: torch.optim.Adam, noisy: Batch, clean: Batch, divisor: Divisor
) -> None:
    """One iteration of the algorithm: virtual step, step of the weighting network, step of the classifier."""

    def weighted() -> Tensor:
        losses = _losses(classifier, noisy)
        weight = weights(losses.detach().clamp(max=10).unsqueeze(-1)).sigmoid().squeeze(-1)
        return (weight * losses).sum() / divisor(weight)

    gradients = torch.autograd.grad(weighted(), list(classifier.parameters()), create_graph=True)
    logits = torch.func.functional_call(classifier, _moved(classifier, gradients), (clean.x,)).logits
    adam.zero_grad()
    (F.cross_entropy(logits, clean.y) / RATE).backward()
    adam.step()
    gradients = torch.autograd.grad(weighted(), list(classifier.parameters()))
    with torch.no_grad():
        for p, g in zip(classifier.parameters(), gradients, strict=True):
            p.sub_(RATE * g)


@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")  # the mean gate has no effect
@pytest.mark.parametrize("name", OF_THE_BATCH)
def test_training_equals_the_algorithm_written_by_hand(name: str) -> None:
    parser = configuration_parser()
    method = parser.instantiate(parser.parse_args(["--config", str(configuration_files()[name])])).method
    classifier = Dense(classes=CLASSES)
    algorithm = method.build(classifier, partial(torch.optim.SGD, lr=RATE))
    reference, weights = copy.deepcopy(classifier), copy.deepcopy(algorithm.guide.gate.network)
    adam = torch.optim.Adam(weights.parameters(), lr=1e-3, weight_decay=1e-4)
    start = [p.detach().clone() for p in weights.parameters()]

    for _ in range(STEPS):
        noisy, clean = batch(12), batch(9)
        algorithm.step(noisy, clean)
        _step_by_hand(reference, weights, adam, noisy, clean, OF_THE_BATCH[name])

    for module, expected in ((classifier, reference), (algorithm.guide.gate.network, weights)):
        torch.testing.assert_close(dict(module.named_parameters()), dict(expected.named_parameters()))
    assert all(not torch.equal(p, s) for p, s in zip(weights.parameters(), start, strict=True))


def test_unknown_normalisation_raises() -> None:
    with pytest.raises(UserError, match="normalise is 'sum'; expected one of batch_sum, batch_size"):
        WeightedCrossEntropy(6, CLASSES, normalise="sum")  # type: ignore[arg-type]
