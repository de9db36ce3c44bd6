"""Several noises, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vri_pyro.data.noise.base import LabelNoise, NoisyLabels, check_class_count
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.data.noise.transition import realised_transition
from vri_pyro.data.streamed import Inputs
from vri_pyro.errors import UserError


@dataclass(frozen=True)
class Compose(LabelNoise):
    """Recipes in order, each applied to the labels that the one before it left.

    The nominal matrix is the product T₁T₂… where every recipe after the first depends on the class alone. It is the
    realised matrix otherwise, because a later recipe that looks at the example is not independent of the earlier.

    Attributes:
        recipes: at least one; the items of a composition among them take its place. :class:`HumanLabels`
            belongs first, because it replaces the labels whatever they are.

    Raises:
        UserError: there are no recipes.
    """

    recipes: tuple[LabelNoise, ...]

    def __post_init__(self) -> None:
        """Check that there are recipes, and keep them as one flat tuple."""
        flat: list[LabelNoise] = []
        for recipe in self.recipes:
            flat.extend(recipe.recipes if isinstance(recipe, Compose) else [recipe])
        if not flat:
            raise UserError("Compose got no recipes; give at least one.")
        object.__setattr__(self, "recipes", tuple(flat))

    def for_part(self, indices: np.ndarray, num_train: int) -> LabelNoise:
        """The composition of the recipes for these examples; see :meth:`LabelNoise.for_part`."""
        return replace(self, recipes=tuple(recipe.for_part(indices, num_train) for recipe in self.recipes))

    def apply(
        self, labels: np.ndarray, features: Inputs, num_classes: int, generator: np.random.Generator
    ) -> NoisyLabels:
        """Corrupt the labels once a recipe; see :meth:`LabelNoise.apply`."""
        check_class_count(self, num_classes)
        given, transition = labels, np.eye(num_classes)
        for recipe in self.recipes:
            step = recipe.apply(given, features, num_classes, generator)
            given, transition = step.labels, transition @ step.transition
        if not all(isinstance(recipe, ClassConditionalNoise) for recipe in self.recipes[1:]):
            transition = realised_transition(labels, given, num_classes)
        return NoisyLabels(given, labels, transition)
