"""Composition of noise recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, Replacement, check_class_count
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.data.noise.human_labels import HumanLabels
from vri_pyro.data.noise.open_set import OpenSet
from vri_pyro.data.noise.transition_counts import realised_transition
from vri_pyro.data.streamed import Inputs, part_of
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.errors import UserError, UserTypeError, described


@dataclass(frozen=True)
class Compose(LabelNoise):
    """Several noise recipes, each applied to the output labels of the previous one.

    Examples whose image was replaced by a recipe belong to no class, so later recipes skip them. A later recipe is not
    applied at all if no other examples remain.

    If every recipe after the first is class-conditional or open-set, the nominal matrix is the product T₁T₂… of the
    recipes' matrices. Otherwise it is the realised matrix, because a later recipe that depends on the input is not
    independent of the earlier ones.

    Attributes:
        recipes: the recipes in order, at least one. A nested composition is replaced by its own recipes.
            :class:`~vri_pyro.data.noise.human_labels.HumanLabels` must be first, because it overwrites all labels.

    Raises:
        UserError: there are no recipes, or HumanLabels is not the first one.
    """

    recipes: tuple[LabelNoise, ...]

    def __post_init__(self) -> None:
        """Validate the recipes and flatten them into one tuple."""
        recipes = self.recipes if isinstance(self.recipes, tuple | list) else [self.recipes]
        if wrong := [one for one in recipes if not isinstance(one, LabelNoise)]:
            raise UserTypeError(f"Compose got {described(wrong[0])}; expected a tuple of noises, such as (Flip(0.4),).")
        flat: list[LabelNoise] = []
        for recipe in self.recipes:
            flat.extend(recipe.recipes if isinstance(recipe, Compose) else [recipe])
        if not flat:
            raise UserError("Compose got no recipes; expected at least one.")
        if any(isinstance(recipe, HumanLabels) for recipe in flat[1:]):
            raise UserError(
                "Compose got HumanLabels after another recipe, whose labels it would overwrite; put HumanLabels first."
            )
        object.__setattr__(self, "recipes", tuple(flat))

    def for_part(self, indices: np.ndarray, num_train: int) -> LabelNoise:
        """Return the composition of the recipes' parts; see :meth:`LabelNoise.for_part`."""
        return replace(self, recipes=tuple(recipe.for_part(indices, num_train) for recipe in self.recipes))

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Apply the recipes in order; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        given, true, transition = labels.copy(), labels.copy(), np.eye(num_classes)
        replaced: list[Replacement] = []
        for recipe in self.recipes:
            inside = np.flatnonzero(true != NO_CLASS)
            if len(inside) == 0:
                break
            seen = features if len(inside) == len(labels) else part_of(features, inside)
            step = recipe.apply(given[inside], seen, num_classes, generator)
            given[inside], transition = step.labels, transition @ step.transition
            if step.replaced is not None:
                positions = inside[step.replaced.positions]
                true[positions] = NO_CLASS
                replaced.append(Replacement(positions, step.replaced.images))
        if not all(isinstance(recipe, ClassConditionalNoise | OpenSet) for recipe in self.recipes[1:]):
            transition = realised_transition(true, given, num_classes)
        return NoisyLabels(given, true, transition, _joined(replaced))


def _joined(parts: list[Replacement]) -> Replacement | None:
    if not parts:
        return None
    return Replacement(
        np.concatenate([part.positions for part in parts]), np.concatenate([part.images for part in parts])
    )
