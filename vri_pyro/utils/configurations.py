"""The YAML files of named configurations, such as "vri" and "elr", which are installed with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.spelling import nearest

_SUFFIX = ".yaml"


def configuration_files() -> dict[str, Path]:
    """Return the file of each named configuration, by name, sorted."""
    folder = Path(str(files("vri_pyro.configs")))
    return {file.stem: file for file in sorted(folder.glob(f"*{_SUFFIX}"))}


def existing_file(name: str) -> str:
    """Return the file of a named configuration; any other name, and one that is also the path of a file, unchanged.

    Raises:
        UserError: there is no such file, and the name is nearly that of a configuration.
    """
    if Path(name).exists():
        return name
    known, plain = configuration_files(), name.removesuffix(_SUFFIX)
    if plain not in known and (near := nearest(plain, known)):
        raise UserError(f"there is no file and no configuration {name}; did you mean {near!r}?")
    return str(known.get(plain, name))
