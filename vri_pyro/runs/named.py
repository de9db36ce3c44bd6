"""The named configurations, such as "vri" and "elr", which are installed with the package."""

from __future__ import annotations

import difflib
import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.parsing import build_configuration, configuration_parser
from vri_pyro.utils.errors import UserError

_OF_THE_DATA = ("data", "noise", "split")


@cache
def method_names() -> tuple[str, ...]:
    """Return the names of the configurations that set a training method, sorted."""
    texts = {path.name.removesuffix(".yaml"): path for path in files("vri_pyro.configs").iterdir()}
    return tuple(sorted(name for name, path in texts.items() if path.name.endswith(".yaml") and _sets_method(name)))


def named_configuration(name: str, options: dict[str, Any], **fields: Any) -> Configuration:
    """Build the configuration of a named method.

    Args:
        name: name of the method, one of :func:`method_names`; case, hyphens and underscores do not matter.
        options: further options as in a YAML file; they override those of the named configuration.
        fields: finished values of :class:`~vri_pyro.runs.configuration.Configuration`, such as a data source; they
            override everything else.

    Raises:
        UserError: there is no method of this name, or an option is invalid.
    """
    parser, parsed = _parsed(_known(name), json.dumps(options))
    return replace(build_configuration(parser, parsed), **fields)


@cache  # parsing takes longer than training a small network
def _parsed(name: str, options: str) -> tuple[ArgumentParser, Namespace]:
    own = {key: value for key, value in _content(name).items() if key not in _OF_THE_DATA}
    parser = configuration_parser()
    return parser, parser.parse_object(json.loads(options), cfg_base=parser.parse_object(own))


@cache
def _text(name: str) -> str:
    return files("vri_pyro.configs").joinpath(f"{name}.yaml").read_text()


def _content(name: str) -> dict[str, Any]:
    return yaml.safe_load(_text(name))


def _sets_method(name: str) -> bool:
    return "method" in _content(name) or "warm_up" in _content(name)


def _known(name: str) -> str:
    """Return the name as it is written in :func:`method_names`."""
    known = {_plain(one): one for one in method_names()}
    if _plain(name) in known:
        return known[_plain(name)]
    close = difflib.get_close_matches(_plain(name), known, n=1)
    hint = f"did you mean {known[close[0]]!r}?" if close else f"expected one of {', '.join(method_names())}"
    raise UserError(f"there is no method {name!r}; {hint}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
