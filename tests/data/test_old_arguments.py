"""Names of the sources' arguments before version 0.2, on the command line, in configurations and in Python."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

import vri_pyro.data
from vri_pyro.cli.old_names import with_current_names
from vri_pyro.data import CIFAR10N, HuggingFace, ImageFolder, Table
from vri_pyro.runs.parsing import configuration_parser, read_configuration
from vri_pyro.utils.deprecations import (
    ARGUMENTS,
    DeprecatedNameWarning,
    current_arguments,
    current_configuration,
)
from vri_pyro.utils.errors import UserError

quietly = pytest.mark.filterwarnings("ignore::vri_pyro.utils.deprecations.DeprecatedNameWarning")


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_every_new_name_is_an_argument_of_its_class_and_no_other_old_name_is(name: str) -> None:
    arguments = set(inspect.signature(getattr(vri_pyro.data, name)).parameters)
    assert set(ARGUMENTS[name].values()) <= arguments
    assert arguments & set(ARGUMENTS[name]) <= set(ARGUMENTS[name].values())


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_every_old_name_is_accepted_by_its_class(name: str) -> None:
    source = getattr(vri_pyro.data, name)
    given = {old: f"the {new}" for old, new in ARGUMENTS[name].items()}
    required = {} if "path" in ARGUMENTS[name].values() else {"path": "somewhere"}
    with pytest.warns(DeprecatedNameWarning) as caught:
        made = source(**required, **given)
    assert {new: getattr(made, new) for new in ARGUMENTS[name].values()} == {
        new: f"the {new}" for new in ARGUMENTS[name].values()
    }
    assert {str(one.message).partition(";")[0] for one in caught} == {
        f"{name}.{old} is now called {name}.{new}" for old, new in ARGUMENTS[name].items()
    }
    assert {one.filename for one in caught} == {__file__}


def test_every_class_that_locates_its_data_calls_the_place_path() -> None:
    places = {
        name: next(iter(inspect.signature(source).parameters), None)
        for name in vri_pyro.data.__all__
        if isinstance(source := getattr(vri_pyro.data, name), type) and issubclass(source, vri_pyro.data.Source)
    }
    assert {name for name, first in places.items() if first != "path"} == {"Digits", "Source", "TorchDatasets"}


def test_a_new_name_needs_no_warning() -> None:
    assert Table("t.csv", path_column="image") == Table(path="t.csv", path_column="image")
    assert replace(ImageFolder("a"), path="b") == ImageFolder(path="b")


@quietly
def test_the_old_path_of_a_table_is_its_column_beside_the_file() -> None:
    assert Table(file="t.csv", path="image") == Table("t.csv", path_column="image")
    assert Table("t.csv", path="image") == Table("t.csv", path_column="image")


@quietly
def test_an_argument_under_both_of_its_names_is_refused() -> None:
    with pytest.raises(UserError, match="ImageFolder got path under its old name as well; set only path"):
        ImageFolder(root="a", path="b")  # type: ignore[call-arg]
    configuration = {"data": {"class_path": "ImageFolder", "init_args": {"root": "a", "path": "b"}}}
    with pytest.raises(UserError, match="data has path under its old name as well; set only path"):
        current_configuration(configuration)


@quietly
@pytest.mark.parametrize(
    ("given", "current"),
    [
        (("--data", "ImageFolder", "--data.root=x"), ("--data", "ImageFolder", "--data.path=x")),
        (("--data=vri_pyro.data.CIFAR10N", "--data.root", "x"), ("--data=vri_pyro.data.CIFAR10N", "--data.path", "x")),
        (
            ("--data", "Table", "--data.file", "t", "--data.path", "image", "--data.init_args.root", "x"),
            ("--data", "Table", "--data.path", "t", "--data.path_column", "image", "--data.init_args.image_root", "x"),
        ),
        (("--data", "Table", "--data.path", "t"), ("--data", "Table", "--data.path", "t")),
        (("--data", "CIFAR10N", "--data.file", "t"), ("--data", "CIFAR10N", "--data.file", "t")),
        (("--data", "mine.Table", "--data.file", "t"), ("--data", "mine.Table", "--data.file", "t")),
    ],
)
def test_options_of_sources_are_replaced_on_the_command_line(given: tuple[str, ...], current: tuple[str, ...]) -> None:
    assert current_arguments(given) == list(current)


@quietly
def test_the_class_of_an_option_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: {class_path: Table, init_args: {path: t.csv}}")
    given = ["fit", "--config", str(file), "--data.label", "kind"]
    assert with_current_names(given) == [*given[:3], "--data.label_column", "kind"]


@quietly
def test_options_of_sources_are_replaced_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("data: {class_path: vri_pyro.data.Table, init_args: {file: t.csv, path: image, label: y}}")
    parser = configuration_parser()
    found = parser.instantiate(read_configuration(parser, file)).data
    assert found == Table("t.csv", path_column="image", label_column="y")


def test_current_names_stay_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("data: {class_path: Table, init_args: {path: t.csv, path_column: image}}")
    parser = configuration_parser()
    assert parser.instantiate(read_configuration(parser, file)).data == Table("t.csv", path_column="image")
    assert CIFAR10N("x", file="y").file == "y"
    assert HuggingFace("x").label_column == "label"
