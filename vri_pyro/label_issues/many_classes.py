"""The Gibbs sampler of the transition matrix for many classes, whose cost does not grow with pairs times classes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vri_pyro.label_issues.two_observers import (
    _FEW,
    _FOLLOWED,
    _OF_WRONG,
    _SPREADS,
    TwoObservers,
    _Chains,
    _normalised,
)

_VALUES = 4_000_000  # entries of an array in memory at a time
_SETS = 25  # sets of cells that a sweep resamples as blocks


class ManyClasses(TwoObservers):
    """The sampler of :class:`~vri_pyro.label_issues.two_observers.TwoObservers`, for many classes.

    It has the same model and the same stationary distribution. An example of decision k and label y is first assigned
    to class k, to class y or to the rest, whose probabilities together need one matrix product. Only examples of the
    rest are then assigned to one of the other classes. There is one chain, fewer sweeps precede each draw, and each
    sweep resamples some of the cells as blocks.
    """

    steps: ClassVar[int] = 20
    sweeps: ClassVar[int] = 60

    def __init__(
        self,
        decided: np.ndarray,
        given: np.ndarray,
        own_word: np.ndarray,
        trusted: np.ndarray,
        generator: np.random.Generator,
        pairs: np.ndarray | None = None,
    ) -> None:
        super().__init__(decided, given, own_word, trusted, generator, pairs)
        self._off_cells = np.flatnonzero(self._rows != self._columns)
        self._table = np.zeros((self._classes, self._classes))
        self._table[self._rows, self._columns] = self._counts
        self._readable = self._independent_sets()
        self.between = max(1, min(4, 400 // self._classes))

    def _independent_sets(self) -> list[np.ndarray]:
        """Divide the cells that are resampled as a block into few sets in which none share a decision or a label."""
        cells = self._off_cells[self._counts[self._off_cells] <= _FEW]
        cells = cells[np.argsort(-self._counts[cells], kind="stable")]  # arrays are as long as a set's largest count
        of_decision, of_label = [0] * self._classes, [0] * self._classes  # the sets in use, as bits
        found = np.empty(len(cells), dtype=np.int64)
        for place, (k, y) in enumerate(zip(self._rows[cells].tolist(), self._columns[cells].tolist(), strict=True)):
            free = ~(of_decision[k] | of_label[y])
            lowest = free & -free
            of_decision[k] |= lowest
            of_label[y] |= lowest
            found[place] = lowest.bit_length() - 1
        return [np.sort(cells[found == number]) for number in range(int(found.max(initial=-1)) + 1)]

    @property
    def entries(self) -> int:
        """See :attr:`TwoObservers.entries`; there is only one chain."""
        return _VALUES

    def _followed(self, chains: int, most: float = 1.0) -> np.ndarray:
        """Draw the share of examples whose label is followed: of correct labels and of wrong ones, [2]."""
        right, of_wrong = most * self._generator.beta(*_FOLLOWED), self._generator.beta(*_OF_WRONG)
        return np.array([right, right * of_wrong])

    def _maximised(self, state: _Chains, followed: np.ndarray | None) -> _Chains:
        """See :meth:`TwoObservers._maximised`."""
        right, wrong = (0.0, 0.0) if followed is None else followed
        share, confusion, transition = state.share[0], state.confusion.entries[0], state.transition.entries[0]
        labelled = share[:, None] * transition
        likely = (1 - wrong) * confusion.T @ labelled  # by decision and label
        likely -= (right - wrong) * confusion.T * np.diag(labelled)
        likely[np.diag_indices(self._classes)] += wrong * labelled.sum(0) + (right - wrong) * np.diag(labelled)
        ratio = np.divide(self._table, likely, out=np.zeros_like(likely), where=self._table > 0)
        follows = np.where(self._off, wrong, right)
        expected = labelled * ((1 - follows) * (confusion @ ratio) + follows * np.diag(ratio)) + self._pairs
        entries = _normalised(_SPREADS[0] / (self._classes - 1) + expected)[None]
        matrix = state.transition._replace(entries=entries, wrong=self._wrong(entries))
        return state._replace(share=_normalised(1 + expected.sum(1))[None], transition=matrix)

    def _sweep(self, state: _Chains, followed: np.ndarray | None) -> _Chains:
        """See :meth:`TwoObservers._sweep`."""
        right, wrong = (0.0, 0.0) if followed is None else followed
        assigned = self._assigned(state, right, wrong)
        labelled, decided = self._counted(state, assigned)
        kept = float(np.log1p(-right) - np.log1p(-wrong))
        # Resampling some of the sets, chosen at random, leaves the posterior invariant as well, and is much faster.
        for number in self._generator.permutation(len(self._readable))[:_SETS]:
            cells = self._readable[number]
            of_label, of_decision = assigned[cells, 0][None], assigned[cells, 1][None]
            drawn = self._drawn_anew(cells, of_label, of_decision, labelled, decided, state, kept)
            self._move(cells, drawn - of_decision, labelled, decided)
        return _Chains(
            share=self._dirichlet(1 + labelled.sum(2)),
            confusion=self._matrix(decided, state.confusion.shared, self._errors),
            transition=self._matrix(labelled, state.transition.shared, self._noises),
            right=np.trace(labelled - self._pairs, axis1=1, axis2=2),
        )

    def _assigned(self, state: _Chains, right: float, wrong: float) -> np.ndarray:
        """Assign the examples of each cell, [cells, 4].

        The columns are: class k, independent of the label; class y ≠ k or, in a cell with k = y, class k, following the
        label; another class, independent; another class, following.
        """
        share, confusion, transition = state.share[0], state.confusion.entries[0], state.transition.entries[0]
        k, y = self._rows, self._columns
        joint = ((confusion.T * share) @ transition)[k, y]
        agreed = k == y
        of_decision = share[k] * confusion[k, k] * transition[k, y]
        of_label = share[y] * confusion[y, k] * transition[y, y]
        of_any = share[y] * transition[y, y]
        rest = np.maximum(joint - of_decision - np.where(agreed, 0, of_label), 0)
        following = np.maximum((share @ transition)[y] - of_any, 0)
        weights = np.stack(
            [
                np.where(agreed, 1 - right, 1 - wrong) * of_decision,
                np.where(agreed, right * of_any, (1 - right) * of_label),
                (1 - wrong) * rest,
                np.where(agreed, wrong * following, 0),
            ],
            axis=1,
        )
        return self._generator.multinomial(self._counts, _normalised(weights))

    def _counted(self, state: _Chains, assigned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count examples and pairs by class and label, and trusted and independent ones by class and decision.

        Both counts are [1, K, K].
        """
        k, y, size, off = self._rows, self._columns, self._classes, self._off_cells
        labelled, decided = np.zeros((size, size)), self._trusted.copy()
        labelled[k, y] = assigned[:, 0]
        np.fill_diagonal(decided, np.diag(decided) + np.bincount(k, assigned[:, 0], size))
        np.fill_diagonal(labelled, np.diag(labelled) + np.bincount(y, assigned[:, 1], size))
        decided[y[off], k[off]] += assigned[off, 1]
        for numbers, independent in ((assigned[:, 2], True), (assigned[:, 3], False)):
            some = np.flatnonzero(numbers)
            for part in np.array_split(some, -(-len(some) * size // _VALUES) or 1):
                classes = self._classes_of_rest(state, part, numbers[part], independent)
                of = np.repeat(part, numbers[part])
                labelled += np.bincount(classes * size + y[of], minlength=size * size).reshape(size, size)
                if independent:
                    decided += np.bincount(classes * size + k[of], minlength=size * size).reshape(size, size)
        return (labelled + self._pairs)[None], decided[None]

    def _classes_of_rest(self, state: _Chains, cells: np.ndarray, numbers: np.ndarray, independent: bool) -> np.ndarray:
        """Draw the classes, neither k nor y, of a number of examples of each cell; cell by cell, [sum of numbers]."""
        k, y = self._rows[cells], self._columns[cells]
        weights = state.share[0] * state.transition.entries[0].T[y]
        if independent:
            weights *= state.confusion.entries[0].T[k]
        weights[np.arange(len(cells)), k] = weights[np.arange(len(cells)), y] = 0
        weights.cumsum(1, out=weights)
        weights /= weights[:, -1:]
        weights += np.arange(len(cells))[:, None]
        drawn = np.repeat(np.arange(len(cells)), numbers) + self._generator.random(int(numbers.sum()))
        return np.searchsorted(weights.ravel(), drawn, side="right") % self._classes
