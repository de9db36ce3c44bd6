"""MLC: training follows the authors' loop written by hand, in which half of each clean batch trains the classifier."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from infer.toys import Dense, batch
from torch import Tensor, nn
from torch.nn import functional as F

from vri_pyro.data.batch import Batch
from vri_pyro.guides import LabelCorrection
from vri_pyro.infer import HalfCleanBilevelSVI, Hypergradient, Unrolled
from vri_pyro.methods.bilevel import HalfCleanBilevel
from vri_pyro.models import CorrectedCrossEntropy
from vri_pyro.runs.parsing import configuration_parser
from vri_pyro.utils.configurations import configuration_files
from vri_pyro.utils.errors import UserError

CLASSES, STEPS = 10, 4
SGD = partial(torch.optim.SGD, lr=0.2, momentum=0.9, weight_decay=1e-2)


def _loss(classifier: nn.Module, correction: LabelCorrection, noisy: Batch, clean: Batch) -> Tensor:
    """Mean over the noisy batch, with soft labels, and a part of the clean batch."""
    logits, features, *_ = classifier(noisy.x)
    words = correction.inputs.parts[1].embedding(noisy.y)
    soft = correction.network(torch.cat([features.detach(), words], 1))
    by_noisy = -(soft * logits.log_softmax(1)).sum(1).mean()
    by_clean = F.cross_entropy(classifier(clean.x).logits, clean.y)
    n, m = len(noisy.y), len(clean.y)
    return (n * by_noisy + m * by_clean) / (n + m)


def _step_by_hand(
    classifier: Dense,
    sgd: torch.optim.SGD,
    correction: LabelCorrection,
    adam: torch.optim.Adam,
    noisy: Batch,
    clean: Batch,
) -> None:
    """One iteration of the authors' loop, with the meta-gradient by double backward."""
    half, group = len(clean.y) // 2, sgd.param_groups[0]
    meta, training = (Batch(clean.x[rows], clean.y[rows]) for rows in (slice(half), slice(half, None)))
    named = dict(classifier.named_parameters())
    gradients = torch.autograd.grad(
        _loss(classifier, correction, noisy, training), list(named.values()), create_graph=True
    )
    moved = {}
    for (name, p), g in zip(named.items(), gradients, strict=True):
        moving = g + group["weight_decay"] * p.detach()
        if p in sgd.state:
            moving = group["momentum"] * sgd.state[p]["momentum_buffer"].clone() + moving
        moved[name] = p.detach() - group["lr"] * moving
    adam.zero_grad()
    after = torch.func.functional_call(classifier, moved, (meta.x,)).logits
    (F.cross_entropy(after, meta.y) / group["lr"]).backward(inputs=list(correction.parameters()))
    adam.step()
    for p, g in zip(named.values(), gradients, strict=True):
        p.grad = g.detach()
    sgd.step()


@pytest.mark.parametrize(("size", "hypergradient"), [(8, None), (9, Unrolled())])
def test_training_equals_the_algorithm_written_by_hand(size: int, hypergradient: Hypergradient | None) -> None:
    parser = configuration_parser()
    method = parser.instantiate(parser.parse_args(["--config", str(configuration_files()["mlc_released"])])).method
    method.options["hypergradient"] = hypergradient
    classifier = Dense(classes=CLASSES)
    algorithm = method.build(classifier, SGD)
    reference, correction = copy.deepcopy(classifier), copy.deepcopy(algorithm.guide)
    sgd, adam = SGD(reference.parameters()), torch.optim.Adam(correction.parameters(), lr=1e-3, amsgrad=True)
    start = [p.detach().clone() for p in correction.parameters()]

    for _ in range(STEPS):
        noisy, clean = batch(12), batch(size)
        with torch.no_grad():
            expected = _loss(reference, correction, noisy, Batch(clean.x[size // 2 :], clean.y[size // 2 :]))
        metrics = algorithm.step(noisy, clean)
        torch.testing.assert_close(metrics["loss"], expected)
        _step_by_hand(reference, sgd, correction, adam, noisy, clean)

    for module, other in ((classifier, reference), (algorithm.guide, correction)):
        torch.testing.assert_close(dict(module.named_parameters()), dict(other.named_parameters()))
    assert all(not torch.equal(p, s) for p, s in zip(correction.parameters(), start, strict=True))


def _method(**options: object) -> HalfCleanBilevel:
    adam = partial(torch.optim.Adam, lr=1e-3)
    return HalfCleanBilevel(CorrectedCrossEntropy, LabelCorrection, adam, outer_kl_weight=0.0, **options)


def test_clean_batch_of_one_example_raises() -> None:
    with pytest.raises(UserError, match="the clean batch has a single example, which cannot be halved"):
        _method().build(Dense(), SGD).step(batch(7), batch(1))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"late": False}, "late is False.*set late=True"),
        ({"clean_weight": 0.2}, r"clean_weight is 0\.2.*set clean_weight=0"),
        ({"outer_every": 2}, "outer_every is 2.*set outer_every=1"),
    ],
)
def test_options_that_contradict_the_halved_batch_raise(options: dict[str, float], complaint: str) -> None:
    algorithm = _method().build(Dense(), SGD)
    parts = algorithm.classifier, algorithm.model, algorithm.guide, algorithm.inner_optimizer, algorithm.outer_optimizer
    with pytest.raises(UserError, match=complaint):
        HalfCleanBilevelSVI(*parts, **options)
