"""Building noise recipes from class paths and plain YAML values."""

from __future__ import annotations

import inspect
from typing import Any

import jsonargparse
import pytest
import yaml

from vri_pyro.data import (
    AsymmetricCIFAR10,
    Compose,
    Flip2,
    HierarchicalCIFAR100,
    HumanLabels,
    InstanceDependent,
    LabelNoise,
    PairFlip,
    TransitionMatrix,
    noise,
)

RECIPES = [
    recipe
    for recipe in vars(noise).values()
    if inspect.isclass(recipe) and issubclass(recipe, LabelNoise) and not inspect.isabstract(recipe)
]


def _build(text: str) -> Any:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--noise", type=LabelNoise)
    return parser.instantiate(parser.parse_object({"noise": yaml.safe_load(text)})).noise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{class_path: vri_pyro.data.PairFlip, init_args: {rate: 0.4}}", PairFlip(0.4)),
        ("{class_path: vri_pyro.data.Flip2, init_args: {rate: 0}}", Flip2(0.0)),
        ("{class_path: AsymmetricCIFAR10, init_args: {rate: 1}}", AsymmetricCIFAR10(1.0)),
        ("{class_path: HierarchicalCIFAR100, init_args: {rate: 0.2}}", HierarchicalCIFAR100(0.2)),
        ("{class_path: InstanceDependent, init_args: {rate: 0.2}}", InstanceDependent(0.2)),
        (
            "{class_path: InstanceDependent, init_args: {rate: 0.2, scaling: raw, std: 0}}",
            InstanceDependent(0.2, "raw", 0.0),
        ),
        (
            "{class_path: HumanLabels, init_args: {path: CIFAR-10_human.pt, key: worse_label}}",
            HumanLabels("CIFAR-10_human.pt", "worse_label"),
        ),
        ("{class_path: HumanLabels, init_args: {path: labels.npy}}", HumanLabels("labels.npy")),
        (
            "{class_path: Compose, init_args: {recipes: ["
            "{class_path: vri_pyro.data.PairFlip, init_args: {rate: 0.4}}, "
            "{class_path: vri_pyro.data.Flip2, init_args: {rate: 0.2}}]}}",
            Compose((PairFlip(0.4), Flip2(0.2))),
        ),
    ],
)
def test_recipe_is_built_from_plain_values(text: str, expected: LabelNoise) -> None:
    assert _build(text) == expected


@pytest.mark.parametrize("matrix", ["[[0.9, 0.1], [0, 1]]", "noise/T.csv"])
def test_matrix_is_given_as_numbers_or_as_a_path(matrix: str) -> None:
    built = _build(f"{{class_path: TransitionMatrix, init_args: {{matrix: {matrix}}}}}")
    assert isinstance(built, TransitionMatrix)
    assert built.matrix == yaml.safe_load(matrix)


@pytest.mark.parametrize("recipe", RECIPES)
def test_first_docstring_line_of_every_recipe_is_a_full_sentence(recipe: type[LabelNoise]) -> None:
    first, *rest = inspect.getdoc(recipe).splitlines()  # type: ignore[union-attr]
    assert first.endswith(".")
    assert not rest or rest[0] == ""
