"""A training step with the options that matter on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from vri_pyro.backbones import MLP, PreActResNet18
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.models import PriorNetwork, Rectification
from vri_pyro.utils.device import set_speed

CLASSES, SHAPE, HIDDEN = 10, (3, 32, 32), (128, 64)
Take = Callable[[Batch, Batch], object]


@dataclass(frozen=True)
class Setting:
    """How a step computes.

    Attributes:
        precision: as in ``vri-pyro fit --precision``; "strict" turns TF32 off in convolutions as well, where PyTorch
            has it on.
        channels_last: layout of images and convolutions; ``vri-pyro fit`` always uses it.
        fused: whether both optimisers are fused.
        benchmark: whether cuDNN chooses its algorithms by trying them.
        options: options of BilevelSVI; None for plain SGD.
    """

    precision: str = "float32"
    channels_last: bool = True
    fused: bool = False
    benchmark: bool = False
    options: dict[str, Any] | None = field(default_factory=dict)

    def built(self, device: torch.device, quick: bool) -> Take:
        """Return a function that takes a step on a noisy and a clean batch, with the paper's network and optimisers."""
        set_speed(tf32=self.precision == "tf32", cudnn_benchmark=self.benchmark)
        torch.backends.cudnn.allow_tf32 = self.precision != "strict"
        classifier = self.classifier(device, quick)
        inner = torch.optim.SGD(
            classifier.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4, fused=self.fused or None
        )
        if self.options is None:
            return lambda noisy, clean: self._plain(classifier, inner, noisy)
        shape = classifier.feature_dim, CLASSES
        model = Rectification(*shape, prior=lambda *of: PriorNetwork(*of, hidden=HIDDEN)).to(device)
        guide = DiagonalNormal(*shape, hidden=HIDDEN).to(device)
        outer = torch.optim.Adam([*model.parameters(), *guide.parameters()], lr=3e-4, fused=self.fused or None)
        return BilevelSVI(classifier, model, guide, inner, outer, **{"clean_weight": 0.0, **self.options}).step

    def classifier(self, device: torch.device, quick: bool) -> Classifier:
        """Return PreActResNet18, or a tiny network for a dry run."""
        made: Classifier = MLP(SHAPE, CLASSES, (8,)) if quick else PreActResNet18(SHAPE, CLASSES)
        made = made.to(device)
        if self.channels_last:
            made = made.to(memory_format=torch.channels_last)
        made.autocast = torch.bfloat16 if self.precision == "bfloat16" else None
        return made

    def batches(self, size: int, device: torch.device) -> tuple[Batch, Batch]:
        """Return a random noisy and a random clean batch."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = [torch.randn(size, *SHAPE, device=device).to(memory_format=layout) for _ in range(2)]
        labels = [torch.randint(CLASSES, (size,), device=device) for _ in range(2)]
        return Batch(images[0], labels[0]), Batch(images[1], labels[1])

    def _plain(self, classifier: Classifier, optimizer: torch.optim.Optimizer, noisy: Batch) -> None:
        half = classifier.autocast
        with torch.autocast(noisy.x.device.type, half, enabled=half is not None):
            logits = classifier(noisy.x).logits
        F.cross_entropy(logits.float(), noisy.y).backward()
        optimizer.step()
        optimizer.zero_grad()


FASTEST = {"precision": "bfloat16", "fused": True, "benchmark": True}
SETTINGS = {
    "float32": Setting(),
    "float32, convolutions too": Setting("strict"),
    "tf32": Setting("tf32"),
    "bfloat16": Setting("bfloat16"),
    "float32, contiguous": Setting(channels_last=False),
    "float32, fused": Setting(fused=True),
    "float32, cuDNN benchmark": Setting(benchmark=True),
    "bfloat16, fused, cuDNN benchmark": Setting(**FASTEST),
    "the same, late": Setting(**FASTEST, options={"late": True}),
    "the same, late, every 4th step": Setting(**FASTEST, options={"late": True, "outer_every": 4}),
    "plain SGD, float32": Setting(options=None),
    "plain SGD, bfloat16, fused, cuDNN benchmark": Setting(**FASTEST, options=None),
}
