"""The named configurations, such as "vri" and "elr", which are installed with the package."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.parsing import build_configuration, configuration_parser
from vri_pyro.utils.configurations import configuration_files
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.spelling import nearest
from vri_pyro.utils.yaml_files import read_yaml

_OF_THE_DATA = ("data", "noise", "split")


@cache
def method_names() -> tuple[str, ...]:
    """Return the names of the configurations that set a training method, without the data, sorted."""
    return tuple(name for name in configuration_files() if _sets_method(name))


def named_configuration(name: str, defaults: dict[str, Any], options: dict[str, Any], **fields: Any) -> Configuration:
    """Build the configuration of a named method.

    Args:
        name: name of the method, one of :func:`method_names`; case, hyphens and underscores do not matter.
        defaults: options as in a YAML file, which the named configuration overrides.
        options: options that override those of the named configuration.
        fields: finished values of :class:`~vri_pyro.runs.configuration.Configuration`, such as a data source; they
            override everything else.

    Raises:
        UserError: there is no method of this name, or an option is invalid.
    """
    parser, parsed = _parsed(_known(name), json.dumps(defaults), json.dumps(options))
    return replace(build_configuration(parser, parsed), **fields)


@cache  # parsing takes longer than training a small network
def _parsed(name: str, defaults: str, options: str) -> tuple[ArgumentParser, Namespace]:
    own = {key: value for key, value in _content(name).items() if key not in _OF_THE_DATA}
    parser = configuration_parser()
    merged = _merged(_merged(json.loads(defaults), own), json.loads(options))
    return parser, parser.parse_object(merged)


def _merged(options: Any, over: Any) -> Any:
    """Return nested options with other ones on top; the options of another class are dropped."""
    if not (isinstance(options, dict) and isinstance(over, dict)):
        return over
    if "class_path" in options and over.get("class_path", options["class_path"]) != options["class_path"]:
        return over
    return options | {name: _merged(options.get(name), value) for name, value in over.items()}


@cache
def _content(name: str) -> dict[str, Any]:
    return read_yaml(configuration_files()[name])


def _sets_method(name: str) -> bool:
    content = _content(name)
    return ("method" in content or "warm_up" in content) and "data" not in content


def _known(name: str) -> str:
    """Return the name as it is written in :func:`method_names`."""
    known = {_plain(one): one for one in method_names()}
    if _plain(name) in known:
        return known[_plain(name)]
    near = nearest(_plain(name), known)
    hint = f"did you mean {known[near]!r}?" if near else f"expected one of {', '.join(method_names())}"
    raise UserError(f"there is no method {name!r}; {hint}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
