"""Choose the method from the data, by the likelihood of noisy labels that are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vri_pyro.data import Arrays, Split
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.held_out import held_out_likelihood, held_out_parts

LEAST = 500  # noisy labels; with fewer, the comparison would depend on chance, and take longer than it is worth


@dataclass(frozen=True)
class MethodChoice:
    """The chosen method, and the scores of all candidates.

    Attributes:
        chosen: name of the chosen method.
        scores: mean log-likelihood of the held-out labels, in nats per label, by name.
    """

    chosen: str
    scores: Mapping[str, float]


def choose_method(
    candidates: Mapping[str, Configuration],
    arrays: Arrays,
    split: Split,
    standardisation: tuple[np.ndarray, np.ndarray],
) -> MethodChoice:
    """Choose a method by the likelihood of noisy labels that are held out.

    Every candidate is trained on 85% of the noisy labels. The one that gives the other 15% the highest likelihood is
    chosen, under its own transition matrix T, and with its logits scaled by the number that suits them best. The first
    candidate is chosen unless that one is better by a standard error. With fewer than 2,000 noisy labels, three parts
    are held out in turn.

    A classifier and its T predict labels well if both are right. They do so too if two classes change places in both,
    but a T that starts from predictions does not get there, as long as most labels of a class are right.

    Args:
        candidates: configurations by the name of their method, the simplest first. They differ in the method alone.
        arrays, split, standardisation: see :func:`~vri_pyro.runs.building.build_trainer`.

    Returns:
        the choice; PyTorch's random state changes.
    """
    parts, found = list(held_out_parts(split)), {}
    for name, configuration in candidates.items():
        quiet = replace(configuration, evaluate_every=configuration.epochs, networks=1, loggers=(), quiet=True)
        found[name] = np.concatenate(
            [held_out_likelihood(quiet, arrays, part, standardisation, scaled=True) for part in parts]
        )
    scores = {name: float(values.mean()) for name, values in found.items()}
    first, best = next(iter(found)), max(scores, key=scores.__getitem__)
    lead = found[best] - found[first]
    return MethodChoice(best if lead.mean() > lead.std() / np.sqrt(len(lead)) else first, scores)
