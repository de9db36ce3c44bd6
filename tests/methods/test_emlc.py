"""EMLC: the teacher retains labels or predicts them, and learns from the classifier's step and from clean labels."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from infer.toys import CLASSES, IMAGE, Convolutional, Dense, batch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F
from torch.optim import SGD, Adam

from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.methods import EMLC
from vri_pyro.methods.emlc import EMLCSVI, Teacher, most_probable_wrong
from vri_pyro.utils.errors import UserError


def _emlc(classifier: Classifier, rate: float = 0.1, **options: Any) -> EMLCSVI:
    options = {"outer_optimizer": partial(SGD, lr=0.5), "label_dim": 2, "hidden": (4,), "clean_weight": 0.0} | options
    algorithm = EMLC(**options).build(classifier, partial(SGD, lr=rate, momentum=0.9))
    with torch.no_grad():  # the copy has the classifier's weights
        for p in algorithm.teacher.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return algorithm


def _logits(network: Classifier, parameters: dict[str, Tensor], x: Tensor) -> ClassifierOutput:
    return functional_call(network, parameters, (x,))


def test_teacher_minimises_clean_loss_after_the_step_plus_its_own_losses_on_clean_labels() -> None:
    classifier, noisy, clean = Dense(), batch(7), batch(6)
    algorithm = _emlc(classifier, supervised_weight=0.7, retention_weight=0.4)
    before, reference = copy.deepcopy(classifier), copy.deepcopy(algorithm.teacher)
    metrics = algorithm.step(noisy, clean)

    soft = reference.soft_label(reference.network(noisy.x), noisy.y)
    w = dict(before.named_parameters())
    inner = F.cross_entropy(_logits(before, w, noisy.x).logits, soft)
    gradients = torch.autograd.grad(inner, list(w.values()), create_graph=True)
    moved = {name: p - 0.1 * g for (name, p), g in zip(w.items(), gradients, strict=True)}
    meta = F.cross_entropy(_logits(before, moved, clean.x).logits, clean.y)
    seen = reference.network(clean.x)
    shown, right = clean.y.clone(), torch.zeros(6)
    shown[::2], right[1::2] = most_probable_wrong(seen.logits, clean.y)[::2], 1.0
    retained = reference.retained(seen, shown).sigmoid()
    outer = meta + 0.7 * F.cross_entropy(seen.logits, clean.y) + 0.4 * F.binary_cross_entropy(retained, right)
    torch.testing.assert_close(metrics["meta_loss"], meta.detach())
    parameters = list(reference.parameters())
    for now, then, g in zip(
        algorithm.teacher.parameters(), parameters, torch.autograd.grad(outer, parameters), strict=True
    ):
        torch.testing.assert_close(now.detach(), then.detach() - 0.5 * g)
    for now, expected in zip(classifier.parameters(), moved.values(), strict=True):
        torch.testing.assert_close(now.detach(), expected.detach())


def test_soft_label_is_the_given_label_if_it_is_retained_and_the_prediction_otherwise() -> None:
    teacher, noisy = Teacher(Dense(), label_dim=2, hidden=(4,)), batch(7)
    seen = teacher.network(noisy.x)
    last = teacher.retention[-1]
    for bias, expected in ((50.0, F.one_hot(noisy.y, CLASSES).double()), (-50.0, seen.logits.softmax(-1))):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, bias)
        torch.testing.assert_close(teacher.soft_label(seen, noisy.y), expected)
        torch.testing.assert_close(teacher(seen._replace(inputs=noisy.x), noisy.y), expected)


def test_teacher_learns_to_reject_adversarial_labels_and_retain_right_ones() -> None:
    clean = batch(30)
    clean = clean._replace(x=clean.x + 5 * F.one_hot(clean.y, 5))
    algorithm = _emlc(Dense(), supervised_weight=0.0)
    parameters = list(algorithm.teacher.parameters())
    optimizer = Adam(parameters, lr=0.05)
    for _ in range(200):
        order = torch.randperm(30)  # every other label is replaced
        loss = algorithm._direct(None, clean._replace(x=clean.x[order], y=clean.y[order]))  # type: ignore[arg-type]
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = algorithm.teacher.network(clean.x)
    right = algorithm.teacher.retained(seen, clean.y).sigmoid()
    wrong = algorithm.teacher.retained(seen, most_probable_wrong(seen.logits, clean.y)).sigmoid()
    assert right.mean() > 0.8 > 0.2 > wrong.mean()


def test_most_probable_wrong_class_is_never_the_label() -> None:
    logits, y = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.0, 5.0, 1.0]]), torch.tensor([0, 1, 0])
    assert most_probable_wrong(logits, y).tolist() == [1, 2, 1]


def test_network_of_the_teacher_starts_as_a_copy_and_shares_nothing() -> None:
    classifier = Dense()
    teacher = EMLC(partial(SGD, lr=0.1)).build(classifier, partial(SGD, lr=0.1)).teacher
    torch.testing.assert_close(teacher.network.state_dict(), classifier.state_dict(), rtol=0, atol=0)
    assert not {id(p) for p in teacher.parameters()} & {id(p) for p in classifier.parameters()}


def test_images_are_trained_on() -> None:
    noisy, clean = batch(7, IMAGE), batch(6, IMAGE)
    metrics = _emlc(Convolutional()).step(noisy, clean)
    assert metrics["loss"].isfinite()
    assert metrics["hypergradient_norm"] > 0


def test_state_restores_teacher_and_classifier() -> None:
    noisy, clean = batch(7), batch(6)
    algorithm, other = _emlc(Dense()), _emlc(Dense())
    algorithm.step(noisy, clean)
    other.load_state_dict(copy.deepcopy(algorithm.state_dict()))
    torch.testing.assert_close(other.step(noisy, clean), algorithm.step(noisy, clean), rtol=0, atol=0)


def test_output_without_inputs_and_invalid_weights_raise() -> None:
    teacher, noisy = Teacher(Dense()), batch(7)
    with pytest.raises(UserError, match="the output has no inputs, but the teacher of EMLC has a network of its own"):
        teacher(teacher.network(noisy.x), noisy.y)
    with pytest.raises(UserError, match="retention_weight is -1"):
        _emlc(Dense(), retention_weight=-1.0)
    with pytest.raises(UserError, match="label_dim is 0"):
        _emlc(Dense(), label_dim=0)
