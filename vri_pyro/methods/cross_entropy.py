"""Cross entropy on the noisy labels, the first stage of methods that need a pre-trained classifier."""

from __future__ import annotations

from torch.nn import functional as F

from vri_pyro.data.batch import Batch
from vri_pyro.infer.functional import ReplayedForward
from vri_pyro.infer.metrics import Metrics
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Method, OptimizerFactory, Pool
from vri_pyro.methods.descent import Descent


class CrossEntropyDescent(Descent):
    """Minimises the cross entropy CE(F(x), y); see :class:`Descent`."""

    def step(self, noisy: Batch, clean: Batch) -> Metrics:
        """Take one step; ``clean`` is only used if ``clean_weight`` is not 0.

        Returns:
            scalars on the device of the batch: ``loss``, ``gradient_norm``.
        """
        forward = ReplayedForward(self.classifier, noisy.x, count=len(noisy.y))
        return self.learn(forward, F.cross_entropy(forward(self.weights).logits, noisy.y), clean)[0]


class NoisyCrossEntropy(Method):
    """Cross entropy on the noisy labels, for pre-training; needs no clean examples.

    Args:
        max_skipped: number of consecutive non-finite steps after which training stops.
    """

    pool: Pool = "noisy"
    needs_clean = False

    def __init__(self, max_skipped: int = 10) -> None:
        self.max_skipped = max_skipped

    def build(self, classifier: Classifier, optimizer: OptimizerFactory) -> CrossEntropyDescent:
        """See :class:`~vri_pyro.methods.Method`."""
        return CrossEntropyDescent(
            classifier, optimizer(classifier.parameters()), clean_weight=0.0, max_skipped=self.max_skipped
        )
