"""Report, refuse or remove identical inputs in several parts of the data of a new run."""

from __future__ import annotations

import warnings
from typing import Literal

from vri_pyro.data import Arrays, Split
from vri_pyro.data.content_keys import ContentKeys, content_keys
from vri_pyro.data.duplicates import Duplicates, find_duplicates, without_duplicates
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.utils.errors import UserError

_PARTS = ("noisy", "clean", "validation")


def handle_duplicates(
    arrays: Arrays,
    split: Split,
    policy: Literal["warn", "refuse", "remove", "ignore"],
    fingerprint: Fingerprint | None = None,
) -> tuple[Split, list[str]]:
    """Find identical inputs, and treat them as the option ``duplicates`` says.

    Args:
        arrays: the data.
        split: their split.
        policy: see :attr:`~vri_pyro.runs.configuration.Configuration.duplicates`.
        fingerprint: fingerprint of the data, if there is one, to save time.

    Returns:
        the split, without duplicates if they are to be removed, and lines for the user on what was found, except what
        a warning says.

    Raises:
        UserError: the test set is a part of the training set and the policy is "warn"; there are identical inputs in
            two parts and the policy is "refuse"; or no noisy example remains after their removal.

    Warns:
        UserWarning: two parts have more identical inputs than chance explains, and the policy is "warn".
    """
    if policy == "ignore":
        return split, []
    keys = content_keys(arrays, fingerprint)
    found = find_duplicates(arrays, split, keys)
    if policy == "remove":
        return _removed(split, keys, found)
    if policy == "refuse" and found.overlaps:
        told = "; ".join(map(found.told, found.overlaps))
        raise UserError(f"{told}; remove them from the data, or from the training parts with --duplicates remove")
    if found.leaked is not None:
        raise UserError(
            f"the test set is a part of the training set: {found.told(found.leaked)}; use other test examples, take "
            "these out of training with --duplicates remove or, if this is meant, add --duplicates ignore"
        )
    leaks = [overlap for overlap in found.overlaps if overlap.beyond_chance]
    if leaks:
        warnings.warn(
            f"identical inputs in several parts of the data: {'; '.join(map(found.told, leaks))}; take them out of "
            "training with --duplicates remove or, if this is meant, add --duplicates ignore",
            stacklevel=2,
        )
    by_chance = [found.told(overlap) for overlap in found.overlaps if overlap not in leaks]
    if by_chance:
        by_chance.append(
            f"so many are expected, since {found.repeated:.1%} of the training examples have an identical twin"
        )
    return split, by_chance + found.told_contradictions()


def _removed(split: Split, keys: ContentKeys, found: Duplicates) -> tuple[Split, list[str]]:
    """Remove the duplicates, and say how many."""
    new = without_duplicates(split, keys)
    counts = {part: len(getattr(split, f"{part}_indices")) - len(getattr(new, f"{part}_indices")) for part in _PARTS}
    told = ", ".join(f"{count} {part}" for part, count in counts.items() if count)
    removed = [f"removed from training, as duplicates of other parts: {told} examples"] if told else []
    return new, [*map(found.told, found.overlaps), *removed, *found.told_contradictions()]
