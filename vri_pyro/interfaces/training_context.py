"""Data and classifier that models, guides and algorithms receive before a stage of training begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vri_pyro.interfaces.classifier import Classifier, evaluating
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.joined import joined, own_rows


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """Training data and classifier before the first step of a training stage.

    The *position* of an example, noisy or clean, is its index in :attr:`labels`. The ``index`` of a
    :class:`~vri_pyro.data.batch.Batch` holds positions as well. In your own training loop, build the context with
    :meth:`from_tensors`.

    Attributes:
        classifier: the classifier as earlier stages left it, or its moving average. It is not modified.
        inputs: returns the inputs at the given positions, int64 [n], as batches [B, ...] in that order.
        labels: the labels available to training, one per example, int64 [N].
        noisy: positions of the noisy examples, int64 [n], on the CPU.
        clean: positions of the clean examples, int64 [m], on the CPU; may be empty.
        reviewed: positions of the clean examples that were not drawn at random but reviewed, for instance because their
            labels looked wrong, int64 [r], on the CPU.
        seed: the seed of the run.
        trained: whether the classifier has been trained by an earlier stage.
        pair_counts: number of examples by verified class (row) and label as given (column), [K, K], of those whose
            both labels are known; None if there are none. They are draws from the transition matrix, whose rows
            condition on the class: which examples were checked may depend on the class, but not on the label as given.
    """

    classifier: Classifier
    inputs: Callable[[Tensor], Iterable[Tensor]]
    labels: Tensor
    noisy: Tensor
    clean: Tensor
    reviewed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    seed: int = 0
    trained: bool = True
    pair_counts: Tensor | None = None

    @classmethod
    def from_tensors(
        cls,
        classifier: Classifier,
        noisy_y: Tensor,
        clean_x: Tensor,
        clean_y: Tensor,
        *,
        noisy_x: Tensor | None = None,
        batch_size: int = 1000,
        trained: bool = True,
        pair_counts: Tensor | None = None,
    ) -> TrainingContext:
        """Build the context from tensors, for a training loop outside this package.

        The noisy examples get the positions 0 to N - 1, in the order of ``noisy_y``. The clean examples follow.

        Args:
            classifier: the classifier, trained on the noisy labels.
            noisy_y: labels of all noisy examples, int64 [N].
            clean_x: clean inputs, [M, ...].
            clean_y: clean labels, int64 [M].
            noisy_x: noisy inputs, [N, ...]; only needed by models, guides and algorithms that predict noisy examples,
                such as :class:`vri_pyro.guides.Hierarchical` with ``start="predictions"``.
            batch_size: examples per forward pass.
            trained: whether the classifier has been trained already.
            pair_counts: counts of verified pairs, [K, K]; None if there are none.

        Raises:
            UserError: inputs and labels differ in length.
        """
        if len(clean_x) != len(clean_y):
            raise UserError(
                f"clean_x has {len(clean_x)} examples but clean_y has {len(clean_y)} labels; expected one per example"
            )

        if noisy_x is not None and len(noisy_x) != len(noisy_y):
            raise UserError(
                f"noisy_x has {len(noisy_x)} examples but noisy_y has {len(noisy_y)} labels; expected one per example"
            )
        every = clean_x if noisy_x is None else torch.cat([noisy_x, clean_x])

        def inputs(positions: Tensor) -> Iterable[Tensor]:
            rows = positions if noisy_x is not None else positions - len(noisy_y)
            if (rows < 0).any():
                raise UserError("the context has no noisy inputs to predict; pass noisy_x to from_tensors")
            return (every[rows[start : start + batch_size]] for start in range(0, len(rows), batch_size))

        return cls(
            classifier,
            inputs,
            torch.cat([noisy_y.to(clean_y.device), clean_y]),
            noisy=torch.arange(len(noisy_y)),
            clean=torch.arange(len(noisy_y), len(noisy_y) + len(clean_y)),
            trained=trained,
            pair_counts=pair_counts,
        )

    @property
    def clean_sample(self) -> Tensor:
        """Positions of the clean examples that were drawn at random, int64; all clean ones if there are none.

        Estimates of the noise need a random sample: reviewed examples have far more wrong labels than others.
        """
        sample = self.clean[~torch.isin(self.clean, self.reviewed)]
        return sample if len(sample) else self.clean

    def with_pairs(self, concentration: Tensor) -> Tensor:
        """Add the verified pairs to the concentrations [K, K] of a Dirichlet prior of the transition matrix's rows.

        The prior is conjugate, so this is the exact posterior given the pairs.
        """
        return concentration if self.pair_counts is None else concentration + self.pair_counts.to(concentration)

    def labels_at(self, positions: Tensor) -> Tensor:
        """Labels at ``positions``, int64 [n], on the device of the data."""
        return self.labels[positions.to(self.labels.device)]

    @torch.no_grad()
    def predict(self, positions: Tensor) -> Tensor:
        """The classifier's logits at ``positions`` (int64 [n]) in evaluation mode, [n, K].

        Several processes predict their shares.
        """
        with evaluating(self.classifier):
            own = [self.classifier(x).logits for x in self.inputs(own_rows(positions))]
        like = next(self.classifier.parameters())
        logits = torch.cat(own) if own else like.new_zeros(0, self.classifier.num_classes)
        return joined(logits, len(positions))
