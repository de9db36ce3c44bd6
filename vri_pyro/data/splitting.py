"""Splitting a training set into noisy, clean and validation parts, and injecting noise."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.noise import Flip, LabelNoise, NoisyLabels, NoNoise, Replacement
from vri_pyro.data.noisy_holdout import draw_noisy_holdout
from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.data.split import OBSERVED, Split
from vri_pyro.data.streamed import part_of
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.errors import UserError, UserTypeError, described
from vri_pyro.utils.numbers import check_integer, check_number

# Clean and validation examples per class that are drawn by default.
DRAWN_PER_CLASS = 3
# By default, at most this share of the trusted examples of a class is held out for validation.
_VALIDATION_SHARE = 0.25
_LISTED = 5  # classes named in a warning


def default_noise(arrays: Arrays) -> LabelNoise:
    """Return the noise that an experiment injects by default.

    Flips of 40% if all labels of the data are known to be correct, as those of a benchmark are; otherwise none.
    """
    return NoNoise() if arrays.observed else Flip(0.4)


def make_split(
    arrays: Arrays,
    noise: LabelNoise,
    clean_per_class: int | None,
    validation_per_class: int | None,
    noisy_size: int | None,
    seed: int,
    clean_size: int | None = None,
    validation_from: Literal["clean", "noisy"] = "clean",
    noisy_holdout: float = 0.0,
) -> Split:
    """Split a training set into a noisy set, a clean set and a validation set.

    The clean set and, by default, the validation set are drawn first. Noise is then injected into the remaining
    examples only. For a fixed seed, the validation set does not depend on the size of the clean set, and with
    ``clean_per_class`` a larger clean set contains the smaller ones. The source of the labels depends on the data:

    * ``y_train`` alone: its labels are treated as true labels, and ``noise`` is injected into the noisy set. If they
      are not verified and no noise is injected, the true labels are unknown.
    * with ``y_train_clean``: ``y_train`` holds the observed noisy labels; clean and validation labels come from
      ``y_train_clean``. ``noise`` must be :class:`~vri_pyro.data.noise.no_noise.NoNoise`.
    * with ``clean_indices``: the validation and clean sets are drawn from these examples, and the noisy set from all
      others. The true labels of the noisy set are unknown, unless noise is injected; then its ``y_train`` labels are
      treated as true labels. If ``validation_indices`` are given, they are the whole validation set.
    * with ``verified_labels``: as with ``clean_indices``, with the checked classes as labels of the clean and
      validation sets. The labels as given stay in :attr:`Split.pairs`. ``noise`` must be
      :class:`~vri_pyro.data.noise.no_noise.NoNoise`.

    Examples of no class (true label -1) are never drawn for the clean set, nor for a validation set of trusted labels.
    In the noisy set they get labels drawn uniformly from all classes, and ``noise`` is applied to the other examples.

    Args:
        arrays: the data set.
        noise: the noise recipe to inject.
        clean_per_class: number of clean examples per class; 0 for no clean set. None uses all ``clean_indices`` that
            remain after validation, or draws 3 examples per class if the data have no ``clean_indices``.
        validation_per_class: number of validation examples per class, at least 0. None uses 3, but at most a quarter
            of the ``clean_indices`` of a class.
        noisy_size: number of noisy examples, drawn at random; None uses all.
        seed: the seed of the split and the noise.
        clean_size: size of a stratified clean set, which overrides ``clean_per_class``. The classes have the
            proportions of the trusted examples, rounded by largest remainders.
        validation_from: the part from which the validation set is held out. With "noisy" it is drawn after noise
            injection, balanced by given label, and its labels are as noisy as those of the noisy set.
        noisy_holdout: share of the noisy set that is kept out of training, from 0 to below 1, rounded up. These
            examples are drawn at random, whatever their labels, and stay in the noisy set; see
            :attr:`Split.noisy_holdout`. All other parts and labels are the same for any share.

    Returns:
        The validated split, with ascending indices in each part.

    Raises:
        UserError: a size is invalid, a part would be empty, no noisy example is left to train on, or noise would be
            injected into labels that are already noisy.

    Warns:
        UserWarning: a class has fewer examples than requested, so that it gets fewer clean or validation examples; the
            clean set has no examples of some class; or noise is injected into unverified labels.
    """
    _check_request(arrays, noise, clean_per_class, validation_per_class, noisy_size, clean_size, validation_from, seed)
    check_number("noisy_holdout", noisy_holdout, at_least=0, below=1, remedy=", such as 0.05, or 0 for none.")
    truth = arrays.truth
    everything = np.arange(len(truth))
    trusted = np.flatnonzero(truth != NO_CLASS) if (marked := arrays.trusted_indices) is None else np.sort(marked)

    if clean_per_class is None and not arrays.marks_trusted:
        clean_per_class = DRAWN_PER_CLASS
    from_clean = validation_per_class if validation_from == "clean" and arrays.validation_indices is None else 0
    validation, clean = _draw_trusted(arrays, truth, trusted, clean_per_class, from_clean, clean_size, seed)
    if arrays.validation_indices is not None:
        validation = np.sort(arrays.validation_indices)
    if len(clean):
        _warn_of_missing_classes(arrays.classes, truth[clean])
    reserved = [trusted if arrays.marks_trusted else clean, validation]
    noisy = _draw_noisy(np.setdiff1d(everything, np.concatenate(reserved)), noisy_size, seed)

    injected = _inject(arrays, noise, noisy, seed)
    given = arrays.y_train[noisy] if injected is None else injected.labels
    held_out = np.zeros(len(noisy), dtype=bool)
    if validation_from == "noisy":
        per_class = DRAWN_PER_CLASS if validation_per_class is None else validation_per_class
        held_out = _hold_out(arrays, given, per_class, seed)
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
        data_labels=arrays.y_train,
        verified_labels=arrays.verified_labels,
        noisy_holdout=draw_noisy_holdout(noisy[~held_out], noisy_holdout, seed),
    )


def inject(noise: LabelNoise, arrays: Arrays, part: np.ndarray, seed: int) -> NoisyLabels:
    """Inject noise into the labels of a part of a training set.

    :func:`make_split` calls this function; the same seed gives the same labels.

    Args:
        noise: the noise recipe.
        arrays: the data set. The labels in ``y_train`` are treated as true labels. Examples of no class get labels
            drawn uniformly from all classes; the recipe is applied to the other examples.
        part: positions of the part's examples, int64 [N].
        seed: the seed of the noise.

    Raises:
        UserError: no example of the part belongs to a class, or the recipe cannot be applied.

    Warns:
        UserWarning: the labels are observed labels, so some may be wrong before noise injection.
    """
    if arrays.observed:
        warnings.warn(
            f"{noise!r} is injected into unverified labels; use NoNoise to keep them unchanged",
            stacklevel=2,
        )
    labels = arrays.y_train[part]
    inside = np.flatnonzero(labels != NO_CLASS)
    if len(inside) == 0:
        raise UserError("No example of the noisy set belongs to a class; increase noisy_size.")
    members = part[inside]
    recipe = noise.for_part(members, len(arrays.y_train))
    made = recipe.apply(
        labels[inside], part_of(arrays.x_train, members), arrays.num_classes, generator_for(seed, "noise")
    )
    if len(inside) == len(part):
        return made
    # A separate stream, so that the number of examples of no class does not affect the labels of the others.
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
    validation_per_class: int | None,
    noisy_size: int | None,
    clean_size: int | None,
    validation_from: str,
    seed: int,
) -> None:
    if not isinstance(arrays, Arrays):
        raise UserTypeError(f"arrays is {described(arrays)}; expected vri_pyro.data.Arrays.")
    if not isinstance(noise, LabelNoise):
        raise UserTypeError(f"noise is {described(noise)}; expected a LabelNoise, such as Flip(0.4) or NoNoise().")
    check_integer("seed", seed, 0)
    if arrays.y_train_clean is not None and not isinstance(noise, NoNoise):
        raise UserError(
            f"y_train is already noisy, since the data have y_train_clean, but {noise!r} would inject more noise; "
            "use NoNoise or remove y_train_clean."
        )
    if arrays.verified_labels is not None and not isinstance(noise, NoNoise):
        raise UserError(
            f"The data have verified labels beside the labels as given, but {noise!r} would replace the labels as "
            "given; use NoNoise or remove the verified labels."
        )
    if clean_size is not None:
        check_integer("clean_size", clean_size, 1, remedy="; set clean_per_class to 0 for no clean set.")
    if clean_per_class is not None:
        check_integer("clean_per_class", clean_per_class, 0, remedy=".")
    if validation_per_class is not None:
        check_integer("validation_per_class", validation_per_class, 0, remedy=".")
    if noisy_size is not None:
        check_integer("noisy_size", noisy_size, 1, remedy=", or None to use all examples.")
    if arrays.clean_indices is not None and len(arrays.clean_indices) == 0 and arrays.verified_labels is None:
        raise UserError("clean_indices is empty; expected at least one example with a trusted label.")
    if arrays.marks_trusted and isinstance(noise, NoNoise) and (arrays.y_train == NO_CLASS).any():
        raise UserError(
            "y_train contains -1 (examples of no class), which cannot be a training label; inject noise, or "
            "use the observed labels as y_train and the true labels as y_train_clean."
        )
    if validation_from not in ("clean", "noisy"):
        raise UserError(f"validation_from is {validation_from!r}; expected 'clean' or 'noisy'.")
    if validation_from == "noisy" and arrays.validation_indices is not None:
        raise UserError("validation_from is 'noisy' but the data have validation_indices; set it to 'clean'.")


def _draw_trusted(
    arrays: Arrays,
    truth: np.ndarray,
    trusted: np.ndarray,
    clean_per_class: int | None,
    validation_per_class: int | None,
    clean_size: int | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the validation and the clean indices, both ascending."""
    shuffled = trusted[permutation(generator_for(seed, "split"), len(trusted))]
    members = [shuffled[truth[shuffled] == label] for label in range(arrays.num_classes)]
    held_out = [_validation_count(len(those), validation_per_class, arrays) for those in members]
    wanted = _clean_counts(members, clean_per_class, held_out, clean_size)
    counts = [
        _possible(len(those), *want, arrays)
        for those, want in zip(members, zip(wanted, held_out, strict=True), strict=True)
    ]
    _warn_of_small_classes(arrays, members, wanted, held_out, counts)
    validation = [those[:held] for those, (_, held) in zip(members, counts, strict=True)]
    clean = [those[held : held + count] for those, (count, held) in zip(members, counts, strict=True)]
    if not any(map(len, clean)) and clean_per_class != 0:
        raise UserError(
            "No trusted examples are left for the clean set; reduce validation_per_class or add trusted examples."
        )
    return np.sort(np.concatenate(validation)), np.sort(np.concatenate(clean))


def _validation_count(found: int, per_class: int | None, arrays: Arrays) -> int:
    """Return the number of validation examples of a class with ``found`` trusted examples."""
    if per_class is not None:
        return per_class
    return min(DRAWN_PER_CLASS, int(_VALIDATION_SHARE * found)) if arrays.marks_trusted else DRAWN_PER_CLASS


def _clean_counts(
    members: list[np.ndarray], clean_per_class: int | None, validation: list[int], clean_size: int | None
) -> list[int]:
    """Return the number of clean examples requested of each class."""
    sizes = np.array([len(those) for those in members])
    left = np.maximum(sizes - validation, 0)
    if clean_size is None:
        return left.tolist() if clean_per_class is None else [clean_per_class] * len(members)
    if clean_size > left.sum():
        raise UserError(
            f"clean_size is {clean_size} but only {left.sum()} trusted examples are left after validation; "
            "reduce clean_size or validation_per_class."
        )
    counts, remainders = np.divmod(clean_size * sizes, sizes.sum())
    # Round by largest remainders; ties go to the earlier class.
    counts[np.argsort(-remainders, kind="stable")[: clean_size - counts.sum()]] += 1
    return counts.tolist()


def _possible(found: int, clean: int, validation: int, arrays: Arrays) -> tuple[int, int]:
    """Return the numbers of clean and validation examples that a class with ``found`` trusted examples can have.

    The clean set takes precedence. If the examples are also needed for the noisy set, half of them remain there.
    """
    if found >= clean + validation:
        return clean, validation
    available = found if arrays.marks_trusted else found // 2
    clean = min(clean, available)
    return clean, min(validation, available - clean)


def _warn_of_small_classes(
    arrays: Arrays,
    members: list[np.ndarray],
    clean: list[int],
    validation: list[int],
    counts: list[tuple[int, int]],
) -> None:
    """Warn of classes that have fewer clean or validation examples than requested."""
    short = [
        f"{name!r} has {len(those)} and gets {got} + {held}"
        for name, those, want, keep, (got, held) in zip(arrays.classes, members, clean, validation, counts, strict=True)
        # A class without any trusted example has a warning of its own.
        if (want, keep) != (got, held) and (len(those) or not arrays.marks_trusted)
    ]
    if short:
        what = "trusted examples" if arrays.marks_trusted else "examples"
        warnings.warn(
            f"{len(short)} of {arrays.num_classes} classes have fewer {what} than split.clean_per_class + "
            f"split.validation_per_class = {max(clean)} + {max(validation)}: {_listed(short)}; add examples or reduce "
            "these options.",
            stacklevel=4,
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _warn_of_missing_classes(classes: tuple[str, ...], clean_labels: np.ndarray) -> None:
    missing = [repr(name) for label, name in enumerate(classes) if label not in clean_labels]
    if missing:
        warnings.warn(
            f"The clean set has no example of {len(missing)} of {len(classes)} classes ({_listed(missing)}), so it "
            "cannot help to rectify their labels; add trusted examples of them.",
            stacklevel=3,
        )


def _draw_noisy(candidates: np.ndarray, size: int | None, seed: int) -> np.ndarray:
    if len(candidates) == 0:
        raise UserError("No examples are left for the noisy set; use fewer clean and validation examples.")
    if size is None:
        return candidates
    if size > len(candidates):
        raise UserError(f"noisy_size is {size} but only {len(candidates)} examples are left; reduce noisy_size.")
    order = permutation(generator_for(seed, "noisy part"), len(candidates))
    return np.sort(candidates[order[:size]])


def _hold_out(arrays: Arrays, given: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Choose the noisy examples to hold out for validation, balanced by given label: bool [N]."""
    order = permutation(generator_for(seed, "noisy validation"), len(given))
    held_out, short = np.zeros(len(given), dtype=bool), list[str]()
    for label, name in enumerate(arrays.classes):
        members = order[given[order] == label]
        count = per_class if len(members) >= per_class else len(members) // 2
        if count < per_class:
            short.append(f"{name!r} has {len(members)} and gets {count}")
        held_out[members[:count]] = True
    if short:
        warnings.warn(
            f"{len(short)} of {arrays.num_classes} classes have fewer noisy examples than split.validation_per_class = "
            f"{per_class}: {_listed(short)}; add examples or reduce this option.",
            stacklevel=3,
        )
    if held_out.all():
        raise UserError(
            "The validation set uses all examples and leaves none for the noisy set; reduce validation_per_class."
        )
    return held_out


def _inject(arrays: Arrays, noise: LabelNoise, noisy: np.ndarray, seed: int) -> NoisyLabels | None:
    """Inject the noise into the noisy set; return None if the observed labels are used as they are."""
    return None if arrays.observed and isinstance(noise, NoNoise) else inject(noise, arrays, noisy, seed)


def _described(arrays: Arrays, noise: LabelNoise, injected: NoisyLabels | None) -> str:
    """Describe the noise, for the saved split."""
    if injected is None:
        return OBSERVED
    return f"{noise!r}, uniform labels for examples of no class" if (arrays.y_train == NO_CLASS).any() else repr(noise)


def _known_truth(arrays: Arrays, noisy: np.ndarray, injected: NoisyLabels | None) -> np.ndarray | None:
    if injected is not None:
        return injected.true_labels
    return None if arrays.y_train_clean is None else arrays.y_train_clean[noisy]
