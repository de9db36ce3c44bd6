"""Making a split: one seed, disjoint by construction, the noise injected last."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.noise import LabelNoise, NoisyLabels, NoNoise, Replacement
from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.data.split import OBSERVED, Split
from vri_pyro.data.streamed import part_of
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.errors import UserError


def make_split(
    arrays: Arrays,
    noise: LabelNoise,
    clean_per_class: int | None,
    validation_per_class: int,
    noisy_size: int | None,
    seed: int,
    clean_size: int | None = None,
    validation_from: Literal["clean", "noisy"] = "clean",
) -> Split:
    """Split a training set into a noisy part, a clean set and a validation set.

    The clean set, and a validation set of trusted labels, are drawn first; noise is injected afterwards, into the
    rest only. For one seed the validation set does not depend on the clean set's size, and by ``clean_per_class``
    a larger clean set contains the smaller ones. What the data know decides which labels are what:

    * ``y_train`` alone: it is taken for the truth, and ``noise`` is injected into the noisy part. If it is not
      verified, the truth is unknown unless noise is injected.
    * with ``y_train_clean``: ``y_train`` holds the observed noisy labels, and clean and validation labels
      come from ``y_train_clean``. ``noise`` must be :class:`NoNoise`.
    * with ``clean_indices``: validation and clean set are drawn from them, the noisy part is drawn from all
      other examples. Their true labels are unknown, unless noise is injected, for which ``y_train`` is
      taken for the truth. With ``validation_indices`` too, those are the validation set, whole.

    Examples of no class (true label -1) are neither clean nor held out; in the noisy part they get labels drawn
    uniformly from all classes, and ``noise`` acts on the others.

    Args:
        arrays: the data set.
        noise: the recipe of the noise to inject.
        clean_per_class: clean examples a class; 0 for no clean set; None, with ``clean_indices`` only, takes all that
            the validation set leaves.
        validation_per_class: held-out examples a class, at least 0.
        noisy_size: number of noisy examples, drawn at random; None takes all.
        seed: the seed of the split and the noise.
        clean_size: size of a clean set with the trusted examples' classes in proportion, by largest remainders, which
            takes the place of ``clean_per_class``.
        validation_from: what the validation set is held out of. From "noisy", after the noise: its labels may be as
            wrong as those of the rest, and are balanced as given.

    Returns:
        The verified split; the indices of each part ascend.

    Raises:
        UserError: a number is impossible, a class has fewer examples than asked for, a part would be
            empty, or noise is to be injected into labels that are noisy already.

    Warns:
        UserWarning: the trusted examples miss a class, so that the clean set does too, or noise is injected into labels
            that nobody has verified.
    """
    _check_request(arrays, noise, clean_per_class, validation_per_class, noisy_size, clean_size, validation_from)
    truth = arrays.y_train if arrays.y_train_clean is None else arrays.y_train_clean
    everything = np.arange(len(truth))
    trusted = np.flatnonzero(truth != NO_CLASS) if arrays.clean_indices is None else np.sort(arrays.clean_indices)

    from_clean = validation_per_class if validation_from == "clean" and arrays.validation_indices is None else 0
    validation, clean = _draw_trusted(arrays, truth, trusted, clean_per_class, from_clean, clean_size, seed)
    if arrays.validation_indices is not None:
        validation = np.sort(arrays.validation_indices)
    if len(clean):
        _warn_of_missing_classes(arrays.classes, truth[clean])
    reserved = [trusted if arrays.clean_indices is not None else clean, validation]
    noisy = _draw_noisy(np.setdiff1d(everything, np.concatenate(reserved)), noisy_size, seed)

    injected = _inject(arrays, noise, noisy, seed)
    given = arrays.y_train[noisy] if injected is None else injected.labels
    held_out = np.zeros(len(noisy), dtype=bool)
    if validation_from == "noisy":
        held_out = _hold_out(arrays, given, validation_per_class, seed)
        validation = noisy[held_out]
    true = _known_truth(arrays, noisy, injected)
    replaced = None if injected is None else injected.replaced
    return Split(
        noisy_indices=noisy[~held_out],
        clean_indices=clean,
        validation_indices=validation,
        given_labels=given[~held_out],
        true_labels=None if true is None else true[~held_out],
        clean_labels=truth[clean],
        validation_labels=truth[validation] if validation_from == "clean" else given[held_out],
        noise=_described(arrays, noise, injected),
        nominal_rate=float("nan") if injected is None else injected.nominal_rate,
        transition=None if injected is None else injected.transition,
        num_train=len(truth),
        num_classes=arrays.num_classes,
        seed=seed,
        replaced_indices=None if replaced is None else noisy[replaced.positions],
        replaced_images=None if replaced is None else replaced.images,
        validation_from=validation_from,
        verified=arrays.truth_known,
        listing=arrays.listing,
    )


def inject(noise: LabelNoise, arrays: Arrays, part: np.ndarray, seed: int) -> NoisyLabels:
    """Corrupt the labels of a part of a training set, as a split of that seed does.

    Args:
        noise: the recipe.
        arrays: the data set, whose ``y_train`` is taken for the truth. Its examples of no class get labels drawn
            uniformly from all classes; the recipe acts on the others.
        part: positions of the part's examples, int64 [N].
        seed: the seed.

    Warns:
        UserWarning: those labels are as somebody gave them, and some may be wrong before.
    """
    if arrays.observed:
        warnings.warn(
            f"{noise!r} is injected on top of labels that nobody has verified; NoNoise leaves them as they are",
            stacklevel=2,
        )
    labels = arrays.y_train[part]
    inside = np.flatnonzero(labels != NO_CLASS)
    if len(inside) == 0:
        raise UserError("No example of the noisy part belongs to a class; take more of them.")
    members = part[inside]
    recipe = noise.for_part(members, len(arrays.y_train))
    made = recipe.apply(
        labels[inside], part_of(arrays.x_train, members), arrays.num_classes, generator_for(seed, "noise")
    )
    if len(inside) == len(part):
        return made
    # A stream of their own, so that the labels of the others do not depend on how many there are.
    given = (generator_for(seed, "open-set labels").random(len(part)) * arrays.num_classes).astype(np.int64)
    given[inside] = made.labels
    true = labels.copy()
    true[inside] = made.true_labels
    replaced = made.replaced and Replacement(inside[made.replaced.positions], made.replaced.images)
    return NoisyLabels(given, true, made.transition, replaced)


def _check_request(
    arrays: Arrays,
    noise: LabelNoise,
    clean_per_class: int | None,
    validation_per_class: int,
    noisy_size: int | None,
    clean_size: int | None,
    validation_from: str,
) -> None:
    if arrays.y_train_clean is not None and not isinstance(noise, NoNoise):
        raise UserError(
            f"The data hold y_train_clean, so y_train is noisy already, but {noise!r} is to be injected; "
            "take NoNoise, or drop y_train_clean."
        )
    if clean_size is not None and clean_size < 1:
        raise UserError(f"clean_size is {clean_size}; give at least 1, or clean_per_class 0 for no clean set.")
    if clean_per_class is None and clean_size is None and arrays.clean_indices is None:
        raise UserError("clean_per_class is not set and the data name no clean_indices; say how many to take.")
    if clean_per_class is not None and clean_per_class < 0:
        raise UserError(f"clean_per_class is {clean_per_class}; give 0 or more.")
    if validation_per_class < 0:
        raise UserError(f"validation_per_class is {validation_per_class}; give 0 or more.")
    if noisy_size is not None and noisy_size < 1:
        raise UserError(f"noisy_size is {noisy_size}; give 1 or more, or leave it out to take all.")
    if arrays.clean_indices is not None and len(arrays.clean_indices) == 0:
        raise UserError("clean_indices is empty; name at least one example whose label is trusted.")
    if arrays.clean_indices is not None and isinstance(noise, NoNoise) and (arrays.y_train == NO_CLASS).any():
        raise UserError(
            "y_train holds -1 for examples of no class, but labels that training sees are classes; inject noise, or "
            "give the observed labels as y_train and the true ones as y_train_clean."
        )
    if validation_from not in ("clean", "noisy"):
        raise UserError(f"validation_from is {validation_from!r}; give 'clean' or 'noisy'.")
    if validation_from == "noisy" and arrays.validation_indices is not None:
        raise UserError("The data name their validation examples; leave validation_from at 'clean'.")


def _draw_trusted(
    arrays: Arrays,
    truth: np.ndarray,
    trusted: np.ndarray,
    clean_per_class: int | None,
    validation_per_class: int,
    clean_size: int | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The validation and the clean indices, each ascending."""
    shuffled = trusted[permutation(generator_for(seed, "split"), len(trusted))]
    members = [shuffled[truth[shuffled] == label] for label in range(arrays.num_classes)]
    wanted = _clean_counts(members, clean_per_class, validation_per_class, clean_size)
    for name, those, count in zip(arrays.classes, members, wanted, strict=True):
        if len(those) > 0 or arrays.clean_indices is None:
            _check_enough(name, len(those), count or 0, validation_per_class)
    validation = [those[:validation_per_class] for those in members]
    clean = [
        those[validation_per_class : None if count is None else validation_per_class + count]
        for those, count in zip(members, wanted, strict=True)
    ]
    if not any(map(len, clean)) and clean_per_class != 0:
        raise UserError(
            f"The {validation_per_class} validation examples a class leave none of the trusted ones for the "
            "clean set; ask for fewer."
        )
    return np.sort(np.concatenate(validation)), np.sort(np.concatenate(clean))


def _clean_counts(
    members: list[np.ndarray], clean_per_class: int | None, validation_per_class: int, clean_size: int | None
) -> list[int | None]:
    """How many clean examples each class gives; None for all that are left."""
    if clean_size is None:
        return [clean_per_class] * len(members)
    sizes = np.array([len(those) for those in members])
    left = np.maximum(sizes - validation_per_class, 0).sum()
    if clean_size > left:
        raise UserError(
            f"clean_size is {clean_size} but {left} trusted examples are left after validation; ask for fewer."
        )
    counts, remainders = np.divmod(clean_size * sizes, sizes.sum())
    # The largest remainders, the earlier class first where they are equal.
    counts[np.argsort(-remainders, kind="stable")[: clean_size - counts.sum()]] += 1
    return counts.tolist()


def _check_enough(name: str, found: int, clean: int, validation: int) -> None:
    if found < clean + validation:
        raise UserError(
            f"Class {name!r} has {found} examples to draw from, but {clean} clean and {validation} validation "
            "examples are asked for; ask for fewer or provide more."
        )


def _warn_of_missing_classes(classes: tuple[str, ...], clean_labels: np.ndarray) -> None:
    for label, name in enumerate(classes):
        if label not in clean_labels:
            warnings.warn(
                f"The clean set holds no example of class {name!r}, whose labels it therefore cannot help "
                "to rectify; trust some examples of it.",
                UserWarning,
                stacklevel=3,
            )


def _draw_noisy(candidates: np.ndarray, size: int | None, seed: int) -> np.ndarray:
    if len(candidates) == 0:
        raise UserError("No examples are left for the noisy part; take fewer clean and validation examples.")
    if size is None:
        return candidates
    if size > len(candidates):
        raise UserError(f"noisy_size is {size} but only {len(candidates)} examples are left; ask for fewer.")
    order = permutation(generator_for(seed, "noisy part"), len(candidates))
    return np.sort(candidates[order[:size]])


def _hold_out(arrays: Arrays, given: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Which noisy examples become the validation set, as many of each given label: bool [N]."""
    order = permutation(generator_for(seed, "noisy validation"), len(given))
    held_out = np.zeros(len(given), dtype=bool)
    for label, name in enumerate(arrays.classes):
        members = order[given[order] == label]
        _check_enough(name, len(members), 0, per_class)
        held_out[members[:per_class]] = True
    if held_out.all():
        raise UserError("The validation examples leave none for the noisy part; hold out fewer.")
    return held_out


def _inject(arrays: Arrays, noise: LabelNoise, noisy: np.ndarray, seed: int) -> NoisyLabels | None:
    """The corrupted labels of the noisy part, or None where the data come with their own noise."""
    return None if arrays.observed and isinstance(noise, NoNoise) else inject(noise, arrays, noisy, seed)


def _described(arrays: Arrays, noise: LabelNoise, injected: NoisyLabels | None) -> str:
    """What the record says about the noise."""
    if injected is None:
        return OBSERVED
    return f"{noise!r}, uniform labels for examples of no class" if (arrays.y_train == NO_CLASS).any() else repr(noise)


def _known_truth(arrays: Arrays, noisy: np.ndarray, injected: NoisyLabels | None) -> np.ndarray | None:
    if injected is not None:
        return injected.true_labels
    return None if arrays.y_train_clean is None else arrays.y_train_clean[noisy]
