"""Making a split: one seed, disjoint by construction, the noise injected last."""

from __future__ import annotations

import warnings

import numpy as np

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.noise import LabelNoise, NoisyLabels, NoNoise
from vri_pyro.data.randomness import generator_for, permutation
from vri_pyro.data.split import Split
from vri_pyro.data.streamed import part_of
from vri_pyro.errors import UserError


def make_split(
    arrays: Arrays,
    noise: LabelNoise,
    clean_per_class: int | None,
    validation_per_class: int,
    noisy_size: int | None,
    seed: int,
) -> Split:
    """Split a training set into a noisy part, a clean set and a validation set.

    The clean and validation sets are class-balanced and drawn first; noise is injected afterwards, into the
    rest only. For one seed the validation set does not depend on ``clean_per_class``, and a larger clean
    set contains the smaller ones. What the data know decides which labels are what:

    * ``y_train`` alone: it is taken for the truth, and ``noise`` is injected into the noisy part.
    * with ``y_train_clean``: ``y_train`` holds the observed noisy labels, and clean and validation labels
      come from ``y_train_clean``. ``noise`` must be :class:`NoNoise`.
    * with ``clean_indices``: validation and clean set are drawn from them, the noisy part is drawn from all
      other examples. Their true labels are unknown, unless noise is injected, for which ``y_train`` is
      taken for the truth.

    Args:
        arrays: the data set.
        noise: the recipe of the noise to inject.
        clean_per_class: clean examples a class, at least 1; None, with ``clean_indices`` only, takes all
            that the validation set leaves.
        validation_per_class: held-out clean examples a class, at least 0.
        noisy_size: number of noisy examples, drawn at random; None takes all.
        seed: the seed of the split and the noise.

    Returns:
        The verified split; the indices of each part ascend.

    Raises:
        UserError: a number is impossible, a class has fewer examples than asked for, a part would be
            empty, or noise is to be injected into labels that are noisy already.

    Warns:
        UserWarning: the trusted examples miss a class, so that the clean set does too.
    """
    _check_request(arrays, noise, clean_per_class, validation_per_class, noisy_size)
    truth = arrays.y_train if arrays.y_train_clean is None else arrays.y_train_clean
    everything = np.arange(len(truth))
    trusted = everything if arrays.clean_indices is None else np.sort(arrays.clean_indices)

    validation, clean = _draw_balanced(arrays, truth, trusted, clean_per_class, validation_per_class, seed)
    _warn_of_missing_classes(arrays.classes, truth[clean])
    reserved = trusted if arrays.clean_indices is not None else np.concatenate([validation, clean])
    noisy = _draw_noisy(np.setdiff1d(everything, reserved), noisy_size, seed)

    injected = _inject(arrays, noise, noisy, seed)
    return Split(
        noisy_indices=noisy,
        clean_indices=clean,
        validation_indices=validation,
        given_labels=arrays.y_train[noisy] if injected is None else injected.labels,
        true_labels=_known_truth(arrays, noisy, injected),
        clean_labels=truth[clean],
        validation_labels=truth[validation],
        noise="observed" if injected is None else repr(noise),
        nominal_rate=float("nan") if injected is None else injected.nominal_rate,
        transition=None if injected is None else injected.transition,
        num_train=len(truth),
        num_classes=arrays.num_classes,
        seed=seed,
    )


def _check_request(
    arrays: Arrays,
    noise: LabelNoise,
    clean_per_class: int | None,
    validation_per_class: int,
    noisy_size: int | None,
) -> None:
    if arrays.y_train_clean is not None and not isinstance(noise, NoNoise):
        raise UserError(
            f"The data hold y_train_clean, so y_train is noisy already, but {noise!r} is to be injected; "
            "take NoNoise, or drop y_train_clean."
        )
    if clean_per_class is None and arrays.clean_indices is None:
        raise UserError("clean_per_class is not set and the data name no clean_indices; say how many to take.")
    if clean_per_class is not None and clean_per_class < 1:
        raise UserError(f"clean_per_class is {clean_per_class} and the clean set cannot be empty; give at least 1.")
    if validation_per_class < 0:
        raise UserError(f"validation_per_class is {validation_per_class}; give 0 or more.")
    if noisy_size is not None and noisy_size < 1:
        raise UserError(f"noisy_size is {noisy_size}; give 1 or more, or leave it out to take all.")
    if arrays.clean_indices is not None and len(arrays.clean_indices) == 0:
        raise UserError("clean_indices is empty; name at least one example whose label is trusted.")


def _draw_balanced(
    arrays: Arrays,
    truth: np.ndarray,
    trusted: np.ndarray,
    clean_per_class: int | None,
    validation_per_class: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The validation and the clean indices, each ascending."""
    shuffled = trusted[permutation(generator_for(seed, "split"), len(trusted))]
    validation, clean = [], []
    for label, name in enumerate(arrays.classes):
        members = shuffled[truth[shuffled] == label]
        if len(members) > 0 or arrays.clean_indices is None:
            _check_enough(name, len(members), clean_per_class or 0, validation_per_class)
        end = None if clean_per_class is None else validation_per_class + clean_per_class
        validation.append(members[:validation_per_class])
        clean.append(members[validation_per_class:end])
    if not any(map(len, clean)):
        raise UserError(
            f"The {validation_per_class} validation examples a class leave none of the trusted ones for the "
            "clean set; ask for fewer."
        )
    return np.sort(np.concatenate(validation)), np.sort(np.concatenate(clean))


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


def _inject(arrays: Arrays, noise: LabelNoise, noisy: np.ndarray, seed: int) -> NoisyLabels | None:
    """The corrupted labels of the noisy part, or None where the data come with their own noise."""
    observed = arrays.y_train_clean is not None or arrays.clean_indices is not None
    if observed and isinstance(noise, NoNoise):
        return None
    generator = generator_for(seed, "noise")
    recipe = noise.for_part(noisy, len(arrays.y_train))
    return recipe.apply(arrays.y_train[noisy], part_of(arrays.x_train, noisy), arrays.num_classes, generator)


def _known_truth(arrays: Arrays, noisy: np.ndarray, injected: NoisyLabels | None) -> np.ndarray | None:
    if injected is not None:
        return injected.true_labels
    return None if arrays.y_train_clean is None else arrays.y_train_clean[noisy]
