"""``vri-pyro data``: preview the data of a run, without training."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.data import Streamed, damaged
from vri_pyro.runs.building import load_data
from vri_pyro.runs.leaks import handle_duplicates
from vri_pyro.runs.parsing import build_configuration, configuration_parser, without
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable

_OWN = ("picture", "check")


def build_parser() -> ArgumentParser:
    """Build the parser of the command, which has all options of ``fit``."""
    parser = configuration_parser(
        "Preview the data that `vri-pyro fit` uses with the same options. Print sizes, class counts and the realised "
        "noise. Write a picture of examples, with given and true labels, and of the transition matrices.",
    )
    parser.add_argument("--picture", type=Path, default=Path("data.png"), help="file for the picture")
    parser.add_argument(
        "--check", type=bool, default=False, help="read every image of a streamed data set and report damaged ones"
    )
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Prepare the data as ``fit`` does, print tables and write the picture."""
    from vri_pyro.cli.preview import draw, is_picture, tables  # lazy, because importing matplotlib is slow

    check_replaceable(options.picture, is_picture, "a picture of vri-pyro data", "--picture")
    configuration = build_configuration(parser, without(options, _OWN))
    arrays, split = load_data(configuration)
    if options.check:
        _check(arrays.x_train, "training")
        _check(arrays.x_test, "test")
    split, told = handle_duplicates(arrays, split, configuration.duplicates)
    console = SafeConsole()
    for table in tables(arrays, split):
        console.print(table)
    for line in told:
        console.print(line, soft_wrap=True)
    drawn = draw(arrays, split, configuration.augmentation, options.picture)
    place = options.picture.absolute() if drawn else "none, since the inputs are vectors and no true labels are known"
    console.print(f"picture: {place}", soft_wrap=True)
    return 0


def _check(inputs: object, part: str) -> None:
    if not isinstance(inputs, Streamed):
        return
    if found := damaged(inputs):
        listed = "; ".join(reason for _, reason in found[:10])
        raise UserError(f"{len(found)} of {len(inputs)} {part} images are unusable: {listed}")
