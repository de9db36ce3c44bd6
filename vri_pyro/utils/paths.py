"""Absolute paths in what a user shares, which tell the user's name and the layout of the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

_ROOT = r"(?:/(?!/)|~[\w.-]*/|[A-Za-z]:[\\/]|\\\\)"
_QUOTED = re.compile(rf"""(?<=['"]){_ROOT}(?:[^'"\n]*[\\/])?(?=[^'"\n]*['"])""")
_PLAIN = re.compile(rf"""(?<![^\s=(\[{{,:]){_ROOT}(?:[^\s'",;()\[\]{{}}]*[\\/])?(?=[^\s/\\])""")


def without_folders(text: str) -> str:
    """Replace the folders of absolute paths in a text by an ellipsis: ``/home/me/data/a.png`` becomes ``…/a.png``.

    A text that is an absolute path as a whole may have spaces in the path; in other texts, only quoted paths may.
    """
    for kind in (PurePosixPath, PureWindowsPath):
        if "\n" not in text and kind(text).is_absolute():
            return f"…/{kind(text).name}"
    return _PLAIN.sub("…/", _QUOTED.sub("…/", text))


def options_without_folders(options: Any) -> Any:
    """Return nested options in which every text is shortened by :func:`without_folders`."""
    if isinstance(options, str):
        return without_folders(options)
    if isinstance(options, list):
        return [options_without_folders(one) for one in options]
    if isinstance(options, Mapping):
        return {name: options_without_folders(one) for name, one in options.items()}
    return options
