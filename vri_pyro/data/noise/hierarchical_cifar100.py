"""Hierarchical noise for CIFAR-100, with confusions within a superclass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vri_pyro.data.noise.base import check_rate
from vri_pyro.data.noise.class_conditional import ClassConditionalNoise
from vri_pyro.utils.errors import UserError

CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
# CIFAR-100 numbers its fine labels in the alphabetical order of their names.
CIFAR100_CLASSES = tuple(sorted(name for members in CIFAR100_SUPERCLASSES.values() for name in members))


@dataclass(frozen=True)
class HierarchicalCIFAR100(ClassConditionalNoise):
    """Hierarchical noise for CIFAR-100: classes of a superclass are confused, with rate ρ.

    Each of the other four classes of the superclass has probability ρ/4.

    Reference: Hendrycks et al., Using trusted data to train deep networks on labels corrupted by severe noise,
    NeurIPS 2018, for noise within superclasses.

    Attributes:
        rate: ρ, from 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        """Check the rate."""
        check_rate("HierarchicalCIFAR100", self.rate)

    def transition(self, num_classes: int, generator: np.random.Generator) -> np.ndarray:
        """Return T, float64 [100, 100], in CIFAR-100's order of fine classes; draw nothing.

        Raises:
            UserError: the number of classes is not 100.
        """
        if num_classes != len(CIFAR100_CLASSES):
            raise UserError(f"{self!r} got {num_classes} classes; expected the 100 classes of CIFAR-100.")
        transition = np.zeros((num_classes, num_classes))
        for members in CIFAR100_SUPERCLASSES.values():
            labels = [CIFAR100_CLASSES.index(name) for name in members]
            transition[np.ix_(labels, labels)] = self.rate / (len(labels) - 1)
        np.fill_diagonal(transition, 1.0 - self.rate)
        return transition
