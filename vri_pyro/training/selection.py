"""Learning without clean labels: what of the noisy part to take for clean, by the losses of the classifier."""

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


class Selection(ABC):
    """Chooses examples whose given labels are probably right; the classifier must know a little already.

    Reference: Sun et al. (2025), algorithm 2 and table 12.
    """

    def __call__(self, classifier: Classifier, examples: Examples, noisy: np.ndarray) -> np.ndarray:
        """Choose from the noisy part.

        Args:
            classifier: what the losses are of, in evaluation mode and without augmentation.
            examples: the training examples with their given labels.
            noisy: positions of the noisy part, int64 [n].

        Returns:
            positions of the chosen, ascending, at least one.

        Raises:
            UserError: the noisy part is too small for what is asked.
            NonFiniteError: no loss is finite.
        """
        logits, labels = predict(classifier, examples, noisy)
        losses = F.cross_entropy(logits, labels, reduction="none").double().cpu().numpy()
        finite = np.isfinite(losses)
        if not finite.any():
            raise NonFiniteError("no loss is finite, so none can tell clean labels; lower the learning rates")
        chosen = self.choose(losses[finite], labels.cpu().numpy()[finite], classifier.num_classes)
        return np.sort(noisy[finite][chosen])

    def check(self, count: int, num_classes: int) -> None:
        """Refuse a noisy part of ``count`` examples that this selection cannot choose from.

        Raises:
            UserError: it is too small.
        """
        return

    @abstractmethod
    def choose(self, losses: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """Which of the examples with these losses [n] and given labels [n] are probably right: integers [m]."""


@dataclass(frozen=True)
class SmallLoss(Selection):
    """The examples of the smallest losses: VRI(-), or VRI(+) when balanced.

    Attributes:
        size: how many; 1,000 in the paper.
        balanced: whether each class, as given, gets the same share; a class with fewer examples gives all it has.
    """

    size: int = 1000
    balanced: bool = False

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < 1:
            raise UserError(f"selection.size is {self.size}; give at least 1")

    def check(self, count: int, num_classes: int) -> None:
        """See :class:`Selection`."""
        if self.size > count:
            raise UserError(f"selection.size is {self.size} but there are {count} noisy examples; choose fewer")
        if self.balanced and self.size < num_classes:
            raise UserError(
                f"selection.size is {self.size} but there are {num_classes} classes to balance; give as many"
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
    """The examples that belong to the lower of two normal distributions fitted to the losses: VRI(Aug).

    Losses are scaled to [0, 1] first. The fit is deterministic.

    Attributes:
        threshold: least posterior probability of the lower component.

    Reference: Li et al. (2020), DivideMix, where the mixture is from; Arazo et al. (2019) for the idea.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Check the threshold."""
        if not 0 <= self.threshold < 1:
            raise UserError(f"selection.threshold is {self.threshold}; give a probability from 0 to below 1")

    def choose(self, losses: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
        """See :class:`Selection`."""
        from sklearn import mixture  # takes seconds, which no other run should wait for

        spread = np.ptp(losses)
        if spread == 0:
            return np.arange(len(losses))
        scaled = ((losses - losses.min()) / spread)[:, None]
        # DivideMix's floor of the variance, which keeps a component from shrinking onto equal losses.
        fitted = mixture.GaussianMixture(n_components=2, reg_covar=5e-4, random_state=0).fit(scaled)
        clean = fitted.predict_proba(scaled)[:, fitted.means_.argmin()]
        chosen = np.flatnonzero(clean > self.threshold)
        return chosen if len(chosen) else clean.argmax(keepdims=True)
