"""Bad inputs of the command line and of Python.

Every attempt is a row of a table: what is done, and words that the message must contain, such as the name of the option
and the remedy. A command must end with status 2 and one line on stderr, a call with the documented exception; neither
may show a traceback, the name of an exception, or internals such as ``<class 'int'>``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import _bad_calls, _bad_commands, _bad_files
from campaign._isolation import Outcome, isolated
from campaign.trial import Trial
from vri_pyro.cli.main import main

# Text that belongs in no message for users.
_INTERNALS = re.compile(
    r"Traceback|<class|NestedArg|Namespace\(|jsonargparse|0x[0-9a-f]{6}|\b(?:Type|Value|Key|Index|Attribute|Runtime|"
    r"Assertion|Overflow|Memory|Unicode\w+|OS|Recursion|ZeroDivision)Error\b|\bEOFError\b|aten::|enforce fail|--debug"
)
_LONGEST = 600  # characters of a message without the paths in it
_QUICK = 97  # with quick=True, every 97th attempt is made


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Yield the outcome of every bad input."""
    _bad_files.prepare(folder)
    _bad_calls.evaluate("fit()")  # fills caches that every attempt needs
    attempts = [
        *(_command(group, line, words) for group, line, *words in _bad_commands.ROWS),
        *(_file(folder, name, content, words) for name, content, *words in _bad_files.CONFIGURATIONS),
        *(_call(group, code, words) for group, code, *words in _bad_calls.ROWS),
    ]
    for group, name, words, attempt in attempts[:: _QUICK if quick else 1]:
        outcome = isolated(_inside(folder, attempt), seconds=60)
        problem = judged(outcome, words)
        yield Trial(group, name, problem is None, f"{problem or outcome.ending}: {outcome.message}")


def judged(outcome: Outcome, words: list[str]) -> str | None:
    """Return what is wrong with the outcome of a bad input; None if nothing is.

    Args:
        outcome: the outcome.
        words: text that the message must contain.
    """
    lines = outcome.message.strip().splitlines()
    message = "\n".join(line for line in lines if not line.startswith("warning: "))
    if outcome.ending != "status 2" and not outcome.user_error:
        return f"not refused ({outcome.ending})"
    ours = outcome.ending.startswith(("status", "User"))  # messages of scikit-learn have several lines
    if "\n" in message and ours:
        return "several lines"
    if found := _INTERNALS.search(message):
        return f"internals ({found[0]})"
    if ours and len(re.sub(r"\S*/\S*", "", message)) > _LONGEST:
        return "too long"
    if missing := [word for word in words if word not in message]:
        return f"lacks {missing}"
    return None


_Attempt = tuple[str, str, list[str], Callable[[], Outcome]]


def _command(group: str, line: str, words: list[str]) -> _Attempt:
    tiny = ["--config", "tiny.yaml"] if group in ("fit", "sweep", "data") else []
    name = f"vri-pyro {group} {line if len(line) < _LONGEST else line[:40] + '...'}".replace("\n", "\\n")
    return f"vri-pyro {group}", name, words, lambda: _run([group, *tiny, *shlex.split(line)])


def _file(folder: Path, name: str, content: bytes, words: list[str]) -> _Attempt:
    def attempt() -> Outcome:
        (folder / "given.yaml").write_bytes(content)
        return _run(["fit", "--config", "tiny.yaml", "--config", "given.yaml"])

    return "configuration file", name, words, attempt


def _call(group: str, code: str, words: list[str]) -> _Attempt:
    def attempt() -> Outcome:
        try:
            value = _bad_calls.evaluate(code)
        except Exception as error:
            documented = isinstance(error, ValueError | TypeError)
            return Outcome(type(error).__name__, str(error), documented)
        return Outcome("returned", repr(value)[:200])

    return f"Python: {group}", code, words, attempt


def _run(arguments: list[str]) -> Outcome:
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = f"exit({stop.code})"
    return Outcome(f"status {status}", stderr.getvalue())


def _inside(folder: Path, attempt: Callable[[], Outcome]) -> Callable[[], Outcome]:
    def inside() -> Outcome:
        os.chdir(folder)
        for written in ("out", "runs"):  # by an earlier attempt that was not refused
            shutil.rmtree(written, ignore_errors=True)
        Path("n.npz").unlink(missing_ok=True)
        return attempt()

    return inside
