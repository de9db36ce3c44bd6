"""Public bug reports of neighbouring projects, tried here.

Each function does what a report of another project describes, and returns what happened. It raises AssertionError if
this package has the bug.
"""

from __future__ import annotations

import gc
import io
import math
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from PIL import Image
from sklearn.datasets import load_wine
from torch import Tensor, nn

from campaign.trial import Trial
from vri_pyro import Batch, BilevelSVI, Classifier, ClassifierOutput, VRIClassifier, find_label_issues, from_pyro_svi
from vri_pyro.cli.main import main
from vri_pyro.data import ImageFolder, StreamedData, Strong
from vri_pyro.data.batch_plan import BatchPlan
from vri_pyro.guides import DiagonalNormal
from vri_pyro.models import PriorNetwork, Rectification
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.trainer import Trainer

_FIT = (
    *(
        "fit",
        "--data",
        "vri_pyro.data.Digits",
        "--epochs",
        "3",
        "--threads",
        "1",
        "--report",
        "false",
        "--loggers",
        "[]",
    ),
    *("--split.noisy_size", "300", "--quiet", "true", "--optimizer.momentum", "0.9"),
)


def _resumed_equals_uninterrupted(folder: Path, *options: str) -> bool:
    """Whether a run that was stopped in its second epoch and resumed ends like one that was not stopped."""
    whole, parts = folder / "whole", folder / "parts"
    _vri_pyro(*_FIT, *options, "--output", str(whole))
    take_step, taken = Trainer._step, []

    def stopping(trainer: Trainer, *arguments: Any) -> None:
        take_step(trainer, *arguments)
        taken.append(1)
        if len(taken) == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with mock.patch.object(Trainer, "_step", stopping):
        assert _vri_pyro(*_FIT, *options, "--output", str(parts))[0] == 143
    assert _vri_pyro(*_FIT, *options, "--output", str(parts), "--resume", "true")[0] == 0
    ends = [load_checkpoint(run / "checkpoints" / "last.pt")["classifier"] for run in (whole, parts)]
    metrics = [(run / "metrics.csv").read_bytes() for run in (whole, parts)]
    same = all(torch.equal(one, other) for one, other in zip(ends[0].values(), ends[1].values(), strict=True))
    return same and metrics[0] == metrics[1]


def order_of_examples_after_resuming(folder: Path) -> str:
    """huggingface/accelerate#4195, #2823: a resumed run continues with the batches of another epoch."""
    assert _resumed_equals_uninterrupted(folder), "the resumed run differs"
    return "a run stopped in mid-epoch and resumed has the same metrics and parameters, bit for bit"


def schedule_after_resuming(folder: Path) -> str:
    """Lightning-AI/pytorch-lightning#4655, #5455: the learning rate is off by one step or reset after resuming."""
    schedule = ("--schedule", "vri_pyro.infer.CyclicCosine", "--schedule.half_period", "2")
    assert _resumed_equals_uninterrupted(folder, *schedule), "the resumed run differs"
    return "the learning rate is a function of the step, so a resumed run is the same, bit for bit"


def class_missing_from_the_test_folder(folder: Path) -> str:
    """ultralytics/ultralytics#13936: a class that the test folder lacks shifts the labels of the others."""
    for part, names in {"noisy": ("0", "180", "270", "90"), "test": ("0", "270", "90")}.items():
        _write_images(folder / part, names)
    arrays = _quietly(ImageFolder(folder).load)
    found = [arrays.classes[label] for label in arrays.y_test]
    assert found == ["0", "0", "270", "270", "90", "90"], f"test labels are {found}"
    return "classes are matched by folder name over all parts"


def hidden_folder_becomes_a_class(folder: Path) -> str:
    """open-mmlab/mmpretrain#507: the folder .ipynb_checkpoints counts as a class."""
    _write_images(folder, (".ipynb_checkpoints", "cat", "dog"))
    classes = _quietly(ImageFolder(folder).load).classes
    assert classes == ("cat", "dog"), f"classes are {classes}"
    return "hidden folders are no classes"


def numeric_class_folders(folder: Path) -> str:
    """modestyachts/ImageNetV2#10: folders named by numbers are sorted as text, so that folder "10" is class 2."""
    _write_images(folder, [str(number) for number in range(12)])
    arrays = _quietly(ImageFolder(folder).load)
    for index, label in enumerate(arrays.y_train):
        listed, name = arrays.x_train.listed(index), arrays.classes[label]
        assert Path(listed).parent.name == name, f"{listed} has the class {name}"
    return "every image has the name of its folder as class name; results show names and not numbers"


def class_without_examples(folder: Path) -> str:
    """cleanlab/cleanlab#288: probabilities of a class that no label has raise an internal error."""
    given = np.array([0, 0, 1, 1] * 10)
    probabilities = np.tile([[0.1, 0.7, 0.2], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.8, 0.1, 0.1]], (10, 1))
    try:
        find_label_issues(given, probabilities)
    except ValueError as error:
        table = find_label_issues(given, probabilities, classes=[0, 1, 2])
        assert len(table) == len(given), f"{len(table)} rows"
        return f"told: {error}; with classes, it is accepted"
    raise AssertionError("the unnamed class is accepted in silence")


def best_epoch_with_nan(folder: Path) -> str:
    """Lightning-AI/pytorch-lightning#2636, #1008: after a NaN metric no epoch is ever the best again."""
    measured = iter([math.nan, 40.0, math.nan, 50.0, 30.0])

    def evaluated(trainer: Trainer) -> dict[str, float]:
        return {"validation_accuracy": next(measured), "validation_nll": 1.0}

    options = ("--config", "cross_entropy", "--epochs", "5", "--output", str(folder / "run"))
    with mock.patch.object(Trainer, "_evaluated", evaluated):
        _vri_pyro(*_FIT, *options)
    best = load_checkpoint(folder / "run" / "checkpoints" / "best.pt")["epoch"]
    assert best == 3, f"the best epoch is {best}"
    return "epochs whose accuracy is NaN are never the best, and later ones can be"


def augmentations_repeat(folder: Path) -> str:
    """pytorch/pytorch#5059: every loader process draws the same random augmentations, and so does every epoch."""
    _write_images(folder, ("a", "b"), size=32)
    one = _quietly(ImageFolder(folder, size=32).load).x_train.part(np.zeros(64, dtype=np.int64))
    data = StreamedData(one, np.zeros(64, dtype=np.int64), "cpu", np.zeros(3), np.ones(3), workers=2)
    batch = data.sequence(BatchPlan(np.arange(64), 16, seed=0, purpose="test", augmentation=Strong()))
    views = torch.cat([batch(step).x for step in range(8)]).flatten(1)  # two passes over the 64 copies of one image
    distinct = len(views.unique(dim=0))
    assert distinct > 120, f"{distinct} distinct augmentations in 128"
    return f"128 draws of one image, by two processes over two epochs, have {distinct} distinct augmentations"


class OwnBatchNorm(nn.Module):
    """Batch normalisation that replaces its buffers and keeps their autograd graph, as in the reports."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x - self.mean
        mean = x.mean(0)
        self.mean = 0.9 * self.mean + 0.1 * mean
        return x - mean


class Normalised(Classifier):
    """A small classifier with the given normalisation."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = 8, 3
        self.first, self.norm, self.last = nn.Linear(4, 8), norm, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> ClassifierOutput:
        features = self.norm(self.first(x)).tanh()
        return ClassifierOutput(self.last(features), features)


def buffers_that_keep_their_graph(folder: Path) -> str:
    """facebookresearch/synsin#20, higher#48: statistics that keep their graph leak memory in every step."""
    torch.manual_seed(0)
    classifier = Normalised(OwnBatchNorm(8))
    model, guide = Rectification(8, 3, partial(PriorNetwork, hidden=(4,))), DiagonalNormal(8, 3, hidden=(4,))
    inner = torch.optim.SGD(classifier.parameters(), lr=0.1)
    svi = BilevelSVI(classifier, model, guide, inner, torch.optim.Adam([*model.parameters(), *guide.parameters()]))
    noisy, clean = Batch(torch.randn(30, 4) + 5, torch.arange(30) % 3), Batch(torch.randn(9, 4), torch.arange(9) % 3)
    counts = []
    for _ in range(6):
        svi.step(noisy, clean)
        gc.collect()
        counts.append(sum(issubclass(type(one), Tensor) for one in gc.get_objects()))
    assert counts[-1] == counts[2], f"the number of live tensors grows: {counts}"
    moved = classifier.norm.mean
    assert moved.abs().max() > 0, "the statistics never move"
    assert not moved.requires_grad, "the statistics keep their graph"
    return f"six steps: the number of live tensors stays at {counts[-1]}, and the statistics move"


def batch_dimensions_in_arviz(folder: Path) -> str:
    """arviz-devs/arviz#1102: dimensions of a plate are not told from those of an event."""

    def model(y: Tensor) -> None:
        with pyro.plate("rows", 5):
            value = pyro.sample("value", dist.Normal(torch.zeros(5), 1.0))
            pyro.sample("y", dist.Normal(value, 1.0), obs=y)

    def guide(y: Tensor) -> None:
        with pyro.plate("rows", 5):
            pyro.sample("value", dist.Normal(y / 2, 0.7))

    converted = from_pyro_svi((model, guide), model_args=(torch.arange(5.0),), num_samples=20)
    dims = converted["posterior"]["value"].dims
    assert dims[-1] == "rows", f"dims are {dims}"
    assert converted["log_likelihood"]["y"].dims == dims
    return f"the latent site and the pointwise log-likelihood have the dimensions {', '.join(map(str, dims))}"


def labels_in_another_order(folder: Path) -> str:
    """alanarazi7/TabSTAR#25, pycaret/pycaret#384: rows of features and labels are matched by position, or by index."""
    x, y = load_wine(return_X_y=True, as_frame=True)
    shuffled = y.sample(frac=1, random_state=0)
    try:
        VRIClassifier(epochs=1).fit(x, shuffled, trusted=range(0, 178, 6))
    except ValueError as error:
        return f"refused: {error}"
    raise AssertionError("labels in another order than the rows of X are accepted in silence")


REPORTS: list[Callable[[Path], str]] = [
    order_of_examples_after_resuming,
    schedule_after_resuming,
    class_missing_from_the_test_folder,
    hidden_folder_becomes_a_class,
    numeric_class_folders,
    class_without_examples,
    best_epoch_with_nan,
    augmentations_repeat,
    buffers_that_keep_their_graph,
    batch_dimensions_in_arviz,
    labels_in_another_order,
]


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Try every report."""
    for report in REPORTS[2:6] if quick else REPORTS:
        name = (report.__doc__ or "").strip()
        place = folder / report.__name__
        place.mkdir()
        try:
            yield Trial("reports", name, True, report(place))
        except AssertionError as error:
            yield Trial("reports", name, False, str(error))


def _vri_pyro(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process; return its exit status and what it printed to stderr."""
    shown = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(shown):
        status = main(arguments)
    return status, shown.getvalue().strip()


def _quietly[T](function: Callable[[], T]) -> T:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


def _write_images(folder: Path, names: Sequence[str], size: int = 8) -> None:
    """Write two images of noise into the folder of each class."""
    draws = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(2):
            pixels = draws.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
