"""Human label noise, with annotators' labels read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vri_pyro.data.noise.array_files import read_npy, read_pt
from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_class_count
from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.data.npz import read_npz
from vri_pyro.data.streamed import Inputs
from vri_pyro.data.validation import check_labels
from vri_pyro.utils.errors import UserError

_SUFFIXES = (".npy", ".npz", ".pt")
_TRUTH_OF = {"noisy_coarse_label": "clean_coarse_label"}


@dataclass(frozen=True)
class HumanLabels(LabelNoise):
    """Human label noise: annotators' labels from a file, one per training example.

    The labels are in the order of the training set. The published files of CIFAR-10N (``CIFAR-10_human.pt``) and
    CIFAR-100N (``CIFAR-100_human.pt``) are supported. If the file also contains true labels (``clean_label``), as
    these do, they must equal the labels of the data, so that a file in a different order is rejected. Nothing is drawn
    at random, and the nominal matrix is the realised matrix.

    Reference: Wei et al., Learning with noisy labels revisited, ICLR 2022.

    Attributes:
        path: the file: an .npy array of integers, or an .npz or .pt file with named arrays. No pickled code is run.
        key: name of the label array in an .npz or .pt file. CIFAR-10N has "aggre_label", "random_label1" to
            "random_label3" and "worse_label"; CIFAR-100N has "noisy_label".

    Raises:
        UserError: the file type is not supported, the key of an .npz or .pt file is missing, or a key is given for an
            .npy file.
    """

    path: str | Path
    key: str | None = None

    def __post_init__(self) -> None:
        """Check the parameters; the file is read when the noise is applied."""
        suffix = Path(self.path).suffix
        if suffix not in _SUFFIXES:
            raise UserError(f"HumanLabels got the file {self.path}; expected one of {', '.join(_SUFFIXES)}.")
        if suffix == ".npy" and self.key is not None:
            raise UserError(f"HumanLabels got key {self.key!r}, but an .npy file has only one array; remove the key.")
        if suffix != ".npy" and self.key is None:
            raise UserError(
                f"HumanLabels got no key for {self.path}; set key to the name of the label array, such as worse_label."
            )

    def for_part(self, indices: np.ndarray, num_train: int) -> LabelNoise:
        """Return the recipe with the annotators' labels of a part; see :meth:`LabelNoise.for_part`.

        Raises:
            UserError: the file is missing or damaged, lacks the key, or does not have one label per example.
        """
        given, truth = self._read()
        for name, labels in ((self.key or "the array", given), (self._truth_key, truth)):
            if labels is not None and labels.shape != (num_train,):
                raise UserError(
                    f"{name} in {self.path} has shape {labels.shape} but the training set has {num_train} examples; "
                    "expected one label per example, in their order."
                )
        return _GivenLabels(repr(self), given[indices], None if truth is None else truth[indices])

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Relabel a whole training set; see :meth:`LabelNoise.apply`. For a part, call :meth:`for_part` first."""
        part = self.for_part(np.arange(len(labels)), len(labels))
        return part.apply(labels, features, num_classes, generator)

    @property
    def _truth_key(self) -> str:
        return _TRUTH_OF.get(self.key or "", "clean_label")

    def _read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Read the given labels, and the true labels if the file contains them."""
        path = Path(self.path)
        if self.key is None:
            return read_npy(path), None
        read = read_npz if path.suffix == ".npz" else read_pt
        arrays = read(path, [self.key], [self._truth_key])
        return arrays[self.key], arrays.get(self._truth_key)


@dataclass(frozen=True, eq=False, repr=False)
class _GivenLabels(LabelNoise):
    """A recipe that replaces labels by fixed ones.

    Attributes:
        origin: the recipe from which the labels come, for messages.
        given: the labels, [N].
        truth: the true labels according to the file, [N]; None if unknown.
    """

    origin: str
    given: np.ndarray
    truth: np.ndarray | None

    def __repr__(self) -> str:
        """Return the recipe from which the labels come."""
        return self.origin

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Replace the labels; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        given = check_labels(self.origin, self.given, len(labels), num_classes)
        if self.truth is not None and (wrong := int((self.truth != labels).sum())):
            raise UserError(
                f"{self.origin} was made for other data: {wrong} of its {len(labels)} true labels differ from the "
                "labels of the data; use the training set in its original order."
            )
        return NoisyLabels(given, labels, realised_transition(labels, given, num_classes))
