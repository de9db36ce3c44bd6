"""Conversion of jsonargparse's nested error messages into one sentence with the option and the remedy."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from vri_pyro.cli.suggestions import (
    classes_with,
    named_classes,
    nearest_argument,
    nearest_choice,
    nearest_class,
    nearest_member,
    nearest_module,
    nearest_option,
    options_of_group,
)
from vri_pyro.utils.yaml_files import line_of

# Text to remove around the reason: its location, the alternatives tried, and the whole configuration.
_WRAPPING = (
    r"\n\s*Given value type: .*",
    r"\.*\s*Got value: Namespace\(.*",
    r'Parser key "[^"]+":',
    r"Problem with given class_path '[^']+':",
    r"Type \S.*? expects a function or a callable class:",
    r"Does not validate against any of the Union subtypes\s+Subtypes: [^\n]*\n\s*Errors:",
    r"- Expected a <class 'NoneType'>(?:\. Got value: \S+)?",
)
_SENTENCES = (
    (r"Expected a <class 'int'>", "expected an integer"),
    (r"Expected a <class 'float'>", "expected a number"),
    (r"Expected a <class 'bool'>", "expected true or false"),
    (
        r"Expected a <class '[\w.]*(?:Sequence|tuple|list)'>",
        "expected a list in brackets, such as [16, 8] or [MyClass]",
    ),
    (r"Expected a <class '(?:\w+\.)*(\w+)'>", r"expected a value of type \1"),
    (r"Expected a typing\.Literal\[(.*?)\]", r"expected one of \1"),
    (r"Expected '(\S+)' to be a function that returns <class '(\w+)'>\.*", r"expected a subclass of \2, not \1"),
    (r"Expected a dot import path string:\s*$", "the class path is empty; expected one such as my_file.MyClass"),
    (r"Expected a dot import path string: (\S+)", r"'\1' is not a class path; expected one such as my_file.MyClass"),
    (r"Expected '(\S+)' to be a subclass of <class '(\w+)'>\.*", r"expected a subclass of \2, not \1"),
    (r"Import path (\S+) does not correspond to a subclass of (\w+)", r"expected a subclass of \2, not \1"),
    (r"Import path does not correspond to a subclass of (\w+), not '(\S+)'", r"expected a subclass of \1, not \2"),
    (
        r"Expected an instantiatable class, but \S+ is abstract, not 'NestedArg\(key='(\w+)'.*",
        r"choose a class before its option '\1'; `vri-pyro COMMAND --help` lists the classes",
    ),
    (
        r"No module named ('\S+')",
        r"module \1 is neither in the working directory nor installed; check the class path",
    ),
    (r"module ('\S+') has no attribute ('\w+')", r"module \1 has no class \2; check the class path"),
    (
        r"With fail_untyped=True, .*'(\w+)' from '(\S+)' does not .*",
        r"parameter \1 of \2 has no type annotation; annotate it, for example as \1: int",
    ),
    (r"argument (--\S+): invalid choice: ('[^']*') \(choose from (.*)\)", r"\1: expected one of \3, not \2"),
    (r"the following arguments are required: runs?$", "the run folder is missing; use `vri-pyro COMMAND FOLDER`"),
    (r"the following arguments are required: (.*)", r"options without a default are missing; set \1"),
    (
        r"(?:Group '\w+' does not accept option|Option) ('[\w.]+').*",
        r"there is no option \1; `vri-pyro COMMAND --help` lists the options",
    ),
    (r"unrecognized arguments: (.*)", r"unrecognised arguments: \1; `vri-pyro COMMAND --help` lists the options"),
    (
        r"argument (--\S+): expected one argument",
        r"\1 needs a value; use \1 VALUE (true or false for a Boolean option)",
    ),
    (r"Unexpected config: (\w+):\s*$", r"\1 has no value; set one, or leave the option out"),
    (r"Not a valid subclass of (\w+)\b.*?(?=, not '|$)", r"expected the class path of a \1, such as my_file.MyClass"),
    (r"File does not exist: (\S+)", r"there is no file \1; check the path"),
)

# What to type if a command lacks arguments, for commands that need more than a run folder.
_USES = {
    "predict": "the run folder or the inputs are missing; use `vri-pyro predict RUN INPUTS`",
    "export": "arguments are missing; use `vri-pyro export RUN --format FORMAT --output FOLDER`",
    "relabel": "arguments are missing; use `vri-pyro relabel RUN --corrections FILE --output FILE.npz`",
}

# Reasons why a value was refused of an option that has only options of its own, such as --trunk.
_NO_VALUE = ("Expected a dot import path string", "Not a valid subclass of", "Unable to load config")

# Values as in Python, and as users write them.
_YAML = {"True": "true", "False": "false", "None": "null"}

# Messages about names that may be misspelt, and the word in them that is.
_TYPOS = (
    r"Option '(?P<argument>[\w.]+)' is not accepted",
    r"does not accept option '(?P<option>[\w.]+)'",
    r"unrecognized arguments: --(?P<option>[\w.]+)",
    r"Expected a dot import path string: (?P<class>\w+)",
    r"module '(?P<module>[\w.]+)' has no attribute '(?P<member>\w+)'",
    r"No module named '(?P<path>[\w.]+)'",
    r"Expected a typing\.Literal\[(?P<choices>.*?)\](?:\. Got value:|, not) '?(?P<choice>[^\s']+)",
)


def explained(message: str, command: str = "fit", arguments: Sequence[str] = (), files: Sequence[Path] = ()) -> str:
    """Condense a parser's error message to one sentence.

    Args:
        message: the error message of jsonargparse.
        command: the command whose help the sentence refers to.
        arguments: the command line.
        files: the configuration files, from the first to the last.

    Returns:
        the file and line of the option unless it is on the command line, the full name of the option, the innermost
        reason and, if known, the remedy or the name that was probably meant.
    """
    message = re.sub(r"(Group '([\w.]+)' does not accept option ')", r"\1\2.", message)
    keys = re.findall(r'Parser key "([^"]+)"', message)
    option, reason = ".".join(keys), _innermost_reason(message)
    if reason.startswith(_NO_VALUE) and len(set(keys)) == 1 and (own := options_of_group(keys[0])):
        place = _place(keys[0], "", arguments, files)
        return f"{place}--{keys[0]} takes no value; set its options, such as --{own[-1]}"
    typo = next((found for pattern in _TYPOS if (found := re.search(pattern, reason))), None)
    meant = _meant(typo.groupdict(), option, message, command) if typo else None
    value = re.search(r"(?:value:|, not) '?([^\s']+?)'?\.?$", reason, flags=re.MULTILINE)
    word = typo[typo.re.groups] if typo else value[1] if value else ""
    word = _YAML.get(word, word)
    reason = re.sub(r"not '(True|False|None)'", lambda found: f"not '{_YAML[found[1]]}'", reason)
    if use := _USES.get(command):
        reason = re.sub(r"the following arguments are required: .*", use, reason)
    for pattern, sentence in _SENTENCES:
        reason = re.sub(pattern, sentence.replace("COMMAND", command), reason)
    start = f"--{option}." if option else "--"
    reason = re.sub(
        r"(?<=are missing; set )[\w., ]+", lambda names: re.sub(r"(\w[\w.]*)", rf"{start}\1", names[0]), reason
    )
    reason = re.sub(r", not 'NestedArg\(.*", "", reason)
    unknown = typo and (typo.groupdict().get("argument") or typo.groupdict().get("option"))
    if option and unknown and not meant and (owners := classes_with(option, unknown)):
        reason = f"choose a class that has the option '{unknown}', --{option} CLASS with one of {', '.join(owners)}"
    if reason.startswith("choose a class") and (file := _options_of_resumed(arguments)):
        reason = f"--resume true alone does not read the options of the run; add --config {shlex.quote(str(file))}"
    if typo and typo.groupdict().get("class") and not meant and (known := named_classes(option)):
        reason += f", or one of {', '.join(known)}"
    if meant:
        kept = reason if reason.startswith("expected one of") else reason.partition(";")[0]
        reason = f"{kept}; did you mean {meant}?"
    return _place(option, word, arguments, files) + (f"--{option}: {reason}" if option else reason)


def _meant(typo: dict[str, str], option: str, message: str, command: str) -> str | None:
    """Return the name that a misspelt one probably means."""
    match typo:
        case {"argument": name} | {"option": name}:
            near = _nearest_of(name, option, message) if option else nearest_option(name, command)
            return near and f"--{near}"
        case {"class": name}:
            return nearest_class(option, name)
        case {"module": module, "member": name}:
            return nearest_member(module, name)
        case {"path": name}:
            return nearest_module(name)
        case {"choices": listed, "choice": value}:
            return nearest_choice(value, listed)
    return None


def _nearest_of(name: str, option: str, message: str) -> str | None:
    """Return the option of a class that is most similar to a name; the message contains the class."""
    # The class is the last one that the parser entered, or the first one in the value that the parser got for it.
    entered = message.rpartition("Problem with given class_path")[2]
    found = re.search(r"class_path='([\w.]+)'", entered) or re.match(r" '([\w.]+)'", entered)
    near = nearest_argument(found[1], name) if found else None
    return near and f"{option}.{near}"


def _place(option: str, word: str, arguments: Sequence[str], files: Sequence[Path]) -> str:
    """Return the file and line of an option or of the word in it; empty if they are on the command line."""
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = argument.removeprefix("--").replace(".init_args", "").partition("=")
        inside = not word and option and f"{name}.".startswith(f"{option}.")
        if inside or name == f"{option}.{word}" or (name == option and word in (value if equals else following)):
            return ""
    for file in reversed(files):
        if (line := line_of(file, option or word, word.rpartition(".")[2])) is not None:
            return f"{file}, line {line}: "
    return ""


def _options_of_resumed(arguments: Sequence[str]) -> Path | None:
    """Return the ``config.yaml`` of the run that a command without ``--config`` resumes; None of any other command."""
    given = "=".join(arguments).split("=")  # "--resume=true" and "--resume", "true" alike
    values = dict(itertools.pairwise(given))
    file = Path(values.get("--output", "runs/latest")) / "config.yaml"
    resumed = values.get("--resume", "").lower() == "true" and "--config" not in values
    return file if resumed and file.is_file() else None


def _innermost_reason(message: str) -> str:
    given = re.search(r"Given value: (?!Namespace)(\S+?)\.?(?=\s|$)", message)
    for pattern in _WRAPPING:
        message = re.sub(pattern, "", message, flags=re.DOTALL)
    alternatives = [" ".join(part.split()) for part in re.split(r"\n\s+- ", message) if part.strip()]
    # jsonargparse tries every value as a class path, so this alternative matters only if there is no other.
    plain = [part for part in alternatives if "dot import path" not in part]
    reason = " or ".join(plain or alternatives)
    reason = re.sub(r"^(Expected a .*)\. Got value: (\S+)$", r"\1, not '\2'", reason)
    reason = re.sub(r"\.? Got value: \S+$", "", reason)
    return f"{reason}, not '{given[1]}'" if given and plain and ", not '" not in reason else reason
