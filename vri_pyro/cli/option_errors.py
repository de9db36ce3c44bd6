"""Turning jsonargparse's nested report of a bad option into one sentence with the option's name and the remedy."""

from __future__ import annotations

import re

# What stands around the reason: where it was found, what else was tried, and the whole configuration.
_WRAPPING = (
    r"\n\s*Given value type: .*",
    r"\.*\s*Got value: Namespace\(.*",
    r'Parser key "[^"]+":',
    r"Problem with given class_path '[^']+':",
    r"Type \S.*? expects a function or a callable class:",
    r"Does not validate against any of the Union subtypes\s+Subtypes: [^\n]*\n\s*Errors:",
    r"- Expected a <class 'NoneType'>",
)
_HELP = "vri-pyro COMMAND --help lists the options"
_SENTENCES = (
    (r"Expected a <class 'int'>", "expected is a whole number"),
    (r"Expected a <class 'float'>", "expected is a number"),
    (r"Expected a <class 'bool'>", "expected is true or false"),
    (r"Expected a <class '[\w.]*(?:Sequence|tuple|list)'>", "expected is a list such as [16, 8]"),
    (r"Expected a <class '(?:\w+\.)*(\w+)'>", r"expected is a \1"),
    (r"Expected a typing\.Literal\[(.*?)\]", r"expected is one of \1"),
    (r"Expected a dot import path string: (\S+)", r"'\1' is no class path; give one such as my_file.MyClass"),
    (r"Expected '(\S+)' to be a subclass of <class '(\w+)'>\.*", r"\1 is no \2; name a subclass of \2"),
    (r"Import path (\S+) does not correspond to a subclass of (\w+)", r"\1 is no \2; name a subclass of \2"),
    (r"No module named ('\S+')", r"there is no module \1 here or installed; check the class path"),
    (r"module ('\S+') has no attribute ('\w+')", r"module \1 has no class \2; check the class path"),
    (r"With fail_untyped=True, .*'(\w+)' from '(\S+)' does not .*", r"\1 of \2 has no type; annotate it, as \1: int"),
    (r"the following arguments are required: (\w+)\.runs?", r"name a run folder: vri-pyro \1 FOLDER"),
    (r"the following arguments are required: (.*)", r"set its options too that have no default: \1"),
    (r"(?:Subcommand '\w+' does not accept option|Option) ('\w+').*", rf"there is no option \1; {_HELP}"),
    (r"unrecognized arguments: (.*)", rf"unrecognised: \1; {_HELP}"),
    (r"argument (--\S+): expected one argument", r"\1 needs a value, such as \1 VALUE (true or false for a switch)"),
    (r"File does not exist: (\S+)", r"there is no file \1; check the path"),
    (r"Problems parsing config: (.*?)\s+in \"<unicode string>\",", r"--config: this is no valid YAML, mend it: \1,"),
    (r"Unexpected config: .*", "--config: the file must map options to values, as config.yaml of a run folder does"),
    (r"argument subcommand: invalid choice: ('\S+') \(choose from (.*)\)", r"there is no command \1; choose from \2"),
    (r"expected \"subcommand\" to be one of .*", "name a command; vri-pyro --help lists them"),
)


def one_sentence(message: str, command: str = "fit") -> str:
    """Condense ``message`` to the option's full name, the innermost reason, and what to do with ``command``."""
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
    # Values that are no class are tried as class paths too.
    plain = [part for part in alternatives if "dot import path" not in part]
    reason = " or ".join(plain or alternatives)
    reason = re.sub(r"^(Expected a .*)\. Got value: (\S+)$", r"\1, not '\2'", reason)
    reason = re.sub(r"\.? Got value: \S+$", "", reason)
    return f"{reason}, not '{given[1]}'" if given and plain else reason
