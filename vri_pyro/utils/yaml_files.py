"""Read YAML files of options; errors name the file and the line."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import yaml

from vri_pyro.utils.errors import UserError, shortened

_SHOWN = 30  # characters of a value in a message
_MOST_VALUES = 100_000  # in a file with aliases, whose values are repeated
_PATHS = ("output", "path", "file", "root", "image_root", "images", "picture")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that maps options to values.

    Raises:
        UserError: the file is missing, not a regular file, unreadable, not UTF-8, not valid YAML, or not a mapping; an
            option is set twice, or is a path and empty; or the aliases expand to too many values.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _check(node, {})
        content = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path}, {_problem(error, text)}") from error
    except yaml.YAMLError as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise UserError(
            f"{path} is not valid YAML ({reason}); write the options as UTF-8 text, one per line."
        ) from error
    except RecursionError as error:
        raise UserError(f"{path} has values that are nested too deeply; use fewer levels.") from error
    if content is not None and not isinstance(content, dict):
        raise UserError(f"{path} does not map options to values; use the format of config.yaml in a run folder.")
    if wrong := [key for key in content or {} if not isinstance(key, str) or not key]:
        shown = "null" if wrong[0] is None else repr(wrong[0])
        raise UserError(f"{path} has the key {shown}; expected the name of an option.")
    return content or {}


class _Loader(yaml.SafeLoader):
    """Loader whose error for a value that Python cannot represent, such as the date 2024-13-01, has the line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            shown = str(node.value)[:_SHOWN]
            raise yaml.constructor.ConstructorError(
                None, None, f"the value {shown} cannot be read", node.start_mark
            ) from error


def _check(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of values in a node with all aliases expanded.

    Args:
        node: the node.
        sizes: the numbers of the nodes visited so far; 0 for a node that contains this one.

    Raises:
        MarkedYAMLError: a key occurs twice, a path is empty, a value contains itself, or there are too many values.
    """
    if id(node) in sizes and sizes[id(node)] == 0:
        raise yaml.MarkedYAMLError(
            problem="an alias stands for a value that contains it; write the value out", problem_mark=node.start_mark
        )
    if id(node) not in sizes:
        sizes[id(node)] = 0
        if isinstance(node, yaml.MappingNode):
            _check_entries(node)
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [value for _, value in children]
        sizes[id(node)] = 1 + sum(_check(child, sizes) for child in children)
        if sizes[id(node)] > max(_MOST_VALUES, 10 * len(sizes)):
            raise yaml.MarkedYAMLError(
                problem=f"aliases expand to more than {_MOST_VALUES} values; write the values out",
                problem_mark=node.start_mark,
            )
    return sizes[id(node)]


def _check_entries(node: yaml.MappingNode) -> None:
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # PyYAML reports it
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"{key.value} is set twice in the same place; remove one of them", problem_mark=key.start_mark
            )
        seen.add(key.value)
        if key.value in _PATHS and isinstance(value, yaml.ScalarNode) and value.value == "" and value.style:
            raise yaml.MarkedYAMLError(problem=f"{key.value} is empty; set it to a path", problem_mark=value.start_mark)


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return the line, the problem and the remedy of a syntax error."""
    # The parser notices a missing colon at the next line; the context is the line that lacks it.
    mark = error.context_mark if error.problem == "could not find expected ':'" else error.problem_mark
    line = mark.line if mark else 0
    lines = text.splitlines()
    problem = error.problem or error.context or "not valid YAML"
    if line < len(lines) and "\t" in lines[line][: len(lines[line]) - len(lines[line].lstrip())]:
        return f"line {line + 1}: the line is indented with a tab; use spaces."
    if "'\\t'" in problem:
        return f"line {line + 1}: there is a tab before a value; use a space."
    if ";" in problem:
        return f"line {line + 1}: {problem}."
    return f"line {line + 1}: {problem}; check the line's indentation, colons and quotes."


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; expected a YAML file, such as config.yaml in a run folder.")
        if path.exists() and not path.is_file():  # reading a pipe or a device may never end
            raise UserError(f"{path} is not a regular file; save the options in a file.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; check the path.") from error
    except OSError as error:
        raise UserError(
            f"{shortened(path)} cannot be read: {error.strerror}; check the path and its permissions."
        ) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is UTF-16 text; save the file as UTF-8.")
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
