"""Which code a configuration may name: the classes of this package and of PyTorch, unless the user trusts it.

A class path in a configuration imports a module, and importing a module executes it. The configuration of a run folder
from somebody else therefore names known classes only, or it is not opened. See the page on security.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import set_parsing_settings
from jsonargparse._common import parsing_settings

from vri_pyro.utils.errors import UserError

#: packages whose classes a configuration may always name
KNOWN = ("vri_pyro", "torch.nn", "torch.optim", "torchvision.datasets", "torchvision.transforms")
# Data sets of torchvision that unpickle a file of the data set, which may execute anything.
_UNSAFE = ("torchvision.datasets.lsun",)
_POLICY = ("import_path_verdicts", "import_paths_enforced")
_DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")
# jsonargparse's policy is global and can only be extended, so its own settings are restored afterwards.
_UNLIMITED = {name: parsing_settings[name] for name in _POLICY}


class UntrustedCode(UserError):
    """A configuration names code that is neither known nor trusted.

    Args:
        where: the file or folder with the configuration.
        paths: the class paths, at least one.
    """

    def __init__(self, where: Path | str, paths: Collection[str]) -> None:
        super().__init__(
            f"{where} names code that is not part of vri_pyro: {', '.join(sorted(paths))}; if you trust it, add "
            "--trust true, or trust=True in Python"
        )


def is_known(path: str) -> bool:
    """Return whether a class path belongs to one of the :data:`KNOWN` packages; a name without a module does."""
    return "." not in path or any(f"{path}.".startswith(f"{package}.") for package in KNOWN)


def unknown_classes(options: Any) -> set[str]:
    """Return the class paths in a configuration that are not known; nothing is imported."""
    if isinstance(options, list):
        return set().union(*map(unknown_classes, options))
    if not isinstance(options, Mapping):
        return set()
    found = set().union(*map(unknown_classes, options.values()))
    path = options.get("class_path")
    return found | ({path} if isinstance(path, str) and not is_known(path) else set())


def check_classes(options: Any, where: Path | str) -> None:
    """Raise if a configuration has a class path that is not known; nothing is imported.

    Args:
        options: the configuration, with current names.
        where: the file or folder with the configuration, for the message.

    Raises:
        UntrustedCode: the configuration names other code.
    """
    if paths := unknown_classes(options):
        raise UntrustedCode(where, paths)


@contextmanager
def importing(trust: bool, where: Path | str = "", also: Collection[str] = ()) -> Iterator[None]:
    """Limit what jsonargparse may import while it parses a configuration and builds its objects.

    A string is a class path wherever the type of its option is a class or a callable, such as ``loader`` of a data set.
    Only jsonargparse knows these types, so its own import policy refuses such strings, before it imports them.

    Args:
        trust: whether the configuration may import anything.
        where: the file or folder with the configuration, for the message.
        also: further import paths that are allowed.

    Raises:
        UntrustedCode: the configuration names other code.
    """
    before = {name: parsing_settings[name] for name in _POLICY}
    if trust:
        parsing_settings.update(_UNLIMITED)
    else:
        allowed = [*KNOWN, *(path for path in also if not path.startswith("jsonargparse."))]
        set_parsing_settings(import_path_denylist=["*", *_UNSAFE], import_path_allowlist=allowed)
    try:
        yield
    except Exception as error:
        denied = set(_DENIED.findall(str(error)))
        if denied and not trust:
            raise UntrustedCode(where, denied) from error
        raise
    finally:
        parsing_settings.update(before)


def without_downloads(options: Any) -> Any:
    """Return a configuration in which no data set downloads anything."""
    if isinstance(options, list):
        return [without_downloads(one) for one in options]
    if not isinstance(options, Mapping):
        return options
    return {name: False if name == "download" else without_downloads(one) for name, one in options.items()}
