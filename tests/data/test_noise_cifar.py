"""CIFAR noise recipes: class names and confusions, checked against the published order of classes."""

from __future__ import annotations

import numpy as np
import pytest

from vri_pyro.data import AsymmetricCIFAR10, HierarchicalCIFAR100, generator_for
from vri_pyro.data.noise.asymmetric_cifar10 import CIFAR10_CLASSES
from vri_pyro.data.noise.hierarchical_cifar100 import CIFAR100_CLASSES, CIFAR100_SUPERCLASSES

# The coarse label of each fine label, from CIFAR-100's files.
COARSE = (
    "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 "
    "5 19 8 8 15 13 14 17 18 10 16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 12 9 13 15 13 "
    "16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17 8 14 13"
)


def test_cifar10_confusions_are_the_published_ones() -> None:
    transition = AsymmetricCIFAR10(0.3).transition(10, generator_for(0, "noise"))
    off = transition - np.diag(transition.diagonal())
    assert {(int(i), int(j)) for i, j in np.argwhere(off)} == {(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)}
    np.testing.assert_allclose(off[off > 0], 0.3)
    assert np.flatnonzero(transition.diagonal() == 1.0).tolist() == [0, 1, 6, 7, 8]
    assert CIFAR10_CLASSES[6] == "frog"


def test_cifar100_has_twenty_superclasses_of_five() -> None:
    assert len(CIFAR100_SUPERCLASSES) == 20
    assert {len(members) for members in CIFAR100_SUPERCLASSES.values()} == {5}
    assert len(set(CIFAR100_CLASSES)) == 100


def test_cifar100_superclasses_pair_fine_and_coarse_labels_as_the_files_do() -> None:
    numbers = {name: number for number, members in enumerate(CIFAR100_SUPERCLASSES.values()) for name in members}
    assert [numbers[name] for name in CIFAR100_CLASSES] == [int(number) for number in COARSE.split()]
    assert list(CIFAR100_SUPERCLASSES) == sorted(CIFAR100_SUPERCLASSES)


@pytest.mark.parametrize(
    ("fine", "label"), [("apple", 0), ("crab", 26), ("maple_tree", 47), ("pickup_truck", 58), ("worm", 99)]
)
def test_cifar100_classes_are_numbered_as_published(fine: str, label: int) -> None:
    assert CIFAR100_CLASSES[label] == fine


@pytest.mark.parametrize(
    ("true", "others"),
    [
        ("apple", {"mushroom", "orange", "pear", "sweet_pepper"}),
        ("maple_tree", {"oak_tree", "palm_tree", "pine_tree", "willow_tree"}),
        ("shark", {"aquarium_fish", "flatfish", "ray", "trout"}),
        ("tractor", {"lawn_mower", "rocket", "streetcar", "tank"}),
        ("woman", {"baby", "boy", "girl", "man"}),
    ],
)
def test_hierarchical_noise_stays_within_the_superclass(true: str, others: set[str]) -> None:
    row = HierarchicalCIFAR100(0.4).transition(100, generator_for(0, "noise"))[CIFAR100_CLASSES.index(true)]
    assert {CIFAR100_CLASSES[label] for label in np.flatnonzero(row == 0.1)} == others
    assert row[CIFAR100_CLASSES.index(true)] == 0.6
    assert (row > 0).sum() == 5
