"""Select probably clean examples from the noisy set by their losses, for training without clean labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch.nn import functional as F

from vri_pyro.data import Examples
from vri_pyro.infer.guard import NonFiniteError
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.training.evaluation import predict
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.loss_mixture import low_loss_probability
from vri_pyro.utils.numbers import check_integer, check_number


class Selection(ABC):
    """Base class of selections, which choose examples whose given labels are probably correct.

    A selection needs a classifier that has been trained already, for example in a warm-up stage.

    Reference: Sun et al. (2025), algorithm 2 and table 12.
    """

    def __call__(self, classifier: Classifier, examples: Examples, noisy: np.ndarray) -> np.ndarray:
        """Select examples from the noisy set by the losses of a classifier.

        Args:
            classifier: the classifier; its losses are computed in evaluation mode, without augmentation.
            examples: the training examples with their given labels.
            noisy: positions of the noisy set, int64 [n].

        Returns:
            positions of the selected examples, in ascending order, int64 [m], m >= 1.

        Raises:
            NonFiniteError: no loss is finite.
        """
        logits, labels = predict(classifier, examples, noisy)
        losses = F.cross_entropy(logits, labels, reduction="none").double().cpu().numpy()
        finite = np.isfinite(losses)
        if not finite.any():
            raise NonFiniteError("no loss is finite, so no examples can be selected; lower the learning rates")
        chosen = self.choose(losses[finite], labels.cpu().numpy()[finite], classifier.num_classes)
        return np.sort(noisy[finite][chosen])

    def check(self, count: int, num_classes: int) -> None:
        """Raise before training if the noisy set is too small for this selection.

        Args:
            count: number of noisy examples.
            num_classes: number of classes.

        Raises:
            UserError: the noisy set is too small.
        """
        return

    @abstractmethod
    def choose(self, losses: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """Choose the examples whose given labels are probably correct.

        Args:
            losses: finite losses of the examples, float64 [n].
            labels: given labels, int64 [n].
            num_classes: number of classes.

        Returns:
            indices into ``losses``, integers [m], m >= 1.
        """


@dataclass(frozen=True)
class SmallLoss(Selection):
    """Selects the examples with the smallest losses: VRI(-), or VRI(+) if balanced.

    Attributes:
        size: number of examples to select; 1,000 in the paper.
        balanced: whether to select the same number of examples per given label; a class with fewer examples contributes
            all of them.
    """

    size: int = 1000
    balanced: bool = False

    def __post_init__(self) -> None:
        """Check ``size``."""
        check_integer("selection.size", self.size, 1)

    def check(self, count: int, num_classes: int) -> None:
        """See :class:`Selection`."""
        if self.size > count:
            raise UserError(
                f"selection.size is {self.size} but there are {count} noisy examples; expected a value <= {count}"
            )
        if self.balanced and self.size < num_classes:
            raise UserError(
                f"selection.size is {self.size} but a balanced selection has {num_classes} classes; "
                f"expected a value >= {num_classes}"
            )

    def choose(self, losses: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """See :class:`Selection`."""
        order = np.argsort(losses, kind="stable")
        if not self.balanced:
            return order[: self.size]
        share, left = divmod(self.size, num_classes)
        shares = [share + (label < left) for label in range(num_classes)]
        return np.concatenate([order[labels[order] == label][:count] for label, count in enumerate(shares)])


@dataclass(frozen=True)
class GaussianMixture(Selection):
    """Selects the examples in the low-loss component of a Gaussian mixture: VRI(Aug).

    The mixture has two components, fitted to the losses after scaling them to [0, 1]. The fit is deterministic. If no
    example exceeds the threshold, the example with the highest posterior probability is selected.

    Attributes:
        threshold: posterior probability of the low-loss component above which an example is selected.

    Reference: Li et al. (2020), DivideMix, for this mixture; Arazo et al. (2019) for the idea.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Check ``threshold``."""
        check_number("selection.threshold", self.threshold, at_least=0, below=1)

    def choose(self, losses: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """See :class:`Selection`."""
        clean = low_loss_probability(losses)
        chosen = np.flatnonzero(clean > self.threshold)
        return chosen if len(chosen) else clean.argmax(keepdims=True)
