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

_PARTS = ("methods", "models", "guides", "backbones", "infer", "interfaces", "data", "training", "runs.configuration")
# The data sets for image classification that unpickle nothing, by module. Other modules beside them unpack archives.
_DATASETS = {
    "cifar": ("CIFAR10", "CIFAR100"),
    "dtd": ("DTD",),
    "eurosat": ("EuroSAT",),
    "fakedata": ("FakeData",),
    "fgvc_aircraft": ("FGVCAircraft",),
    "flowers102": ("Flowers102",),
    "folder": ("DatasetFolder", "ImageFolder"),
    "food101": ("Food101",),
    "gtsrb": ("GTSRB",),
    "imagenette": ("Imagenette",),
    "mnist": ("EMNIST", "FashionMNIST", "KMNIST", "MNIST", "QMNIST"),
    "oxford_iiit_pet": ("OxfordIIITPet",),
    "stl10": ("STL10",),
    "svhn": ("SVHN",),
}
#: import paths that a configuration may always name, with all that is below them. The rest of the package is not among
#: them, since some of its functions, such as ``load_network``, have an option to trust others.
KNOWN = (
    *(f"vri_pyro.{part}" for part in _PARTS),
    "vri_pyro.Classifier",  # the path by which the parser names what a backbone returns
    "torch.nn",
    "torch.optim",
    "torchvision.transforms",
    *(f"torchvision.datasets.{name}" for module, names in _DATASETS.items() for name in (module, *names)),
)
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
    """Return whether an import path is below one of the :data:`KNOWN` ones; a name without a module is."""
    return "." not in path or any(f"{path}.".startswith(f"{known}.") for known in KNOWN)


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
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=allowed)
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
