"""Build the data, the split and the trainer of an experiment from its configuration."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import torch

from vri_pyro.backbones.default_backbone import default_backbone
from vri_pyro.backbones.pretrained_weights import weights_are_loaded
from vri_pyro.data import (
    Arrays,
    DeviceData,
    Examples,
    Inputs,
    Split,
    StoredData,
    StoredVectors,
    Streamed,
    StreamedData,
)
from vri_pyro.data.statistics import sample_of
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.interfaces.classifier import Classifier, trunk_parameters
from vri_pyro.methods.base import Stage
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.random_weights import has_random_trunk
from vri_pyro.training.ensemble import build_classifier, networks_of
from vri_pyro.training.run_data import RunData
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.training.stages import MAIN, CleanSource, build_stages
from vri_pyro.training.trainer import Trainer
from vri_pyro.training.trunk import Trunk
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.errors import UserError, building


def load_data(configuration: Configuration) -> tuple[Arrays, Split]:
    """Load the data and split them into noisy, clean and validation examples.

    Args:
        configuration: configuration of the experiment; defines the data, the noise and the split.

    Returns:
        the data and their split.
    """
    arrays = configuration.data.load()
    return arrays, configuration.split.split(arrays, configuration.noise, configuration.seed)


def build_trainer(
    configuration: Configuration,
    folder: RunFolder | None,
    arrays: Arrays,
    split: Split,
    standardisation: tuple[np.ndarray, np.ndarray],
    identity: str,
) -> Trainer:
    """Build the trainer of a run, in its state before the first step.

    Args:
        configuration: configuration of the run.
        folder: run folder to write to; None writes no files.
        arrays, split: see :func:`load_data`.
        standardisation: mean and standard deviation of the training inputs, [channels or features] each; ignored if
            the classifier takes pixels.
        identity: the part of the configuration, as text, that must match when a checkpoint is resumed.

    Raises:
        UserError: the backbone, an algorithm or the input shapes do not fit the configuration or the data.
    """
    device = choose_device(configuration.device)

    def build(networks: int) -> Classifier:
        backbone = configuration.backbone or default_backbone
        return build_classifier(backbone, input_shape(configuration, arrays), arrays.num_classes, networks)

    with building("the backbone"):
        classifier = build(configuration.networks)
    _check_classes(classifier, arrays.num_classes)
    if configuration.trunk is not None:
        _treat_trunk(classifier, configuration.trunk)
        if configuration.trunk.frozen and weights_are_loaded():
            network = networks_of(classifier)[0]
            if has_random_trunk(network, partial(build, 1)):
                warnings.warn(
                    f"trunk.frozen keeps the trunk of {type(network).__name__} at random weights; use a pretrained "
                    "network, or train the trunk",
                    stacklevel=2,
                )
    for network in (classifier, *networks_of(classifier)):
        network.autocast = torch.bfloat16 if configuration.precision == "bfloat16" else None
    classifier = _with_channels_last(classifier.to(device))
    mean, std = _pixels(classifier, arrays) if getattr(classifier, "takes_pixels", False) else standardisation

    def examples(inputs: Inputs, labels: np.ndarray) -> Examples:
        crop = configuration.augmentation.evaluation()
        if isinstance(inputs, Streamed):
            return StreamedData(inputs, labels, device, mean, std, crop, configuration.workers)
        if isinstance(inputs, StoredVectors):
            return StoredData(inputs, labels, device, mean, std, crop)
        return DeviceData(inputs, labels, device, mean, std, crop)

    train = examples(split.inputs(arrays.x_train), split.labels(arrays.y_train))
    reviewed = (split.labels_before != NO_CLASS).any()
    data = RunData(
        train=train,
        as_given=train.with_labels(split.labels_as_given(arrays.y_train)) if reviewed else None,
        test=None if arrays.x_test is None or arrays.y_test is None else examples(arrays.x_test, arrays.y_test),
        clean=split.clean_indices,
        reviewed=split.corrected_indices,
        clean_draws=split.clean_draws,
        pair_counts=None if (pairs := split.pairs) is None else pairs.counts(split.num_classes),
        validation=split.validation_indices,
        augmentation=configuration.augmentation,
        clean_augmentation=configuration.clean_augmentation,
    )
    return Trainer(
        build_stages(
            _stages(configuration),
            classifier,
            split,
            configuration.epochs,
            configuration.trunk,
            configuration.weight_decay,
        ),
        data,
        folder,
        configuration.schedule,
        steps_per_epoch=max(1, len(split.noisy_draws) // configuration.batch_size),
        batch_size=configuration.batch_size,
        clean_batch_size=configuration.clean_batch_size,
        seed=configuration.seed,
        config=identity,
        ema=configuration.ema,
        evaluate_every=configuration.evaluate_every,
    )


def _check_classes(classifier: Classifier, num_classes: int) -> None:
    if getattr(classifier, "num_classes", num_classes) != num_classes:
        raise UserError(
            f"{type(classifier).__name__} was built for {classifier.num_classes} classes, but the data have "
            f"{num_classes}; use the num_classes that the backbone receives"
        )


def _treat_trunk(classifier: Classifier, trunk: Trunk) -> None:
    """Freeze the trunks of the networks, if they are to be frozen; warn if there is nothing before the head."""
    for network in networks_of(classifier):
        if not trunk_parameters(network):
            warnings.warn(
                f"the options of the trunk have no effect: {type(network).__name__} has no weights before its head",
                stacklevel=2,
            )
        if trunk.frozen:
            network.freeze_trunk()


def _pixels(classifier: Classifier, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation that leave pixels as they are.

    Raises:
        UserError: the inputs are not pixels from 0 to 1.
    """
    channels = arrays.x_train.shape[-1]
    as_they_are = np.zeros(channels, dtype=np.float32), np.ones(channels, dtype=np.float32)
    if arrays.x_train.dtype == np.uint8:
        return as_they_are
    x = sample_of(arrays.x_train)
    if isinstance(x, StoredVectors):
        raise UserError(
            f"{type(networks_of(classifier)[0]).__name__} takes images, but the data are stored vectors; use another "
            "backbone, such as MLP"
        )
    if x.min() < 0 or x.max() > 1:
        raise UserError(
            f"{type(networks_of(classifier)[0]).__name__} was pretrained on pixels from 0 to 1, but the inputs are "
            f"from {x.min():.4g} to {x.max():.4g}; scale them to 0 to 1, or give bytes"
        )
    return as_they_are


def _with_channels_last(classifier: Classifier) -> Classifier:
    """Change the layout of 2D convolutions, which are faster in it; other weights have no such layout."""
    for tensor in (*classifier.parameters(), *classifier.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return classifier


def input_shape(configuration: Configuration, arrays: Arrays) -> tuple[int, ...]:
    """Return the shape of one classifier input after augmentation, which may crop the images.

    Raises:
        UserError: noisy, clean and evaluation inputs have different shapes.
    """
    augmentations = {
        "augmentation": configuration.augmentation,
        "clean_augmentation": configuration.clean_augmentation,
        "evaluation": configuration.augmentation.evaluation(),
    }
    shapes = {
        name: augmentation.output_shape(arrays.input_shape, arrays.x_train.dtype)
        for name, augmentation in augmentations.items()
    }
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise UserError(
            f"the classifier's inputs have different shapes ({listed}); use the same crop in both augmentations"
        )
    return shapes["evaluation"]


def _stages(configuration: Configuration) -> dict[str, tuple[Stage, CleanSource]]:
    """Stages in the order of training; selection and clean mixup apply to the main stage only."""
    own = CleanSource(configuration.selection, configuration.clean_mixup)
    stages = {MAIN: (Stage(configuration.method, configuration.optimizer), own)}
    if configuration.warm_up is not None:
        stages = {"warm-up": (configuration.warm_up, CleanSource())} | stages
    if configuration.fine_tuning is not None:
        stages["fine-tuning"] = configuration.fine_tuning, CleanSource()
    return stages
