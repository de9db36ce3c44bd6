"""Gibbs sampler of a recalibrated classifier, a transition matrix and the true classes of noisy labels."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import expit, gammaln, logit

from vri_pyro.label_issues.error_rates import Shared, drawn_index, noise_rates

_SPREADS = np.geomspace(0.09, 900, 13)  # α, the total concentration of a row of ω
_TRUST = np.geomspace(0.5, 500, 11)  # s
_FLOOR = float(np.log(0.01)), 0.5  # prior mean and standard deviation of the log odds of ε
_OFTENER = 0.5  # prior standard deviation of log r
_SLOPE = 0.5  # prior standard deviation of log b
_TINY, _MOST = 1e-30, 1 - 1e-12
_STEPS = 0.05  # first standard deviations of the joint proposal
_WIDEST = 0.5  # greatest standard deviation of the joint proposal, before it is scaled
_ADAPT, _ACCEPTED = 20, 0.3  # sweeps between two adaptations of the proposal, and the share to accept


class Candidates(NamedTuple):
    """Predictions of n examples for m candidate classes each, out of sample.

    Attributes:
        classes: the candidates, int64 [n, m]. The first one is the given label of a noisy example, or the true class
            of a trusted one.
        p: probability of the true class, positive [n, m].
        likeness: p of a wrong label y = ``classes[:, 0]`` given that class c is true, if wrong labels follow the
            prediction of the given label, [n, m]; column 0 is not used.
        excess: the same if wrong labels follow what that prediction has beyond the true class, [n, m].
    """

    classes: np.ndarray
    p: np.ndarray
    likeness: np.ndarray
    excess: np.ndarray

    def at(self, rows: np.ndarray | slice) -> Candidates:
        """Return the candidates of some examples."""
        return Candidates(*(part[rows] for part in self))

    @property
    def decided(self) -> np.ndarray:
        """The most probable candidate, int64 [n]."""
        return self.classes[np.arange(len(self.p)), self.p.argmax(1)]


class Indexed(NamedTuple):
    """Candidates with what a sweep needs of them, computed once.

    Attributes:
        candidates: the candidates.
        log_p: log p relative to the largest of a row, so that powers do not underflow, float32 [n, m].
        others: whether a candidate is not the decision, bool [n, m].
        cells: positions of (decision, candidate) in a raveled matrix, int64 [n, m].
        flips: positions of (candidate, first candidate), int64 [n, m].
    """

    candidates: Candidates
    log_p: np.ndarray
    others: np.ndarray
    cells: np.ndarray
    flips: np.ndarray

    @classmethod
    def of(cls, candidates: Candidates, num_classes: int) -> Indexed:
        """Index candidates."""
        classes, p, decided = candidates.classes, candidates.p, candidates.decided[:, None]
        log_p = np.log(p / p.max(1, keepdims=True, initial=0)).astype(np.float32)
        return cls(
            candidates,
            log_p,
            classes != decided,
            decided * num_classes + classes,
            classes * num_classes + classes[:, :1],
        )


class TrustedCandidates(NamedTuple):
    """Trusted examples.

    Attributes:
        candidates: their candidates, of M examples; ``likeness`` and ``excess`` are not used.
        given: their earlier, noisy labels, int64 [M]; -1 where unknown.
        factor: how much more often a class is among the trusted than among the noisy examples, [K]; 0 if it is not.
    """

    candidates: Candidates
    given: np.ndarray
    factor: np.ndarray


class State(NamedTuple):
    """The unknowns that all labels share.

    Attributes:
        weights: w, [K, K], by decision and class.
        log_slope: log b.
        log_floor: log odds of ε.
        log_oftener: log r.
        wrong: e, [K].
        shape: ω, [K, K], with zero diagonal.
        follows: q.
        alike: v.
        trust: s.
        spread: α.
        shared: logit ρ and κ, [1] each.
    """

    weights: np.ndarray
    log_slope: float
    log_floor: float
    log_oftener: float
    wrong: np.ndarray
    shape: np.ndarray
    follows: float
    alike: float
    trust: float
    spread: float
    shared: Shared


class LabelSampler:
    """Gibbs sampler of the model

    ::

        p(z = c | x) ∝ w[d, c] r^[c ≠ d] ((1 − ε) p_c(x)^b / Σ p(x)^b + ε / K)      the true class, d = argmax p(x)
        p(y = z | z) = 1 − e[z]                                                      the given label
        p(y | z, x) = e[z] ((1 − q) ω[z, y] + q (v h_y(x) + (1 − v) g_y(x)))         for y ≠ z

    p are predictions by classifiers that saw neither y nor z. The slope b, the floor ε, the factor r of all errors and
    the weights w recalibrate them: log b and log r ~ Normal(0, 1/2), logit ε ~ Normal(log 0.01, 1/2), w ~ Gamma(s, s).
    h and g let the wrong label of an example depend on the example, as the likeness and the excess of
    :class:`Candidates`. The priors of the noise are e[c] ~ Beta(κρ, κ(1 − ρ)), ω[c] ~ Dirichlet(α / (K − 1), …), q and
    v uniform. log s, log α and log κ are uniform on grids; ρ is uniform above 0.1 and log-uniform below.

    Trusted examples have a known class z and enter through the first line; those with a known given label through all
    three, where wrong ones count as flips by ω alone. Given the true classes, auxiliary gamma variables make the
    weights conjugate (Caron & Doucet 2012). In addition, each sweep proposes a joint move of b, ε, r, v and the level
    of e and ρ, with the true classes summed out, because these are strongly dependent.

    Args:
        noisy: candidates of the N noisy examples.
        trusted: trusted examples.
        num_classes: number of classes K.
        weight: weight of a noisy label where it teaches the recalibration; with 1, the exact posterior is sampled.
        generator: source of randomness.
        pairs: true classes and given labels of further examples, int64 [P] each, which enter through the other two
            lines alone.

    Attributes:
        burn_in: sweeps before the first draw. They tune the joint proposal.
    """

    burn_in: ClassVar[int] = 150

    def __init__(
        self,
        noisy: Candidates,
        trusted: TrustedCandidates,
        num_classes: int,
        weight: float,
        generator: np.random.Generator,
        pairs: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._noisy, self._trusted, self._size, self._generator = noisy, trusted, num_classes, generator
        self._weight = weight
        together = zip(noisy, trusted.candidates, strict=True)
        self._all = Indexed.of(Candidates(*(np.concatenate(pair) for pair in together)), num_classes)
        self._flips = self._all.flips[: len(noisy.p)]
        self._factor = trusted.factor.astype(np.float32)[trusted.candidates.classes]
        self._counted = np.r_[np.full(len(noisy.p), weight), np.ones(len(trusted.given))]
        self._off = ~np.eye(num_classes, dtype=bool)
        known = trusted.given >= 0
        truth = trusted.candidates.classes[:, 0]
        self._pairs = np.zeros((num_classes, num_classes))
        np.add.at(self._pairs, (truth[known], trusted.given[known]), 1)
        if pairs is not None:
            np.add.at(self._pairs, pairs, 1)
        self._rates = noise_rates(num_classes)
        self._covariance, self._scale = _STEPS**2 * np.eye(5), 1.0
        self._path: list[np.ndarray] = []
        self._accepted = 0
        others = self._off / (num_classes - 1)
        self.state = State(
            weights=np.ones((num_classes, num_classes)),
            log_slope=0.0,
            log_floor=_FLOOR[0],
            log_oftener=0.0,
            wrong=np.full(num_classes, 0.2),
            shape=others,
            follows=0.1,
            alike=0.5,
            trust=10.0,
            spread=1.0,
            shared=self._rates.start(1, shift=float(logit(0.2))),
        )
        self._powers = self._all.log_p
        self._refresh()

    def sweep(self, adapt: bool) -> None:
        """Draw all unknowns once, each given the others; ``adapt`` tunes the joint proposal and is for the burn-in."""
        self._move()
        chosen = self._drawn(self._joint * self._likelihood)
        wrong = chosen > 0
        truth = np.take_along_axis(self._noisy.classes, chosen[:, None], 1)[:, 0]
        self._draw_noise(truth, wrong, chosen)
        self._draw_weights(np.concatenate([truth, self._trusted.candidates.classes[:, 0]]))
        self._refresh()
        if adapt:
            self._adapt()

    def posterior(self, indexed: Indexed) -> np.ndarray:
        """Return p(z | x, y) of noisy examples under the current state, [n, m]."""
        powers = self._recalibrated(self.state, indexed.log_p, indexed.others)
        joint = self.state.weights.astype(np.float32).ravel()[indexed.cells] * powers
        joint = joint * self._likelihood_of(indexed.candidates, indexed.flips, self.state)
        return np.asarray(joint / joint.sum(1, keepdims=True))

    def transition(self) -> np.ndarray:
        """Draw T given the classes of the last sweep, [K, K]; it has all wrong labels, whether they follow x or not."""
        size = self._size
        rows = self._flipped[self._off].reshape(size, size - 1) + self.state.spread / (size - 1)
        found = np.empty((size, size))
        found[self._off] = (self.state.wrong[:, None] * _dirichlet(self._generator, rows)).ravel()
        found[~self._off] = 1 - self.state.wrong
        return found

    def _refresh(self) -> None:
        self._joint, self._norms, self._of_truth = self._joint_of(self.state, self._powers_of(self.state))
        self._likelihood = self._likelihood_of(self._noisy, self._flips, self.state)

    def _powers_of(self, state: State) -> np.ndarray:
        powers = self._recalibrated(state, self._all.log_p, self._all.others)
        powers[len(self._noisy.p) :] *= self._factor
        return powers

    def _recalibrated(self, state: State, log_p: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return (1 − ε) p^b / Σ p^b + ε / K, times r for other classes than the decision, [n, m]."""
        powers = np.exp(np.float32(np.exp(state.log_slope)) * log_p)
        floor = np.float32(expit(state.log_floor))
        found = powers * ((1 - floor) / powers.sum(1, keepdims=True)) + floor / np.float32(self._size)
        return np.asarray(np.where(others, np.float32(np.exp(state.log_oftener)) * found, found))

    def _joint_of(self, state: State, powers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return w p^b of noisy examples, [N, m], its sums of all, [n], and its value for trusted classes, [M]."""
        self._powers = powers
        joint = state.weights.astype(np.float32).ravel()[self._all.cells] * powers
        count = len(self._noisy.p)
        return joint[:count], joint.sum(1), joint[count:, 0]

    def _likelihood_of(self, candidates: Candidates, flips: np.ndarray, state: State) -> np.ndarray:
        """Return p(y | z = c, x) of the candidates c, [n, m]."""
        wrong, q, v = state.wrong.astype(np.float32), np.float32(state.follows), np.float32(state.alike)
        found = (1 - q) * state.shape.astype(np.float32).ravel()[flips]
        found += q * (v * candidates.likeness + (1 - v) * candidates.excess)
        found *= wrong[candidates.classes]
        found[:, 0] = 1 - wrong[candidates.classes[:, 0]]
        return np.asarray(found)

    def _log_likelihood(
        self, joint: np.ndarray, norms: np.ndarray, of_truth: np.ndarray, likelihood: np.ndarray
    ) -> float:
        count = len(joint)
        noisy = np.log((joint * likelihood).sum(1) + _TINY).sum(dtype=float) - np.log(norms[:count]).sum(dtype=float)
        trusted = np.log(of_truth + _TINY).sum(dtype=float) - np.log(norms[count:] + _TINY).sum(dtype=float)
        return float(self._weight * noisy + trusted)

    def _log_prior_of(self, state: State) -> float:
        """Log prior of what a joint move changes, in its coordinates, with the pairs' likelihood of e."""
        right, wrong = self._pairs.diagonal(), np.where(self._off, self._pairs, 0).sum(1)
        found = -(state.log_slope**2) / (2 * _SLOPE**2) - ((state.log_floor - _FLOOR[0]) / _FLOOR[1]) ** 2 / 2
        found += -(state.log_oftener**2) / (2 * _OFTENER**2) + np.log(state.alike) + np.log1p(-state.alike)
        found += (wrong * np.log(state.wrong) + right * np.log1p(-state.wrong)).sum()
        found += self._rates.log_prior(state.shared, state.wrong[None])[0]
        return float(found)

    def _move(self) -> None:
        """Propose a joint move of b, ε, r, v and the level of e and ρ, with the true classes summed out."""
        old, step = self.state, self._scale * self._generator.multivariate_normal(np.zeros(5), self._covariance)
        new = old._replace(
            log_slope=old.log_slope + step[0],
            log_floor=old.log_floor + step[4],
            wrong=expit(logit(old.wrong) + step[1]).clip(_TINY, _MOST),
            shared=old.shared._replace(shift=old.shared.shift + step[1]),
            log_oftener=old.log_oftener + step[2],
            alike=float(expit(logit(old.alike) + step[3]).clip(1e-6, 1 - 1e-6)),
        )
        powers = self._powers
        joint, norms, of_truth = self._joint_of(new, self._powers_of(new))
        likelihood = self._likelihood_of(self._noisy, self._flips, new)
        gain = self._log_likelihood(joint, norms, of_truth, likelihood) + self._log_prior_of(new)
        gain -= self._log_likelihood(self._joint, self._norms, self._of_truth, self._likelihood)
        gain -= self._log_prior_of(old)
        if np.log(self._generator.random()) < gain:
            self.state, self._joint, self._norms, self._of_truth = new, joint, norms, of_truth
            self._likelihood = likelihood
            self._accepted += 1
        else:
            self._powers = powers

    def _adapt(self) -> None:
        state = self.state
        level = logit(state.wrong).mean()
        self._path.append(np.array([state.log_slope, level, state.log_oftener, logit(state.alike), state.log_floor]))
        if len(self._path) % _ADAPT:
            return
        self._scale *= np.exp(2 * (self._accepted / _ADAPT - _ACCEPTED))
        self._accepted = 0
        if len(self._path) >= 3 * _ADAPT:
            if len(self._path) == 3 * _ADAPT:
                self._scale = 1.0  # that of the first proposal does not suit this one
            found = np.cov(np.array(self._path[len(self._path) // 3 :]).T) + 1e-6 * np.eye(5)
            shrunk = np.minimum(1, _WIDEST / np.sqrt(found.diagonal()))
            self._covariance = found * np.outer(shrunk, shrunk)

    def _drawn(self, weights: np.ndarray) -> np.ndarray:
        """Draw a column of each row with probabilities proportional to the weights, int64 [n]."""
        sums = weights.cumsum(1)
        drawn = self._generator.random(len(weights), dtype=np.float32) * sums[:, -1]
        return np.asarray((sums <= drawn[:, None]).sum(1).clip(0, weights.shape[1] - 1))

    def _draw_noise(self, truth: np.ndarray, wrong: np.ndarray, chosen: np.ndarray) -> None:
        """Draw q, the hyperparameters, e and ω given the true classes of the noisy examples."""
        rng, size, state = self._generator, self._size, self.state
        rows = np.flatnonzero(wrong)
        flips, columns = self._flips[rows, chosen[rows]], chosen[rows]
        alike = state.alike * self._noisy.likeness[rows, columns]
        directed = state.follows * (alike + (1 - state.alike) * self._noisy.excess[rows, columns])
        any_way = (1 - state.follows) * state.shape.ravel()[flips]
        follows = rng.random(len(rows)) * (directed + any_way) < directed
        q = rng.beta(1 + follows.sum(), 1 + (~follows).sum())
        pairs = np.where(self._off, self._pairs, 0)
        counts = pairs + np.bincount(flips[~follows], minlength=size**2).reshape(size, size)
        self._flipped = pairs + np.bincount(flips, minlength=size**2).reshape(size, size)
        right = self._pairs.diagonal() + np.bincount(truth[~wrong], minlength=size)
        bad = self._flipped.sum(1)
        shared, rate = self._rates.drawn(state.shared, bad[None], right[None], rng)
        rest = counts[self._off].reshape(size, size - 1)
        spread = float(_SPREADS[drawn_index(_shape_evidence(rest, _SPREADS), rng)])
        shape = np.zeros((size, size))
        shape[self._off] = _dirichlet(rng, spread / (size - 1) + rest).ravel()
        rate = rate[0].clip(_TINY, _MOST)
        self.state = state._replace(wrong=rate, shape=shape, follows=float(q), spread=spread, shared=shared)

    def _draw_weights(self, truth: np.ndarray) -> None:
        """Draw s and w given the true classes of all examples."""
        rng, size = self._generator, self._size
        times = rng.standard_gamma(self._counted) / self._norms
        exposure = np.bincount(
            self._all.cells.ravel(), (self._powers * times.astype(np.float32)[:, None]).ravel(), size**2
        )
        counts = np.bincount(self._all.cells[:, 0] - self._all.candidates.classes[:, 0] + truth, self._counted, size**2)
        trust = float(_TRUST[drawn_index(_weight_evidence(counts, exposure, _TRUST), rng)])
        weights = np.exp(_log_gamma(rng, trust + counts)) / (trust + exposure)
        weights = weights.reshape(size, size)
        # A row's scale has no effect on the likelihood, so it is drawn from the prior.
        weights *= (rng.standard_gamma(size * trust, size) / trust / weights.sum(1))[:, None]
        self.state = self.state._replace(weights=weights.clip(_TINY), trust=trust)


def _shape_evidence(counts: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Log p of counts, [K, K - 1], under Dirichlet-multinomials of each concentration, [grid]."""
    each, some = spreads[:, None] / counts.shape[1], counts[counts > 0]
    rows = gammaln(spreads)[:, None] - gammaln(spreads[:, None] + counts.sum(1))
    return np.asarray(rows.sum(1) + (gammaln(each + some) - gammaln(each)).sum(1))


def _weight_evidence(counts: np.ndarray, exposure: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Log p of counts given exposures, [cells], under gamma priors of each strength, [grid]."""
    counts, exposure = counts[exposure > 0], exposure[exposure > 0]
    found, some = [], counts[counts > 0]
    for s in trust:
        logs = np.log(s + exposure)
        likely = (s * (np.log(s) - logs) - counts * logs).sum()
        found.append(likely + (gammaln(s + some) - gammaln(s)).sum())
    return np.array(found)


def _log_gamma(generator: np.random.Generator, shape: np.ndarray) -> np.ndarray:
    """Draw log gamma variables, which does not underflow for small shapes."""
    return np.asarray(np.log(generator.standard_gamma(shape + 1)) + np.log1p(-generator.random(shape.shape)) / shape)


def _dirichlet(generator: np.random.Generator, concentration: np.ndarray) -> np.ndarray:
    logs = _log_gamma(generator, concentration)
    found = np.exp(logs - logs.max(axis=-1, keepdims=True)) + _TINY
    return np.asarray(found / found.sum(axis=-1, keepdims=True))
