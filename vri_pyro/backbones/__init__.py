"""Backbones: classifiers built from ``(input_shape, num_classes)`` that return logits and features."""

from vri_pyro.backbones.cifar_resnet import CIFARResNet, ResNet32
from vri_pyro.backbones.efficientnet_lite import EfficientNetLite0
from vri_pyro.backbones.from_module import FromModule
from vri_pyro.backbones.mlp import MLP
from vri_pyro.backbones.preact_resnet import PreActResNet, PreActResNet18, PreActResNet34
from vri_pyro.backbones.small_cnn import SmallCNN
from vri_pyro.backbones.timm_network import TimmNetwork
from vri_pyro.backbones.torchvision_network import TorchvisionNetwork
from vri_pyro.backbones.wide_resnet import WideResNet

__all__ = [
    "MLP",
    "CIFARResNet",
    "EfficientNetLite0",
    "FromModule",
    "PreActResNet",
    "PreActResNet18",
    "PreActResNet34",
    "ResNet32",
    "SmallCNN",
    "TimmNetwork",
    "TorchvisionNetwork",
    "WideResNet",
]
