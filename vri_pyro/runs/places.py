"""Options of a configuration that are paths of files or folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

from jsonargparse import Namespace

from vri_pyro.data import Source
from vri_pyro.runs.configuration import Configuration
from vri_pyro.utils.errors import UserError


def with_absolute_places(options: Namespace) -> Namespace:
    """Return the options with absolute paths, so that they mean the same in every working directory."""
    options = options.clone()
    for owner, key in _places(options, get_type_hints(Configuration)):
        owner[key] = _absolute(owner[key])
    return options


def data_places(options: Namespace) -> list[str]:
    """Return the options that say where the data are, named as on the command line, such as "data.path"."""
    return [f"data.{name}" for name in _paths_of(_found(options.data.class_path))]


def with_data_at(options: Namespace, places: Mapping[str, Path | str]) -> Namespace:
    """Return the options with data at another place.

    Args:
        options: options of a run.
        places: new values of options of the data source by name, such as {"path": "moved/data.npz"}.

    Raises:
        UserError: the data source has no such option, or it is not a path.
    """
    known = [name.removeprefix("data.") for name in data_places(options)]
    for name in places:
        if name not in known:
            source, has = str(options.data.class_path).rpartition(".")[2], ", ".join(known)
            raise UserError(
                f"the data of the run are {source}, whose place has no option {name}; "
                + (f"expected one of {has}" if known else "leave the option out")
            )
    options = options.clone()
    for name, place in places.items():
        options.data.init_args[name] = str(Path(place).absolute())
    return options


def missing_place(source: Source) -> Path | None:
    """Return the first path of a data source that does not exist; None if all exist."""
    values = (getattr(source, name, None) for name in _paths_of(type(source)))
    paths = (Path(value) for value in values if isinstance(value, str | Path))
    return next((path for path in paths if not path.exists()), None)


def _places(options: Namespace, hints: Mapping[str, Any]) -> Iterator[tuple[Namespace, str]]:
    """Yield the namespace and the key of each path."""
    for key, value in list(vars(options).items()):
        for inner in value if isinstance(value, list) else [value]:
            if not isinstance(inner, Namespace):
                continue
            if "class_path" in inner:
                if isinstance(arguments := inner.get("init_args"), Namespace):
                    yield from _places(arguments, _hints(_found(inner.class_path)))
            else:
                yield from _places(inner, _hints(hints.get(key)))
        if isinstance(value, str | Path) and _is_path(hints.get(key)):
            yield options, key


def _found(class_path: str) -> Any:
    try:
        return resolve_name(class_path)
    except (ImportError, AttributeError, ValueError):
        return None


def _hints(target: Any) -> dict[str, Any]:
    """Return the types of the arguments of a class or function; empty if they are unknown."""
    is_class = isinstance(target, type)
    try:
        return get_type_hints(target.__init__ if is_class else target)
    except (TypeError, NameError, AttributeError):
        return {}


def _paths_of(kind: Any) -> list[str]:
    """Return the names of the arguments of a class that are paths."""
    return [name for name, hint in _hints(kind).items() if _is_path(hint)]


def _is_path(hint: Any) -> bool:
    return hint is Path or any(_is_path(inner) for inner in get_args(hint))


def _absolute(place: str | Path) -> str | Path:
    """Return an absolute path of the same type; an address such as https://… stays as it is."""
    if "://" in str(place):
        return place
    return type(place)(Path(place).absolute())
