"""Gibbs sampler of the transition matrix: classifier and given labels as two noisy observers of the true class."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import gammaln

from vri_pyro.label_issues.error_rates import POINTS, ErrorRates, Shared, drawn_index, noise_rates, scaled_rates

_DOUBT = 1.0  # prior standard deviation of log r
_SPREADS = np.geomspace(0.09, 900, 13)  # α, the total concentration of a row
_FIRST_TRUST = 200.0
_FOLLOWED, _OF_WRONG = (0.5, 1.0), (0.5, 15.0)  # Beta distributions of u and b
_STEPS = 50  # EM steps that initialise the chains
_SWEEPS = 100  # sweeps before the first draw of a chain
_BETWEEN = 20  # sweeps between two draws of a chain
_FEW = 64  # cells with at most this many examples are resampled as a block
_KEPT = 20_000_000  # maximum number of entries of all draws of T
_TINY = 1e-40  # the product of five is still above the denormal numbers
_MOST = 1 - np.finfo(float).eps  # maximum of a rate


class _Matrix(NamedTuple):
    """M or T of B chains.

    Attributes:
        entries: the matrix, [B, K, K].
        wrong: one minus the diagonal, [B, K]. It is stored because it may be lost to rounding in the diagonal.
        spread: s (for M) or α (for T), [B].
        shared: what its error rates share.
    """

    entries: np.ndarray
    wrong: np.ndarray
    spread: np.ndarray
    shared: Shared


class _Chains(NamedTuple):
    """The state of B chains.

    Attributes:
        share: π, [B, K].
        confusion: M.
        transition: T.
        right: number of examples whose given label is correct, [B].
    """

    share: np.ndarray
    confusion: _Matrix
    transition: _Matrix
    right: np.ndarray


class _Groups(NamedTuple):
    """Cells sorted by group.

    Attributes:
        order: indices of the cells in sorted order, int64 [cells].
        starts: start of each group in that order, int64 [groups].
        present: the groups that have cells, int64 [groups].
    """

    order: np.ndarray
    starts: np.ndarray
    present: np.ndarray


def _grouped(groups: np.ndarray) -> _Groups:
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    return _Groups(order, starts, present)


class TwoObservers:
    """Gibbs sampler for the transition matrix T, given counts of classifier decisions and given labels.

    The model is

    ::

        c ~ π,  k ~ M[c, ·],  y ~ T[c, ·]        an example's true class, decision and given label
        π ~ Dirichlet(1, …)
        T[c, c] = 1 − e[c],  e[c] ~ Beta(κρ, κ(1 − ρ))
        T[c, ≠ c] = e[c] ω[c],  ω[c] ~ Dirichlet(α / (K − 1), …)

    M has the same form with its own κ and with the priors

    ::

        logit ρ[c] = logit own e[c] + log r,  ω[c] ~ Dirichlet(s / (K − 1), …)

    where "own" denotes the error rates that the classifier's own probabilities imply. log r is normal around 0; ρ is
    uniform above 0.1 and log-uniform below; log α, log s and log κ are uniform on grids.

    * α determines whether a class is flipped to one other class (small α) or to all of them uniformly (large α).
    * ρ and κ share information about the error rate between the classes.
    * r lets the classifier's error rate differ from the rate that its probabilities imply.
    * s is to the classifier's errors what α is to those of the labels. Which classes it confuses is not taken from its
      probabilities: if they understate how often two classes are confused, these errors would count as wrong labels.

    A classifier that was trained on the labels may also reproduce memorised labels ("follow" them): independently of M,
    it decides k = y for a share u of the correct labels and a share u b of the wrong ones.

    A verified pair is an example whose class c and given label y are both known: it counts for π and T as an example of
    that class. It is part of the likelihood of all labels, so the posterior is right also if a pair was chosen because
    of its label and decision, as long as its decision is among ``trusted``.

    Args:
        decided, given: decision k and given label y of each example, int64 [N].
        own_word: number of examples of class c with decision k that the classifier's probabilities imply, positive
            [K, K].
        trusted: number of trusted examples of class c with decision k, [K, K].
        generator: source of randomness.
        pairs: number of verified pairs of class c with given label y, [K, K]; None if there are none.
    """

    steps: ClassVar[int] = _STEPS
    sweeps: ClassVar[int] = _SWEEPS
    between: int = _BETWEEN

    def __init__(
        self,
        decided: np.ndarray,
        given: np.ndarray,
        own_word: np.ndarray,
        trusted: np.ndarray,
        generator: np.random.Generator,
        pairs: np.ndarray | None = None,
    ) -> None:
        self._classes = classes = len(own_word)
        table = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(table, (decided, given), 1)
        self._rows, self._columns = np.nonzero(table)
        self._counts = table[self._rows, self._columns]
        self._agreed = np.flatnonzero(self._rows == self._columns)
        # No two cells at the same distance from the diagonal share a decision or a label.
        apart = np.where(self._counts <= _FEW, (self._columns - self._rows) % classes, 0)
        self._readable = [np.flatnonzero(apart == distance) for distance in np.unique(apart[apart > 0])]
        self._share = _normalised(own_word.sum(1))
        self._own = _normalised(own_word)
        self._trusted = trusted
        self._pairs = np.zeros((classes, classes)) if pairs is None else pairs.astype(float)
        self._generator = generator
        self._decisions, self._labels = _grouped(self._rows), _grouped(self._columns)
        self._agreed_on = _grouped(self._rows[self._agreed])
        self._off = ~np.eye(classes, dtype=bool)
        self._noises, self._errors = noise_rates(classes), scaled_rates(self._wrong(self._own[None])[0], _DOUBT)
        self._any_shape = np.full((classes, classes - 1), 1 / (classes - 1))

    @cached_property
    def _by_label(self) -> np.ndarray:
        """Whether the class is the given label, by cell and class, bool [cells, K]."""
        return self._columns[:, None] == np.arange(self._classes)

    @property
    def entries(self) -> int:
        """Number of entries of the largest array of a chain."""
        return max(len(self._counts), self._classes, POINTS) * self._classes

    def sample(
        self, draws: int, chains: int, follows: float, progress: Callable[[float], None] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sample T and the number of correct labels.

        Args:
            draws: number of draws.
            chains: number of chains that run in parallel. The draws are taken from them in turn.
            follows: largest share of correct labels that the classifier may follow. Each draw has new values of u, up
                to this share, and of b. With 0, no label is followed.
            progress: function that is called with the share of the sweeps that are done.

        Returns:
            draws of T, [matrices, K, K], and of the number of correct labels, [draws]. If the draws of T would have
            more than 20 million entries, evenly spaced ones are kept.
        """
        state = self._first(chains)
        matrices, right = [], []
        rounds = -(-draws // chains)
        every = -(-rounds * chains * self._classes**2 // _KEPT)
        total = self.sweeps + (rounds - 1) * self.between
        for number in range(rounds):
            followed = self._followed(chains, float(follows)) if follows else None
            if number == 0:
                for _ in range(self.steps):
                    state = self._maximised(state, followed)
            for sweep in range(self.between if number else self.sweeps):
                state = self._sweep(state, followed)
                if progress is not None:
                    progress((sweep + 1 + (self.sweeps + (number - 1) * self.between if number else 0)) / total)
            if number % every == 0:
                matrices.append(state.transition.entries)
            right.append(state.right)
        return np.concatenate(matrices)[:draws], np.concatenate(right)[:draws]

    def _first(self, chains: int) -> _Chains:
        confusion = self._dirichlet(np.tile(_FIRST_TRUST * self._own + self._trusted, (chains, 1, 1)))
        half = np.where(self._off, 0.5 / (self._classes - 1), 0.5)
        share, transition = np.tile(self._share, (chains, 1)), np.tile(half, (chains, 1, 1))
        one = np.ones(chains)
        return _Chains(
            share,
            confusion=_Matrix(confusion, self._wrong(confusion), one, self._errors.start(chains)),
            transition=_Matrix(transition, self._wrong(transition), one, self._noises.start(chains)),
            right=np.zeros(chains),
        )

    def _wrong(self, entries: np.ndarray) -> np.ndarray:
        return np.where(self._off, entries, 0).sum(2).clip(_TINY, _MOST)

    def _followed(self, chains: int, most: float = 1.0) -> np.ndarray:
        """Draw the share of examples whose label is followed, by cell and class, [B, cells, K]."""
        right, of_wrong = (self._generator.beta(*shape, (chains, 1, 1)) for shape in (_FOLLOWED, _OF_WRONG))
        right = most * right
        return np.where(self._by_label, right, right * of_wrong)

    def _likelihood(self, confusion: np.ndarray, followed: np.ndarray | None) -> np.ndarray:
        """p(k | c, y) by cell and class, [B, cells, K]."""
        likelihood = confusion.transpose(0, 2, 1)[:, self._rows]
        if followed is None:
            return likelihood
        likelihood = likelihood * (1 - followed)
        likelihood[:, self._agreed] += followed[:, self._agreed]
        return likelihood

    def _responsibilities(self, state: _Chains, likelihood: np.ndarray) -> np.ndarray:
        """p(c | k, y), [B, cells, K]."""
        labelled = state.transition.entries.transpose(0, 2, 1)[:, self._columns]
        return _normalised(state.share[:, None] * likelihood * labelled)

    def _maximised(self, state: _Chains, followed: np.ndarray | None) -> _Chains:
        """Do an EM step for π and T, with smoothed counts."""
        likelihood = self._likelihood(state.confusion.entries, followed)
        of_class = self._counts[:, None] * self._responsibilities(state, likelihood)
        labelled = self._summed(of_class, self._labels) + self._pairs
        entries = _normalised(_SPREADS[0] / (self._classes - 1) + labelled)
        transition = state.transition._replace(entries=entries, wrong=self._wrong(entries))
        return state._replace(share=_normalised(1 + labelled.sum(2)), transition=transition)

    def _sweep(self, state: _Chains, followed: np.ndarray | None) -> _Chains:
        """Do a Gibbs sweep: sample each unknown given all others."""
        likelihood = self._likelihood(state.confusion.entries, followed)
        of_class = self._generator.multinomial(self._counts, self._responsibilities(state, likelihood))
        labelled = self._summed(of_class, self._labels) + self._pairs
        decided = self._summed(of_class, self._decisions)
        if followed is not None:  # followed decisions carry no information about M
            of_agreed = followed[:, self._agreed] / likelihood[:, self._agreed]
            decided -= self._summed(self._generator.binomial(of_class[:, self._agreed], of_agreed), self._agreed_on)
        decided += self._trusted
        for cells in self._readable:
            self._read_anew(cells, of_class, labelled, decided, state, followed)
        return _Chains(
            share=self._dirichlet(1 + labelled.sum(2)),
            confusion=self._matrix(decided, state.confusion.shared, self._errors),
            transition=self._matrix(labelled, state.transition.shared, self._noises),
            right=np.trace(labelled - self._pairs, axis1=1, axis2=2),
        )

    def _read_anew(
        self,
        cells: np.ndarray,
        of_class: np.ndarray,
        labelled: np.ndarray,
        decided: np.ndarray,
        state: _Chains,
        followed: np.ndarray | None,
    ) -> None:
        """Resample as a block the class counts of cells with decision k and label y ≠ k.

        Of the examples of a cell whose class is k or y, the number with class y is drawn. If the class is y, the
        decision is wrong; if it is k, the label is wrong. Resampling examples one at a time given the matrices mixes
        slowly, because an entry of a matrix is informed mainly by the examples currently assigned to it. The shapes ω
        of both matrices are therefore integrated out. No two cells may share a decision or a label. All counts are
        changed in place.
        """
        k, y = self._rows[cells], self._columns[cells]
        wrongly_labelled, wrongly_decided = of_class[:, cells, k], of_class[:, cells, y]
        kept: np.ndarray | float = 0.0
        if followed is not None:
            kept = np.log1p(-followed[:, cells, y]) - np.log1p(-followed[:, cells, k])
        drawn = self._drawn_anew(cells, wrongly_labelled, wrongly_decided, labelled, decided, state, kept)
        change = drawn - wrongly_decided
        of_class[:, cells, y] += change
        of_class[:, cells, k] -= change
        self._move(cells, change, labelled, decided)

    def _drawn_anew(
        self,
        cells: np.ndarray,
        wrongly_labelled: np.ndarray,
        wrongly_decided: np.ndarray,
        labelled: np.ndarray,
        decided: np.ndarray,
        state: _Chains,
        kept: np.ndarray | float,
    ) -> np.ndarray:
        """Draw the number of examples of class y in the cells, [B, cells]; see :meth:`_read_anew`.

        ``kept`` has the log odds of not following the label if it is right, to not following it if it is wrong.
        """
        k, y, noise, error = self._rows[cells], self._columns[cells], state.transition.wrong, state.confusion.wrong
        both = wrongly_labelled + wrongly_decided
        odds = np.log(state.share[:, y] * (1 - noise[:, y])) + np.log(error[:, y])
        odds -= np.log(state.share[:, k] * (1 - error[:, k])) + np.log(noise[:, k])
        odds += kept
        of_label = _Urn.of(labelled, k, y, wrongly_labelled, state.transition.spread, self._any_shape)
        of_decision = _Urn.of(decided, y, k, wrongly_decided, state.confusion.spread, self._any_shape)
        step = np.arange(1, int(self._counts[cells].max()) + 1)  # number of examples of class y
        left = both[..., None] - step
        with np.errstate(divide="ignore"):
            choices = np.log(np.maximum(left + 1, 0) / step)
        steps = choices + odds[..., None] + of_decision.log_next(step - 1) - of_label.log_next(np.maximum(left, 0))
        log_p = np.concatenate([np.zeros((*both.shape, 1)), steps.cumsum(-1)], axis=-1)
        return drawn_index(log_p, self._generator)

    def _move(self, cells: np.ndarray, change: np.ndarray, labelled: np.ndarray, decided: np.ndarray) -> None:
        """Move examples of cells from class k to class y, [B, cells], in the counts."""
        k, y = self._rows[cells], self._columns[cells]
        for counts, lost, won in ((labelled, (k, y), (y, y)), (decided, (k, k), (y, k))):
            counts[:, *lost] -= change
            counts[:, *won] += change

    def _summed(self, of_class: np.ndarray, groups: _Groups) -> np.ndarray:
        """Sum counts by cell and class, [B, cells, K], over the cells of each group: [B, K, K].

        A matrix product would be slow on busy cores, because BLAS's threads would compete for them.
        """
        sums = np.zeros((len(of_class), self._classes, self._classes))
        if len(groups.starts):
            sums[:, groups.present] = np.add.reduceat(of_class[:, groups.order], groups.starts, axis=1)
        return sums.transpose(0, 2, 1)

    def _matrix(self, counts: np.ndarray, shared: Shared, rates: ErrorRates) -> _Matrix:
        """Draw the hyperparameters of a matrix and then the matrix, given counts, [B, K, K]."""
        chains, classes = counts.shape[:2]
        wrong, right = counts[:, self._off].reshape(chains, classes, classes - 1), counts[:, ~self._off]
        shared, rate = rates.drawn(shared, wrong.sum(2), right, self._generator)
        rate = rate.clip(_TINY, _MOST)
        spread = _SPREADS[drawn_index(_log_evidence(wrong, _SPREADS, self._any_shape), self._generator)]
        shape = self._dirichlet(spread[:, None, None] * self._any_shape + wrong)
        drawn = np.empty_like(counts)
        drawn[:, self._off] = (rate[..., None] * shape).reshape(chains, -1)
        drawn[:, ~self._off] = 1 - rate
        return _Matrix(drawn, rate, spread, shared)

    def _dirichlet(self, concentration: np.ndarray) -> np.ndarray:
        """Draw Dirichlet variables from log gamma variables, which avoids underflow for small concentrations."""
        boosted = self._generator.standard_gamma(concentration + 1)
        logs = np.log(boosted) + np.log1p(-self._generator.random(concentration.shape)) / concentration
        return _normalised(np.exp(logs - logs.max(axis=-1, keepdims=True)) + _TINY)


class _Urn(NamedTuple):
    """Pólya urn for how a class's wrong examples are distributed over cells.

    Attributes:
        inside: counts plus prior concentration in the matrix entry of the cell, without the cell's own examples,
            [B, cells].
        all: the same summed over all wrong entries of the class, [B, cells].
    """

    inside: np.ndarray
    all: np.ndarray

    @classmethod
    def of(
        cls,
        counts: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray,
        own: np.ndarray,
        spread: np.ndarray,
        shapes: np.ndarray,
    ) -> _Urn:
        """Build the urns of cells from counts [B, K, K], the cells' rows and columns, and own counts [B, cells]."""
        wrong = counts[:, rows].sum(2) - counts[:, rows, rows]
        shape = shapes[rows, np.where(columns > rows, columns - 1, columns)]  # without the diagonal
        return cls(counts[:, rows, columns] - own + spread[:, None] * shape, wrong - own + spread[:, None])

    def log_next(self, drawn: np.ndarray) -> np.ndarray:
        """Log probability that the next example is in the cell, after ``drawn`` others were, [B, cells, n]."""
        return np.asarray(np.log(self.inside[..., None] + drawn) - np.log(self.all[..., None] + drawn))


def _log_evidence(counts: np.ndarray, spreads: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Log p of counts, [B, R, J], under Dirichlet-multinomials of concentration spread · shape, over all rows, [B, S].

    The spreads are [S] and the shapes [R, J].
    """
    chain, row, column = np.nonzero(counts)  # zero counts contribute nothing
    inside, total = np.multiply.outer(spreads, shapes[row, column]), np.multiply.outer(spreads, shapes.sum(-1))
    sums = np.zeros((len(spreads), len(chain) + 1))
    np.cumsum(_log_rising(inside, counts[chain, row, column]), axis=1, out=sums[:, 1:])
    ends = np.searchsorted(chain, np.arange(len(counts) + 1))
    rows = gammaln(total) - gammaln(total + counts.sum(-1)[:, None])
    return np.asarray(rows.sum(-1) + (sums[:, ends[1:]] - sums[:, ends[:-1]]).T)


def _log_rising(start: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Log of start (start + 1) … with as many factors as counted, [S, n]; a single factor needs no gamma function."""
    found, more = np.log(start), counts != 1
    found[:, more] = gammaln(start[:, more] + counts[more]) - gammaln(start[:, more])
    return found


def _normalised(values: np.ndarray) -> np.ndarray:
    return values / values.sum(axis=-1, keepdims=True)
