"""Identical inputs within and between the parts of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import bdtr  # cumulative distribution of the binomial

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.content_keys import ContentKeys
from vri_pyro.data.fingerprints import NAMED, listed, namer
from vri_pyro.data.split import Split

_LEAKED = 0.9  # least share of the test set in the training set that makes it a part of it
_CHANCE = 1e-6  # probability below which so few new test examples are no chance


@dataclass(frozen=True, eq=False)
class Overlap:
    """Examples of one part that have an identical twin in another part.

    Attributes:
        first, second: the names of the parts, such as "test" and "noisy".
        size: number of examples of the first part.
        members: positions of the examples of the first part with a twin, int64 [n]; in the test set if it is the first.
        partners: position of a twin of each in the training set, int64 [n].
        differing: number of members whose label differs from that of this twin.
        expected: number of members to expect if the examples of both parts were drawn independently; see
            :attr:`Duplicates.repeated`.
    """

    first: str
    second: str
    size: int
    members: np.ndarray
    partners: np.ndarray
    differing: int
    expected: float

    @property
    def beyond_chance(self) -> bool:
        """Whether there are more members than expected, by more than three standard deviations."""
        spread = math.sqrt(self.expected * (1 - self.expected / self.size))
        return len(self.members) > self.expected + 3 * spread


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Identical inputs within and between the parts of a data set.

    Attributes:
        overlaps: overlaps between two parts that have any.
        contradictions: for the parts that have any, the positions of examples with an identical twin of another label
            in the same part, int64 [n].
        repeated: share of the training examples with an identical twin in the training set. It is also the chance that
            a new example from the same source has a twin there, so tables with few distinct rows, and images that are
            often black, are no reason for a warning.
        leaked: overlap of the test set with all training parts, if it shows that the test set was taken from them: at
            least 90% of it have a twin there, and far more than chance explains; otherwise None.
        test_name, train_name: functions that name an example of the test and the training set.
    """

    overlaps: tuple[Overlap, ...]
    contradictions: dict[str, np.ndarray]
    repeated: float
    leaked: Overlap | None
    test_name: Callable[[int], str]
    train_name: Callable[[int], str]

    def told(self, overlap: Overlap) -> str:
        """Describe an overlap in one clause, with examples."""
        name = self.test_name if overlap.first == "test" else self.train_name
        count = len(overlap.members)
        pairs = list(zip(overlap.members[:NAMED].tolist(), overlap.partners[:NAMED].tolist(), strict=True))
        shown = listed([f"{name(member)} is {self.train_name(partner)}" for member, partner in pairs], count)
        labels = f", {overlap.differing} of them with another label" if overlap.differing else ""
        of = f"{count} of {overlap.size} {overlap.first} examples"
        return f"{of} are also in the {overlap.second} set{labels} ({shown})"

    def told_contradictions(self) -> list[str]:
        """Describe the identical inputs with different labels, one clause per part."""
        told = []
        for part, found in self.contradictions.items():
            name = self.test_name if part == "test" else self.train_name
            shown = listed([name(position) for position in found[:NAMED].tolist()], len(found))
            told.append(f"{len(found)} {part} examples are identical to another one with a different label ({shown})")
        return told


def find_duplicates(arrays: Arrays, split: Split, keys: ContentKeys) -> Duplicates:
    """Find inputs that are identical within and between the noisy, clean, validation and test parts.

    Args:
        arrays: the data.
        split: their split; examples outside its parts are ignored.
        keys: keys of the inputs.
    """
    labels = split.labels(arrays.y_train)
    noisy, clean, validation = (
        _Part(name, keys.train[positions], labels[positions], positions)
        for name, positions in (
            ("noisy", split.noisy_indices),
            ("clean", split.clean_indices),
            ("validation", split.validation_indices),
        )
    )
    training = _Part.joined("training", (noisy, clean, validation))
    parts, whole = [validation, clean, noisy], None
    repeated = training.repeated
    if arrays.y_test is not None:
        test = _Part("test", keys.test, arrays.y_test, np.arange(len(keys.test)))
        parts, whole = [test, *parts], test.overlap(training, repeated)
    overlaps = [first.overlap(second, repeated) for first, second in combinations(parts, 2)]
    contradictions = {part.name: part.contradictory for part in parts}
    return Duplicates(
        overlaps=tuple(found for found in overlaps if found is not None),
        contradictions={name: found for name, found in contradictions.items() if len(found)},
        repeated=repeated,
        leaked=whole if whole is not None and _is_part(whole, repeated, len(training.keys)) else None,
        test_name=namer(arrays.x_test, "test example") if arrays.x_test is not None else str,
        train_name=namer(arrays.x_train, "training example"),
    )


def without_duplicates(split: Split, keys: ContentKeys) -> Split:
    """Remove training examples that are identical to an example of a part that matters more for the evaluation.

    The order is test, validation, clean, noisy: an example leaves its part if a part before it has the same input. The
    test set stays as it is. Identical inputs within one part stay as well, also with contradictory labels.

    Raises:
        UserError: no noisy example remains.
    """
    removed, seen = [], keys.test
    for part in (split.validation_indices, split.clean_indices, split.noisy_indices):
        removed.append(part[np.isin(keys.train[part], seen)])
        seen = np.concatenate([seen, keys.train[part]])
    return split.without(np.concatenate(removed))


@dataclass(frozen=True, eq=False)
class _Part:
    """One part of the data: keys of its inputs, labels, and positions in the training or test set, [n] each."""

    name: str
    keys: np.ndarray
    labels: np.ndarray
    positions: np.ndarray

    @classmethod
    def joined(cls, name: str, parts: Sequence[_Part]) -> _Part:
        columns = ([getattr(part, column) for part in parts] for column in ("keys", "labels", "positions"))
        return cls(name, *map(np.concatenate, columns))

    @property
    def repeated(self) -> float:
        """The share of the examples with a twin in the part."""
        _, group, sizes = np.unique(self.keys, return_inverse=True, return_counts=True)
        return float((sizes[group] > 1).mean())

    @property
    def contradictory(self) -> np.ndarray:
        """Positions of the examples of which a twin in the part has another label."""
        order = np.lexsort((self.labels, self.keys))
        keys, labels = self.keys[order], self.labels[order]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.empty(0, dtype=np.int64)
        sizes = np.diff(np.append(starts, len(keys)))
        mixed = labels[starts] != labels[starts + sizes - 1]  # the labels of a group ascend
        return np.sort(self.positions[order[np.repeat(mixed, sizes)]])

    def overlap(self, other: _Part, repeated: float) -> Overlap | None:
        """The examples of this part with a twin in another; None if there are none."""
        if len(self.keys) == 0 or len(other.keys) == 0:
            return None
        order = np.argsort(other.keys, kind="stable")
        place = np.minimum(np.searchsorted(other.keys[order], self.keys), len(order) - 1)
        there = other.keys[order[place]] == self.keys
        if not there.any():
            return None
        twins = order[place[there]]
        return Overlap(
            first=self.name,
            second=other.name,
            size=len(self.keys),
            members=self.positions[there],
            partners=other.positions[twins],
            differing=int((self.labels[there] != other.labels[twins]).sum()),
            expected=repeated * len(self.keys),
        )


def _is_part(whole: Overlap, repeated: float, among: int) -> bool:
    """Whether the test set was taken from the training set: if at least 90% of it are there, and that is no chance.

    Args:
        whole: overlap of the test set with the training set.
        repeated: share of the training examples with a twin; the same share of a test set drawn independently has one.
        among: number of training examples, of which ``repeated`` was estimated.
    """
    likely = min(1.0, repeated + 3 * math.sqrt(repeated * (1 - repeated) / among))
    new = whole.size - len(whole.members)
    return len(whole.members) >= _LEAKED * whole.size and bdtr(new, whole.size, 1 - likely) < _CHANCE
