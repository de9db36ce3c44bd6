"""Parser of the commands whose options may come from files."""

from __future__ import annotations

from jsonargparse import ArgumentParser


def configured_parser(description: str) -> ArgumentParser:
    """Return a parser whose options may come from files, which name code of others only with ``--trust true``."""
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    parser.add_argument(
        "--config", action="config", help="YAML file with options; may be repeated; later files override earlier ones"
    )
    parser.add_argument(
        "--trust",
        type=bool,
        default=False,
        help="import and execute code that a --config file names although it is not part of vri_pyro",
    )
    return parser
