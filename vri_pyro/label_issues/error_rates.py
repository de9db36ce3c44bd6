"""Error rates of all classes under a shared beta prior whose parameters are sampled, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import betaln, expit, gammaln, logit

TIES = np.geomspace(2, 2000, 10)  # κ
_LEAST, _SPLIT, _MOST = 1e-5, 0.1, 0.95  # smallest ρ, where its prior changes, and largest ρ
POINTS = 25  # values of t among which one is drawn at a time
_FINEST, _COARSEST = 3e-3, 1.0  # distance of these values
_TINY = 1e-12


class Shared(NamedTuple):
    """What the classes share, for B chains.

    Attributes:
        shift: t, [B].
        ties: κ, [B].
    """

    shift: np.ndarray
    ties: np.ndarray


class ErrorRates:
    """Prior of the error rates e of K classes, and its Gibbs updates.

    ::

        e[c] ~ Beta(κ ρ[c], κ (1 − ρ[c])),  logit ρ[c] = base[c] + t

    κ has a uniform prior on a grid of its logarithm. t is continuous: with many examples, a grid would hold it at one
    of its values.

    Args:
        base: ``base``, [K].
        log_density: function that returns the log prior density of t, up to a constant, for an array of values.
    """

    def __init__(self, base: np.ndarray, log_density: Callable[[np.ndarray], np.ndarray]) -> None:
        self._base, self._log_density = base, log_density

    def start(self, chains: int, shift: float = 0.0) -> Shared:
        """Return the first state of the chains."""
        return Shared(np.full(chains, shift), np.full(chains, 20.0))

    def parameters(self, shared: Shared) -> tuple[np.ndarray, np.ndarray]:
        """Return the parameters of the beta distribution of each class, [..., K] each."""
        mean = expit(self._base + shared.shift[..., None]).clip(_TINY, 1 - _TINY)
        return mean * shared.ties[..., None], (1 - mean) * shared.ties[..., None]

    def evidence(self, shared: Shared, wrong: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the log density of t and of the counts, with e integrated out, [B, values].

        Args:
            shared: values of t and κ, [B, values] each, or shapes that broadcast.
            wrong, right: counts of errors and of the others by class, [B, K].
        """
        ahead, behind = self.parameters(shared)
        found = gammaln(ahead + wrong[:, None]) + gammaln(behind + right[:, None]) - gammaln(ahead) - gammaln(behind)
        ties = shared.ties[..., None]
        found = found + gammaln(ties) - gammaln(ties + (wrong + right)[:, None])
        return np.asarray(found.sum(-1) + self._log_density(shared.shift))

    def log_prior(self, shared: Shared, rates: np.ndarray) -> np.ndarray:
        """Return the log prior density of t and of the log odds of the error rates, [B, K], given κ; [B]."""
        ahead, behind = self.parameters(shared)
        of_rates = ahead * np.log(rates) + behind * np.log1p(-rates) - betaln(ahead, behind)
        return np.asarray(of_rates.sum(-1) + self._log_density(shared.shift))

    def drawn(
        self, shared: Shared, wrong: np.ndarray, right: np.ndarray, generator: np.random.Generator
    ) -> tuple[Shared, np.ndarray]:
        """Draw t, then κ, then e, given the others and the counts of errors and of the rest by class, [B, K] each.

        t is drawn among equally spaced values, of which its last value is one. Their distance is random, and so is
        which of them is the last value, so that each value leads to any other as often as back.

        Returns:
            t and κ, and the error rates, [B, K].
        """
        chains = len(wrong)
        step = np.exp(generator.uniform(np.log(_FINEST), np.log(_COARSEST), (chains, 1)))
        place = generator.integers(POINTS, size=(chains, 1))
        shifts = shared.shift[:, None] + step * (np.arange(POINTS) - place)
        found = drawn_index(self.evidence(Shared(shifts, shared.ties[:, None]), wrong, right), generator)
        shift = shifts[np.arange(chains), found]
        logs = self.evidence(Shared(shift[:, None], np.tile(TIES, (chains, 1))), wrong, right)
        shared = Shared(shift, TIES[drawn_index(logs, generator)])
        ahead, behind = self.parameters(shared)
        return shared, generator.beta(ahead + wrong, behind + right)


def noise_rates(classes: int) -> ErrorRates:
    """Return the prior of the noise rates of all classes: with ρ = expit(t) uniform above 0.1, log-uniform below."""
    return ErrorRates(np.zeros(classes), _log_density_of_noise)


def _log_density_of_noise(shift: np.ndarray) -> np.ndarray:
    rate = expit(shift)
    log_density = np.where(
        rate < _SPLIT,
        -np.log(np.log(_SPLIT / _LEAST)) - np.log(rate.clip(_TINY)),
        -np.log(_MOST - _SPLIT),
    )
    of_shift = log_density + np.log(rate.clip(_TINY)) + np.log1p(-rate.clip(0, 1 - _TINY))
    return np.where((rate >= _LEAST) & (rate <= _MOST), of_shift, -np.inf)


def scaled_rates(own: np.ndarray, doubt: float) -> ErrorRates:
    """Return the prior of error rates around estimates, [K]: with log odds that are shifted by t ~ Normal(0, doubt)."""
    return ErrorRates(logit(own), lambda shift: -(shift**2) / (2 * doubt**2))


def drawn_index(log_evidence: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw an index with probabilities proportional to the evidence, [..., values]."""
    weights = np.exp(log_evidence - log_evidence.max(-1, keepdims=True)).cumsum(-1)
    drawn = generator.random((*weights.shape[:-1], 1)) * weights[..., -1:]
    return np.asarray((drawn > weights).sum(-1))
