"""Options that are paths are known by their types, and become absolute."""

from __future__ import annotations

from pathlib import Path

import pytest

from vri_pyro.data import ImageFolder, NpzFile
from vri_pyro.runs.parsing import build_configuration, configuration_parser
from vri_pyro.runs.places import data_places, missing_place, with_absolute_places, with_data_at
from vri_pyro.utils.errors import UserError


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (["--data", "NpzFile", "--data.path", "a.npz"], {"data.path": "a.npz"}),
        (
            ["--data", "Table", "--data.path", "a.csv", "--data.image_root", "photos"],
            {"data.path": "a.csv", "data.image_root": "photos"},
        ),
        (["--data", "HuggingFace", "--data.path", "saved"], {"data.path": "saved"}),
        (
            ["--data", "Animal10N", "--data.path", "a", "--data.clean_list", "b"],
            {"data.path": "a", "data.clean_list": "b"},
        ),
        (["--noise", "HumanLabels", "--noise.path", "labels.npy"], {"noise.path": "labels.npy"}),
        (["--split.file", "split.npz"], {"split.file": "split.npz"}),
        (
            ["--method.model", "ForwardCorrection", "--method.model.matrix", "given.csv"],
            {"method.model.matrix": "given.csv"},
        ),
    ],
)
def test_paths_of_all_parts_become_absolute(
    words: list[str], places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parser = configuration_parser()
    options = parser.parse_args(words)
    absolute = with_absolute_places(options)
    for name, place in places.items():
        first, *rest = name.split(".")
        for one, expected in ((options, place), (absolute, str(tmp_path / place))):
            value = one[first]
            for key in rest:
                value = value["init_args"][key] if "class_path" in value else value[key]
            assert str(value) == expected
    assert {name for name in places if name.startswith("data.")} <= set(data_places(options))
    assert str(absolute.output) == str(tmp_path / "runs/latest")


def test_options_that_are_no_paths_stay_as_they_are(tmp_path: Path) -> None:
    parser = configuration_parser()
    options = parser.parse_args(["--output", str(tmp_path)])
    assert with_absolute_places(options) == options


def test_addresses_stay_as_they_are() -> None:
    options = configuration_parser().parse_args(["--data", "NpzFile", "--data.path", "https://a.b/c.npz"])
    assert with_absolute_places(options).data.init_args.path == "https://a.b/c.npz"


def test_data_at_another_place_are_loaded_from_there(tmp_path: Path) -> None:
    parser = configuration_parser()
    options = parser.parse_args(["--data", "NpzFile", "--data.path", "a.npz"])
    moved = build_configuration(parser, with_data_at(options, {"path": tmp_path / "b.npz"})).data
    assert isinstance(moved, NpzFile)
    assert moved.path == str(tmp_path / "b.npz")
    with pytest.raises(UserError, match="NpzFile, whose place has no option image_root; expected one of path"):
        with_data_at(options, {"image_root": tmp_path})
    with pytest.raises(UserError, match="Digits, whose place has no option path; leave the option out"):
        with_data_at(parser.parse_args([]), {"path": tmp_path})


def test_first_path_that_does_not_exist_is_the_missing_one(tmp_path: Path) -> None:
    assert missing_place(ImageFolder(tmp_path)) is None
    assert missing_place(ImageFolder(tmp_path / "gone")) == tmp_path / "gone"
