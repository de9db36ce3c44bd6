"""PES: later layers are trained anew for fewer epochs, and then only labels that the network predicts are used."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from infer.toys import CLASSES, IMAGE, INPUTS, Convolutional, Dense, batch
from torch.nn import functional as F
from torch.optim import SGD

from vri_pyro.infer.schedules import Constant
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.methods import PES
from vri_pyro.methods.base import Stage
from vri_pyro.methods.pes import ConfidentDescent, LaterLayersDescent, later_layers
from vri_pyro.utils.errors import UserError

EMPTY = torch.zeros(0, dtype=torch.int64)


def _context(classifier: Classifier, y: torch.Tensor, x: torch.Tensor, clean: torch.Tensor = EMPTY) -> TrainingContext:
    return TrainingContext(classifier, lambda at: [x[at]], y, torch.arange(len(y)), clean)


def _built(classifier: Classifier, stage: str, **options: Any) -> Any:
    method = PES(**{"clean_weight": 0.0} | options)
    stages = method.stages("training", Stage(method, partial(SGD, lr=0.1)))
    return stages[stage].method.build(classifier, partial(SGD, lr=0.1))


def test_stages_have_the_epochs_and_optimisers_of_the_paper() -> None:
    method = PES()
    stages = method.stages("training", Stage(method, partial(SGD, lr=0.1)))
    assert {name: stage.epochs for name, stage in stages.items()} == {
        "whole network": 25,
        "last layers": 7,
        "last layer": 5,
        "training": None,
    }
    for name in ("last layers", "last layer"):
        optimizer = stages[name].optimizer(Dense().parameters())
        assert type(optimizer).__name__ == "Adam"
        assert optimizer.param_groups[0]["lr"] == 1e-4
        assert isinstance(stages[name].schedule, Constant)


@pytest.mark.parametrize(
    ("share", "expected"), [(None, ["top"]), (0.3, ["trunk.4", "top"]), (0.99, ["trunk.0", "trunk.4", "top"])]
)
def test_later_layers_are_the_last_ones_with_parameters(share: float | None, expected: list[str]) -> None:
    assert later_layers(Dense(), share) == expected


def test_network_without_trainable_parameters_raises() -> None:
    with pytest.raises(UserError, match="Dense has no trainable parameters"):
        later_layers(Dense().requires_grad_(False), None)


@pytest.mark.parametrize(("stage", "later"), [("last layers", ("trunk.4", "top")), ("last layer", ("top",))])
def test_stage_resets_and_trains_its_layers_and_no_others(stage: str, later: tuple[str, ...]) -> None:
    classifier, noisy = Dense(), batch(7)
    algorithm = _built(classifier, stage)
    assert isinstance(algorithm, LaterLayersDescent)
    initial = copy.deepcopy(classifier.state_dict())
    with torch.no_grad():  # an earlier stage
        for p in classifier.parameters():
            p.add_(1.0)
    trained = copy.deepcopy(classifier.state_dict())
    algorithm.begin_training(_context(classifier, noisy.y, noisy.x))
    for name, value in classifier.state_dict().items():
        is_later = name.startswith(later)
        assert torch.equal(value, (initial if is_later else trained)[name])
    algorithm.step(noisy, noisy)
    for name, value in classifier.state_dict().items():
        is_later = name.startswith(later)
        assert torch.equal(value, (initial if is_later else trained)[name]) != is_later


def test_epoch_uses_the_examples_whose_label_is_predicted_and_the_clean_ones() -> None:
    classifier = Dense()
    x = torch.randn(40, INPUTS)
    y = torch.arange(40) % CLASSES
    agrees = classifier(x).logits.argmax(-1) == y
    clean = (~agrees).nonzero().flatten()[:2]
    algorithm = _built(classifier, "training")
    assert isinstance(algorithm, ConfidentDescent)
    chosen = algorithm.begin_epoch(_context(classifier, y, x, clean))
    expected = agrees.clone()
    expected[clean] = True
    assert chosen.tolist() == expected.nonzero().flatten().tolist()
    counts = torch.bincount(y[expected], minlength=CLASSES).double()
    present = counts > 0
    torch.testing.assert_close(
        algorithm.class_weights[present], counts[present].mean() / counts[present], check_dtype=False
    )
    assert (algorithm.class_weights[~present] == 0).all()
    torch.testing.assert_close(algorithm.kept, expected.double().mean())


def test_step_weights_the_classes() -> None:
    classifier, noisy = Dense(), batch(7)
    algorithm = _built(classifier, "training")
    algorithm.class_weights = torch.tensor([2.0, 0.0, 1.0])
    logits = classifier(noisy.x).logits.detach()
    losses, weights = F.cross_entropy(logits, noisy.y, reduction="none"), algorithm.class_weights[noisy.y]
    torch.testing.assert_close(algorithm.step(noisy, noisy)["loss"], (weights * losses).sum() / weights.sum())


@pytest.mark.parametrize("stage", ["whole network", "last layers", "last layer", "training"])
def test_images_are_trained_on_in_every_stage(stage: str) -> None:
    noisy = batch(7, IMAGE)
    assert _built(Convolutional(), stage).step(noisy, noisy)["gradient_norm"] > 0


def test_invalid_options_raise() -> None:
    with pytest.raises(UserError, match="last_epochs is 0"):
        PES(last_epochs=0)
    with pytest.raises(UserError, match="later_share is 1"):
        PES(later_share=1.0)
