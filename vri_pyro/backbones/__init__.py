"""Backbones: classifiers built from ``(input_shape, num_classes)`` that return logits and features."""

from vri_pyro.backbones.cifar_resnet import CIFARResNet, ResNet32
from vri_pyro.backbones.efficientnet_lite import EfficientNetLite0
from vri_pyro.backbones.mlp import MLP
from vri_pyro.backbones.preact_resnet import PreActResNet, PreActResNet18, PreActResNet34
from vri_pyro.backbones.small_cnn import SmallCNN

__all__ = [
    "MLP",
    "CIFARResNet",
    "EfficientNetLite0",
    "PreActResNet",
    "PreActResNet18",
    "PreActResNet34",
    "ResNet32",
    "SmallCNN",
]
