"""The methods of the bench: functions of what a user has, which return predictions for the test set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from baselines import BASELINES
from baselines import Given as Vectors

from bench.cells import Given
from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP
from vri_pyro.methods import ELR, GLC, LearnedTransition, Method
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.network_choice import Candidate

VALIDATION = 0.2  # share of the trusted labels of each class, as in VRIClassifier
Answer = tuple[np.ndarray, Mapping[str, Any]]


@dataclass(frozen=True)
class Competitor:
    """A method with its requirements.

    Attributes:
        predict: returns class probabilities of the test set, [n, K], and further facts for the record, from the data
            and, if another method has chosen it for the same data, the network.
        images: whether it takes images.
        least_trusted: least number of trusted labels per class.
        semi_supervised: whether it predicts labels for some examples and trains on two views; it has a table of its
            own.
    """

    predict: Callable[[Given, Candidate | None], Answer]
    images: bool = True
    least_trusted: int = 0
    semi_supervised: bool = False

    def takes(self, kind: str, trusted: int) -> bool:
        """Whether the method can be used on such data."""
        return (self.images or kind != "images") and trusted >= self.least_trusted


class WithNetwork(VRIClassifier):
    """A VRIClassifier whose network has been chosen already; it depends on the data and the seed, not on the method."""

    chosen: Candidate | None = None

    def _configuration(self, *arguments: Any) -> Configuration:
        found = super()._configuration(*arguments)
        return found if self.chosen is None else self.chosen.set_in(found)


def estimator(given: Given, chosen: Candidate | None, **options: Any) -> Answer:
    """Train a VRIClassifier and predict the test set."""
    classifier = WithNetwork(device="cpu", random_state=given.seed, **options)
    classifier.chosen = None if "backbone" in options else chosen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no trusted labels; duplicates
        classifier.fit(given.x, given.y, trusted=given.trusted if given.trusted.any() else None)
    probabilities = np.zeros((len(given.x_test), given.num_classes))
    probabilities[:, classifier.classes_.astype(int)] = classifier.predict_proba(given.x_test)
    facts: dict[str, Any] = {}
    if (network := classifier.network_choice_) is not None:
        facts["network"] = {"hidden": list(network.chosen.hidden), "weight_decay": network.chosen.weight_decay}
    if (method := classifier.method_choice_) is not None:
        facts |= {"methods": dict(method.scores), "weights": dict(method.weights), "scales": dict(method.scales)}
    return probabilities, facts


def own(method: Method | str, **options: Any) -> Callable[[Given, Candidate | None], Answer]:
    """Return a function that trains VRIClassifier with a method."""
    return partial(estimator, method=method, **options)


def averaged(networks: int, method: Method) -> Callable[[Given, Candidate | None], Answer]:
    """Return a function that averages the predictions of several networks, trained with different seeds."""

    def predict(given: Given, chosen: Candidate | None) -> Answer:
        answers = [
            estimator(given._replace(seed=given.seed + member), chosen, method=method) for member in range(networks)
        ]
        return np.mean([probabilities for probabilities, _ in answers], axis=0), {}

    return predict


def linear(input_shape: tuple[int, ...], num_classes: int) -> MLP:
    """Build a linear classifier."""
    return MLP(input_shape, num_classes, hidden=())


def baseline(name: str) -> Callable[[Given, Candidate | None], Answer]:
    """Return a function that predicts with a baseline on vectors."""

    def predict(given: Given, _: Candidate | None) -> Answer:
        generator = np.random.default_rng(given.seed)
        x, x_test = (part.reshape(len(part), -1).astype(float) for part in (given.x, given.x_test))
        trusted = np.flatnonzero(given.trusted)
        shuffled = generator.permutation(trusted)
        members = [shuffled[given.y[shuffled] == label] for label in range(given.num_classes)]
        held_out = np.concatenate([one[: int(VALIDATION * len(one))] for one in members])
        # The baselines want validation examples: trusted ones, or noisy ones if there are too few of these.
        if not len(held_out):
            held_out = generator.permutation(np.flatnonzero(~given.trusted))[: len(x) // 10]
        clean = np.setdiff1d(trusted, held_out)
        noisy = np.setdiff1d(np.flatnonzero(~given.trusted), held_out)
        parts = [array for rows in (noisy, clean, held_out) for array in (x[rows], given.y[rows])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no convergence
            return BASELINES[name](Vectors(*parts, x_test, given.num_classes, given.seed)), {}

    return predict


# "Network chosen" methods take the network that the default has chosen, without its cost.
COMPETITORS = {
    "default": Competitor(own("auto")),
    "VRI, network chosen": Competitor(own("vri"), least_trusted=1),
    "learned T, network chosen": Competitor(own("learned_transition")),
    "learned T + clean batch, network chosen": Competitor(own(LearnedTransition(clean_weight=0.2)), least_trusted=1),
    "three learned T + clean batch, network chosen": Competitor(
        averaged(3, LearnedTransition(clean_weight=0.2)), least_trusted=1
    ),
    "GLC + clean batch": Competitor(own(GLC(clean_weight=0.2), backbone=linear), images=False, least_trusted=1),
    "GLC + clean batch, network chosen": Competitor(own(GLC(clean_weight=0.2)), least_trusted=1),
    "ELR, network chosen": Competitor(own("elr")),
    "ELR + clean batch, network chosen": Competitor(own(ELR(clean_weight=0.2)), least_trusted=1),
    "SOP, network chosen": Competitor(own("sop")),
    "PES, network chosen": Competitor(own("pes")),
    "EMLC, network chosen": Competitor(own("emlc"), least_trusted=1),
    "BOME, network chosen": Competitor(own("bome"), least_trusted=1),
    "DivideMix, network chosen": Competitor(own("dividemix"), semi_supervised=True),
    "DivideMix with clean labels, network chosen": Competitor(
        own("dividemix_clean"), least_trusted=1, semi_supervised=True
    ),
    "cross entropy, network chosen": Competitor(own("cross_entropy")),
    **{name: Competitor(baseline(name), images=False) for name in BASELINES if name != "majority class"},
}
COMPETITORS["linear probe"] = Competitor(baseline("linear probe"), images=False, least_trusted=1)
