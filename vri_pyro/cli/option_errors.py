"""Conversion of jsonargparse's nested error messages into one sentence with the option and the remedy."""

from __future__ import annotations

import re

# Text to remove around the reason: its location, the alternatives tried, and the whole configuration.
_WRAPPING = (
    r"\n\s*Given value type: .*",
    r"\.*\s*Got value: Namespace\(.*",
    r'Parser key "[^"]+":',
    r"Problem with given class_path '[^']+':",
    r"Type \S.*? expects a function or a callable class:",
    r"Does not validate against any of the Union subtypes\s+Subtypes: [^\n]*\n\s*Errors:",
    r"- Expected a <class 'NoneType'>",
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
    (r"Expected a dot import path string: (\S+)", r"'\1' is not a class path; expected one such as my_file.MyClass"),
    (r"Expected '(\S+)' to be a subclass of <class '(\w+)'>\.*", r"expected a subclass of \2, not \1"),
    (r"Import path (\S+) does not correspond to a subclass of (\w+)", r"expected a subclass of \2, not \1"),
    (
        r"No module named ('\S+')",
        r"module \1 is neither in the working directory nor installed; check the class path",
    ),
    (r"module ('\S+') has no attribute ('\w+')", r"module \1 has no class \2; check the class path"),
    (
        r"With fail_untyped=True, .*'(\w+)' from '(\S+)' does not .*",
        r"parameter \1 of \2 has no type annotation; annotate it, for example as \1: int",
    ),
    (
        r"the following arguments are required: (?:predict\.run, )?predict\.inputs",
        r"the run folder or the inputs are missing; use `vri-pyro predict RUN INPUTS`",
    ),
    (
        r"the following arguments are required: export\..*",
        r"arguments are missing; use `vri-pyro export RUN --format FORMAT --output FOLDER`",
    ),
    (r"argument (--\S+): invalid choice: ('[^']*') \(choose from (.*)\)", r"\1: expected one of \3, not \2"),
    (r"the following arguments are required: (\w+)\.runs?", r"the run folder is missing; use `vri-pyro \1 FOLDER`"),
    (r"the following arguments are required: (.*)", r"options without a default are missing; set \1"),
    (
        r"(?:Subcommand '\w+' does not accept option|Option) ('\w+').*",
        r"there is no option \1; `vri-pyro COMMAND --help` lists the options",
    ),
    (r"unrecognized arguments: (.*)", r"unrecognised arguments: \1; `vri-pyro COMMAND --help` lists the options"),
    (
        r"argument (--\S+): expected one argument",
        r"\1 needs a value; use \1 VALUE (true or false for a Boolean option)",
    ),
    (r"File does not exist: (\S+)", r"there is no file \1; check the path"),
    (
        r"Problems parsing config: (.*?)\s+in \"<unicode string>\",",
        r"--config: the file is not valid YAML; correct it: \1,",
    ),
    (
        r"Unexpected config: .*",
        "--config: the file does not map options to values; use the format of config.yaml in a run folder",
    ),
)


def one_sentence(message: str, command: str = "fit") -> str:
    """Condense a parser's error message to one sentence.

    Args:
        message: the error message of jsonargparse.
        command: the command whose help the sentence refers to.

    Returns:
        the full name of the option, the innermost reason and, if known, the remedy.
    """
    option = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    reason = _innermost_reason(message)
    for pattern, sentence in _SENTENCES:
        reason = re.sub(pattern, sentence.replace("COMMAND", command), reason)
    return f"--{option}: {reason}" if option else reason


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
    return f"{reason}, not '{given[1]}'" if given and plain else reason
