"""The trained classifier with its preprocessing, as one network that maps inputs to class probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor, nn

from vri_pyro.backbones.default_backbone import default_backbone
from vri_pyro.backbones.pretrained_weights import without_pretrained_weights
from vri_pyro.data import Augmentation, NoAugmentation, generator_for, standardise
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.runs.parsing import ConfigurationFileError
from vri_pyro.runs.trust import check_classes, importing
from vri_pyro.training.ensemble import build_classifier
from vri_pyro.utils.errors import UserError

#: options of a run that determine the network, as in ``config.yaml``
NETWORK_OPTIONS = ("backbone", "augmentation", "networks")


class InferenceNetwork(nn.Module):
    """Crops, standardises and classifies inputs as in the evaluation of a run.

    Args:
        classifier: the classifier.
        crop: deterministic transform of the inputs, such as a central crop.
        mean, std: standardisation of the inputs, float32 [channels or features]; a std of 0 is replaced by 1.
        images: whether the inputs are images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, classifier: Classifier, crop: Augmentation, mean: np.ndarray, std: np.ndarray, images: bool
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self._crop, self._images = crop, images
        shape = (-1, 1, 1) if images else (-1,)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(shape), persistent=False)
        safe = torch.tensor(np.where(std == 0, 1.0, std), dtype=torch.float32)
        self.register_buffer("std", safe.reshape(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute class probabilities.

        Args:
            x: inputs of the dtype of the training inputs, images [B, H, W, C] or vectors [B, D].

        Returns:
            class probabilities, float32 [B, K].
        """
        return self.logits(x).softmax(-1)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of the same inputs, float32 [B, K]."""
        if self._images:
            x = x.permute(0, 3, 1, 2).contiguous()
        x = standardise(self._crop(x, generator_for(0)), self.mean, self.std)
        return self.classifier(x).logits


def build_network(
    inputs: Mapping[str, Any], options: Mapping[str, Any], where: Path | str, trust: bool
) -> InferenceNetwork:
    """Build the network of a run, with random weights and in evaluation mode.

    Args:
        inputs: shape, dtype, classes, mean and std of the inputs, as in ``inputs.json`` of a run folder.
        options: the :data:`NETWORK_OPTIONS`, as in ``config.yaml``; other options are ignored.
        where: the file or folder with the options, for messages.
        trust: whether the options may name any code.

    Raises:
        UntrustedCode: the options name code that is neither known nor trusted.
        UserError: an option that needs a value is null.
        ConfigurationFileError: an option has an invalid value.
    """
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--backbone", type=Callable[[tuple[int, ...], int], Classifier] | None, default=None)
    parser.add_argument("--augmentation", type=Augmentation, default=NoAugmentation())
    parser.add_argument("--networks", type=int, default=1)
    given = {name: options[name] for name in NETWORK_OPTIONS if name in options}
    if null := [name for name, value in given.items() if value is None and name != "backbone"]:
        raise UserError(f"{where}: {null[0]} is null; restore the file")
    if not trust:
        check_classes(given, where)
    with importing(trust, where):
        try:
            chosen = parser.instantiate(parser.parse_object(given))
        except ArgumentError as error:
            raise ConfigurationFileError(Path(where), str(error)) from error
    crop = chosen.augmentation.evaluation()
    shape = crop.output_shape(tuple(inputs["shape"]), np.dtype(inputs["dtype"]))
    with without_pretrained_weights():
        classifier = build_classifier(
            chosen.backbone or default_backbone, shape, len(inputs["classes"]), chosen.networks
        )
    mean, std = (np.array(inputs[name], dtype=np.float32) for name in ("mean", "std"))
    return InferenceNetwork(classifier, crop, mean, std, images=len(inputs["shape"]) == 3).eval()
