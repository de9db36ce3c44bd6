"""Options for data that have moved since a run was trained."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

_OPTIONS = {
    "path": "new place of the data, if they have moved since the run was trained",
    "verified_table": "new place of the table of checked classes, if it was given for the run and has moved",
    "image_root": "new folder of the images, if it was given for the run and has moved",
}


def add_data_places(parser: ArgumentParser) -> None:
    """Add ``--data.path`` and the like, named as the options of ``fit``."""
    for name, told in _OPTIONS.items():
        parser.add_argument(f"--data.{name}", type=Path | None, default=None, help=told)


def data_places(options: Namespace) -> dict[str, Path]:
    """Return the given places by name."""
    return {name: place for name in _OPTIONS if (place := options.data[name]) is not None}
