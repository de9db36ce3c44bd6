"""Weigh methods, for a mixture of their predictions, by the likelihood of noisy labels that are held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from vri_pyro.data import Arrays, Split
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.held_out import fit_held_out, held_out_parts

_LEAST = 500  # noisy labels; with fewer, the weights would depend on chance, and take longer than it is worth
_LEAST_WEIGHT = 0.1  # of a method that is worth its training
_GRID = 40  # cells of the grid from weight 0 to weight 1


@dataclass(frozen=True)
class MethodChoice:
    """The weights of the methods in a mixture of their predictions, and their scores.

    Attributes:
        weights: weight of each method, by name; they sum to one, and are 0 for methods that are left out.
        scales: number that the logits of each method are multiplied by, by name.
        scores: mean log-likelihood of the held-out labels, in nats per label, by name; empty if none were held out.
    """

    weights: Mapping[str, float]
    scales: Mapping[str, float]
    scores: Mapping[str, float]

    @property
    def chosen(self) -> list[str]:
        """Names of the methods whose weight is not 0, the greatest weight first."""
        return sorted((name for name, weight in self.weights.items() if weight), key=lambda name: -self.weights[name])


def choose_method(
    candidates: Mapping[str, Configuration],
    arrays: Arrays,
    split: Split,
    standardisation: tuple[np.ndarray, np.ndarray],
) -> MethodChoice:
    """Weigh methods by the likelihood of noisy labels that are held out.

    Every candidate is trained on 85% of the noisy labels and predicts the other 15%: under its own transition matrix T,
    and with its logits scaled by the number that suits them best. The weights are the mean of the posterior of
    :func:`mixture_weights`, where every network counts the same before any label is seen, so that a method with three
    networks counts three times. Methods of a weight below 0.1 are left out. With fewer than 2,000 noisy labels, three
    parts are held out in turn.

    With fewer than 500, nothing is held out. All networks of the methods that model the noise have equal weights, and
    no logits are scaled; the other methods fail where labels are confused in a pattern, which would have to be found
    out.

    A classifier and its T predict labels well if both are right. They do so too if two classes change places in both,
    but a T that starts from predictions does not get there, as long as most labels of a class are right.

    Args:
        candidates: configurations by the name of their method. They differ in the method and the number of networks.
        arrays, split, standardisation: see :func:`~vri_pyro.runs.building.build_trainer`.

    Returns:
        the choice; PyTorch's random state changes.
    """
    networks = np.array([configuration.networks for configuration in candidates.values()])
    if len(split.noisy_training_indices) < _LEAST:
        able = networks * [configuration.method.models_noise for configuration in candidates.values()]
        weights_of = dict(zip(candidates, (able / able.sum()).tolist(), strict=True))
        return MethodChoice(weights_of, dict.fromkeys(candidates, 1.0), {})
    parts, found, scales = list(held_out_parts(split)), [], []
    for configuration in candidates.values():
        quiet = replace(configuration, evaluate_every=configuration.epochs, networks=1, loggers=(), quiet=True)
        fits = [fit_held_out(quiet, arrays, part, standardisation, scaled=True) for part in parts]
        found.append(np.concatenate([fit.log_likelihood for fit in fits]))
        scales.append(float(np.exp(np.mean(np.log([fit.scale for fit in fits])))))
    weights = mixture_weights(np.stack(found, axis=1), networks)
    weights[weights < _LEAST_WEIGHT] = 0
    weights /= weights.sum()
    scores = [float(values.mean()) for values in found]
    return MethodChoice(*(dict(zip(candidates, of, strict=True)) for of in (weights.tolist(), scales, scores)))


def mixture_weights(log_likelihood: np.ndarray, concentration: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the posterior mean of the weights of a mixture of M predictions, [M], under a Dirichlet prior.

    Where a prediction is clearly better than the others, it gets nearly all the weight. Where the labels hardly tell
    predictions apart, their weights are nearly those of the prior, which is safer than to choose one of them by chance.

    Args:
        log_likelihood: log-likelihood of each held-out label under each prediction, in nats, [n, M].
        concentration: parameters of the Dirichlet prior, at least 1 each, [M]; all 1 for a uniform prior.

    Reference: mixtures of predictions weighted by held-out likelihood: Yao et al., Using stacking to average Bayesian
        predictive distributions, Bayesian Analysis 2018. They maximise the likelihood of the weights; this is the mean
        of their posterior, on a grid of 41 cells a weight.
    """
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    grid = np.array(list(_grid(likelihood.shape[1])))
    logs = np.array([np.log(likelihood @ weights).sum() for weights in grid])
    logs += np.log(grid) @ (np.asarray(concentration) - 1)
    posterior = np.exp(logs - logs.max())
    return posterior @ grid / posterior.sum()


def _grid(count: int) -> Iterator[list[float]]:
    """Yield the centres of the cells of a grid on the weights of ``count`` predictions; no weight is 0."""
    for bars in combinations(range(_GRID + count - 1), count - 1):
        edges = [-1, *bars, _GRID + count - 1]
        yield [(high - low - 1 + 1 / count) / (_GRID + 1) for low, high in pairwise(edges)]
