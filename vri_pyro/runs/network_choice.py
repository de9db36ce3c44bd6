"""Choose the network and its weight decay from the data, by the likelihood of noisy labels that are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vri_pyro.backbones.mlp import MLP
from vri_pyro.data import Arrays, Split
from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.methods.learned_transition import LearnedTransition
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.held_out import fit_held_out, held_out_parts

#: options of a configuration that the choice sets
CHOSEN = ("backbone", "weight_decay", "choose_network")
_LEAST = 100  # noisy labels; with fewer, the choice would depend on chance
_MOST_STEPS = 3000
_FINALISTS = 3  # candidates that are compared on all parts
_LINEAR = (5e-4, 5e-3, 0.02, 0.1, 0.5, 2.0)
_HIDDEN = (5e-4, 5e-3, 0.02, 0.1)
_WIDTHS = (128, 64)


@dataclass(frozen=True)
class Candidate:
    """A network for vectors with its weight decay.

    Attributes:
        hidden: widths of the hidden layers of an :class:`~vri_pyro.backbones.MLP`; none for a linear classifier.
        weight_decay: weight decay.
    """

    hidden: tuple[int, ...]
    weight_decay: float

    @property
    def options(self) -> dict[str, Any]:
        """The options of a configuration that set this network."""
        backbone = {"class_path": "vri_pyro.backbones.MLP", "init_args": {"hidden": list(self.hidden), "dropout": 0.0}}
        return {"backbone": backbone, "weight_decay": self.weight_decay, "choose_network": False}

    def network(self, input_shape: tuple[int, ...], num_classes: int) -> MLP:
        """Build the network."""
        return MLP(input_shape, num_classes, hidden=self.hidden)

    def set_in(self, configuration: Configuration) -> Configuration:
        """Return a configuration with this network."""
        return replace(configuration, backbone=self.network, weight_decay=self.weight_decay, choose_network=False)


CANDIDATES = (
    *(Candidate((), decay) for decay in _LINEAR),
    *(Candidate(_WIDTHS, decay) for decay in _HIDDEN),
)


@dataclass(frozen=True)
class NetworkChoice:
    """The chosen network, and the scores of all candidates.

    Attributes:
        chosen: the chosen candidate.
        scores: mean log-likelihood of the held-out labels, in nats per label, by candidate.
    """

    chosen: Candidate
    scores: Mapping[Candidate, float]

    def described(self) -> str:
        """Describe the choice in a sentence."""
        widths = "-".join(map(str, self.chosen.hidden))
        network = f"a network with hidden layers of {widths} units" if widths else "a linear classifier"
        return (
            f"network: {network} with a weight decay of {self.chosen.weight_decay:g}, which predicts held-out noisy "
            "labels best; set --backbone to choose it yourself"
        )

    def table(self) -> list[dict[str, Any]]:
        """Return the candidates with their scores as plain values, best first."""
        order = sorted(self.scores, key=self.scores.__getitem__, reverse=True)
        return [
            {"hidden": list(one.hidden), "weight_decay": one.weight_decay, "log_likelihood": self.scores[one]}
            for one in order
        ]


def chooses(configuration: Configuration, arrays: Arrays, split: Split) -> bool:
    """Whether the network of a run is to be chosen.

    It is for vectors with at least 100 noisy labels, unless an option is set that has to do with the network.
    """
    options = configuration.backbone, configuration.weight_decay, configuration.trunk
    enough = len(split.noisy_training_indices) >= _LEAST
    return configuration.choose_network and set(options) == {None} and len(arrays.input_shape) == 1 and enough


def choose_network(
    configuration: Configuration, arrays: Arrays, split: Split, standardisation: tuple[np.ndarray, np.ndarray]
) -> NetworkChoice:
    """Choose the network and its weight decay by the likelihood of noisy labels that are held out.

    Every candidate is trained on 85% of the noisy labels, with cross entropy through a transition matrix T that is
    learned along (:class:`~vri_pyro.methods.LearnedTransition`), for as long as the main stage of the run. The one that
    gives the other 15% the highest likelihood is chosen. With fewer than 2,000 noisy labels, the best three candidates
    are compared on three different parts, held out in turn. A network with hidden layers has to be better than the best
    linear classifier by a standard error. The training has at most about 3,000 steps.

    A network that memorises wrong labels predicts other labels badly, and one that is too simple misses what the right
    labels have in common. Noisy labels are many where clean ones are few, so the choice depends little on chance. The
    transition matrix belongs to it: without T, a network with hidden layers would be preferred only because it can
    imitate the noise, such as a class whose labels are half its own and half another's.

    The candidates are linear classifiers and networks with hidden layers of 128 and 64 units, each with several weight
    decays. The more features and the more noise, the stronger the decay that is chosen.

    Args:
        configuration: the configuration of the run.
        arrays, split, standardisation: see :func:`~vri_pyro.runs.building.build_trainer`.

    Returns:
        the choice; PyTorch's random state changes.
    """
    steps = max(1, len(split.noisy_training_indices) // configuration.batch_size)  # per epoch
    epochs = min(configuration.epochs, -(-_MOST_STEPS // steps))
    preliminary = replace(
        configuration,
        epochs=epochs,
        method=LearnedTransition(clean_weight=CLEAN_WEIGHT if len(split.clean_indices) else 0.0),
        evaluate_every=epochs,
        networks=1,
        loggers=(),
        warm_up=None,
        fine_tuning=None,
        selection=None,
        clean_mixup=None,
    )
    first, *others = held_out_parts(split)

    def on(part: Split, candidate: Candidate) -> np.ndarray:
        return fit_held_out(candidate.set_in(preliminary), arrays, part, standardisation).log_likelihood

    found = {candidate: on(first, candidate) for candidate in CANDIDATES}
    if others:
        best = sorted(found, key=lambda one: found[one].mean(), reverse=True)[:_FINALISTS]
        found = {one: np.concatenate([found[one], *(on(part, one) for part in others)]) for one in best}
    return NetworkChoice(_best(found), {candidate: float(values.mean()) for candidate, values in found.items()})


def _best(found: Mapping[Candidate, np.ndarray]) -> Candidate:
    """Return the candidate with the highest mean; one with hidden layers has to be better by a standard error."""
    means = {candidate: values.mean() for candidate, values in found.items()}
    best = max(means, key=means.__getitem__)
    linear = max((one for one in means if not one.hidden), key=means.__getitem__, default=best)
    lead = found[best] - found[linear]
    return best if lead.mean() > lead.std() / np.sqrt(len(lead)) else linear
