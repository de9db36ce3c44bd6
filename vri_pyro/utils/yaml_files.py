"""Read YAML files of options; errors name the file and the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vri_pyro.utils.errors import UserError

_MOST = 100_000  # values in a file; configurations have a few hundred


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that maps options to values.

    Raises:
        UserError: the file is missing, a folder, unreadable, not UTF-8, not valid YAML, not a mapping, or huge.
    """
    text = _text(path)
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path}, {_problem(error, text)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML ({' '.join(str(error).split())}); write it as text.") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply; use the format of config.yaml in a run folder.") from error
    if _is_huge(content):
        raise UserError(f"{path} has more than {_MOST:,} values; use the format of config.yaml in a run folder.")
    if content is not None and not isinstance(content, dict):
        raise UserError(f"{path} does not map options to values; use the format of config.yaml in a run folder.")
    return content or {}


def _is_huge(content: Any) -> bool:
    """Return whether a content has too many values; aliases can repeat a part of a small file exponentially often."""
    waiting, count = [content], 0
    while waiting:
        one, count = waiting.pop(), count + 1
        if count > _MOST:
            return True
        if isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one
    return False


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return the line, the problem and the remedy of a syntax error."""
    # The parser notices a missing colon at the next line; the context is the line that lacks it.
    mark = error.context_mark if error.problem == "could not find expected ':'" else error.problem_mark
    line = mark.line if mark else 0
    lines = text.splitlines()
    if line < len(lines) and "\t" in lines[line][: len(lines[line]) - len(lines[line].lstrip())]:
        return f"line {line + 1}: the line is indented with a tab; use spaces."
    return f"line {line + 1}: {error.problem}; check the line's indentation, colons and quotes."


def _text(path: Path) -> str:
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a YAML file, such as config.yaml in a run folder.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; check the path.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check its permissions.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8.") from error


def line_of(path: Path, option: str, word: str) -> int | None:
    """Return the line, from 1, of an option in a YAML file, or of a word in it; None if the option is not there.

    Args:
        path: the file.
        option: name of the option, such as "method.model.prior"; ``init_args`` is no part of it.
        word: a key or value inside the option, whose line is preferred.
    """
    node: yaml.Node | None = yaml.compose(_text(path), Loader=yaml.SafeLoader)
    line = None
    for name in option.split("."):
        found = _entry(node, name)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    if line is None:
        return None
    return next((one.start_mark.line + 1 for one in _scalars(node) if one.value == word), line)


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and the value of a name in a mapping, or in its ``init_args``."""
    entries = {key.value: (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
    if name not in entries and "init_args" in entries:
        return _entry(entries["init_args"][1], name)
    return entries.get(name)


def _scalars(node: yaml.Node | None) -> list[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        return [node]
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        children = [one for pair in children for one in pair]
    return [scalar for child in children for scalar in _scalars(child)]
