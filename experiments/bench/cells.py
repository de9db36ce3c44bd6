"""The cells of the bench: a data set, a noise, a number of trusted labels and a seed, drawn at random."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from study.data import pooled

from bench.datasets import DATASETS, Dataset
from vri_pyro.data import LabelNoise, NoNoise, OpenSet, make_split
from vri_pyro.data import noise as noise_recipes

# Two rates of every noise.
RATES = {
    "Flip": (0.2, 0.4),
    "PairFlip": (0.2, 0.45),
    "Flip2": (0.3, 0.5),
    "UniformExclusive": (0.3, 0.6),
    "UniformInclusive": (0.4, 0.8),
    "InstanceDependent": (0.2, 0.4),
    "OpenSet": (0.2, 0.4),
    "AsymmetricCIFAR10": (0.2, 0.4),
    "NoNoise": (0.0, 0.0),
}
BINARY = {"Flip": (0.15, 0.3), "UniformInclusive": (0.4, 0.6), "InstanceDependent": (0.2, 0.3), "NoNoise": (0.0, 0.0)}
TRUSTED = (0, 1, 5, 20, 100)  # a class


@dataclass(frozen=True)
class Cell:
    """A setting of the bench.

    Attributes:
        dataset: name of the data set.
        noise: class name of the noise.
        rate: rate of the noise.
        trusted: number of trusted labels per class.
        seed: seed of split, noise and training.
    """

    dataset: str
    noise: str
    rate: float
    trusted: int
    seed: int

    @property
    def setting(self) -> str:
        """Data set, noise and number of trusted labels."""
        noise = "no noise" if self.noise == "NoNoise" else f"{self.noise} {self.rate:.0%}"
        return f"{self.dataset}; {noise}; {self.trusted} trusted"

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.setting}; seed {self.seed}"


class Given(NamedTuple):
    """What a method is given, and the test set.

    Attributes:
        x: inputs, [N, D] or [N, H, W, C].
        y: labels, int64 [N]; those that are not trusted may be wrong.
        trusted: whether a label is known to be right, bool [N].
        x_test, y_test: the test set.
        true: true labels, int64 [N]; -1 for inputs of no class. Only for reports.
        num_classes: number of classes K.
        seed: seed of the method.
    """

    x: np.ndarray
    y: np.ndarray
    trusted: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    true: np.ndarray
    num_classes: int
    seed: int


def noises(dataset: Dataset) -> dict[str, tuple[float, float]]:
    """Return the noises of a data set with their rates."""
    if dataset.num_classes == 2:
        return BINARY
    own = {"OpenSet": dataset.foreign is not None, "AsymmetricCIFAR10": "AsymmetricCIFAR10" in dataset.noises}
    return {name: rates for name, rates in RATES.items() if own.get(name, True)}


def draw(number: int, seed: int, names: list[str] | None = None) -> list[Cell]:
    """Draw cells at random: as many of each kind, data set, noise, rate and number of trusted labels as possible.

    Args:
        number: number of cells.
        seed: seed of the draw; the cells' own seeds depend on it too.
        names: names of the data sets; all by default.
    """
    generator = np.random.default_rng(seed)
    kinds: dict[str, list[str]] = {}
    for name in names or DATASETS:
        kinds.setdefault(DATASETS[name].kind, []).append(name)
    decks: dict[str, list[object]] = {}

    def next_of(deck: str, cards: list[object]) -> object:
        if not decks.get(deck):
            decks[deck] = [cards[i] for i in generator.permutation(len(cards))]
        return decks[deck].pop()

    found = []
    for index in range(number):
        kind = list(kinds)[index % len(kinds)]
        dataset = str(next_of(kind, list(kinds[kind])))
        possible = noises(DATASETS[dataset])
        noise = str(next_of(f"noise of {kind} {len(possible)}", list(possible)))
        rate = possible[noise][int(generator.integers(2))]
        trusted = next_of(f"trusted of {kind}", list(TRUSTED))
        assert isinstance(trusted, int)
        found.append(Cell(dataset, noise, rate, trusted, int(1000 * seed + index)))
    return found


def recipe(cell: Cell, folder: Path) -> LabelNoise:
    """Return the noise of a cell."""
    if cell.noise == "NoNoise":
        return NoNoise()
    if cell.noise == "OpenSet":
        dataset = DATASETS[cell.dataset]
        images = folder / f"{dataset.foreign}.npz"
        return OpenSet(images if dataset.side is None else pooled(images, dataset.side, folder), cell.rate)
    return getattr(noise_recipes, cell.noise)(cell.rate)


def given(cell: Cell, folder: Path) -> Given:
    """Make the data of a cell."""
    dataset = DATASETS[cell.dataset]
    arrays = dataset.load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer examples than trusted labels asked for
        split = make_split(
            arrays,
            recipe(cell, folder),
            clean_per_class=cell.trusted,
            validation_per_class=0,
            noisy_size=None,
            seed=cell.seed,
        )
    noisy = split.noisy_indices
    generator = np.random.default_rng(cell.seed)
    if len(split.noisy_indices) > dataset.noisy_size:
        noisy = np.sort(generator.permutation(split.noisy_indices)[: dataset.noisy_size])
    rows = np.concatenate([split.clean_indices, noisy])
    labels, truth = split.labels(arrays.y_train), np.full(len(arrays.y_train), -2)
    truth[split.clean_indices] = split.clean_labels
    assert split.true_labels is not None
    assert arrays.x_test is not None
    assert arrays.y_test is not None
    truth[split.noisy_indices] = split.true_labels
    inputs = np.asarray(split.inputs(arrays.x_train)[rows])
    return Given(
        inputs,
        labels[rows],
        np.arange(len(rows)) < len(split.clean_indices),
        np.asarray(arrays.x_test),
        arrays.y_test,
        truth[rows],
        dataset.num_classes,
        cell.seed,
    )
