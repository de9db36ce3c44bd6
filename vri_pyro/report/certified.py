"""The report's section on checks by hand: whom to check next, and what the checks have certified."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np

from vri_pyro.certification import NOT_CHECKED
from vri_pyro.certification.ledger import read_ledger
from vri_pyro.report.part import Fact, Part, Tile, Verdict, percent
from vri_pyro.report.seen import SeenRun
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import counted

_NAME = "certified by checks"


def certified(seen: SeenRun) -> Part:
    """Report how many checks the estimate is worth, which labels to check next, and the certificate if there is one."""
    found = _certificate(seen)
    run = shlex.quote(seen.shown(str(seen.run.folder.path)))
    command = f"vri-pyro check {run} --budget 100 --purpose measure"
    facts = [Fact("labels to check next", command)]
    about = (
        "A person who checks labels drawn at random gives an interval of the share of wrong labels that is valid "
        "whatever the model is. The run's scores only make it narrower."
    )
    if found is None:
        words = "The share of wrong labels is an estimate that relies on the model. To certify it, check labels"
        verdicts = [Verdict("note", f"{words}: {command}"), *_not_certified(seen, None, run)]
        return Part("Checks by hand", about, [Tile(_NAME, "nothing yet", command)], verdicts, facts=facts)
    rate, options = found["rate"], found["options"]
    interval = f"{percent(rate['low'])} to {percent(rate['high'])}"
    guarantee = "at all times" if options["anytime"] else "fixed number of checks"
    facts += [
        Fact("certified share of wrong labels", interval),
        Fact("checks, and wrong labels among them", f"{rate['drawn']}, {rate['wrong']}"),
        *([Fact("drawn labels without an answer", str(missing))] if (missing := rate.get("unanswered")) else []),
        Fact("confidence", f"{percent(options['confidence'], 0)}, {guarantee}"),
        Fact(
            "wrong labels left once the checked ones are mended", f"{found['left']['low']} to {found['left']['high']}"
        ),
        *_classes(found),
    ]
    verdicts = [Verdict("note", f"Certified: {found['sentence']} To check more labels: {command}")]
    verdicts += (newer := _not_certified(seen, found, run))
    if (statement := found["statement"]) is not None:
        shown, words = statement["shown"], f"at most {percent(statement['at_most'])} of the labels are wrong"
        verdicts.append(
            Verdict("good", f"It is shown that {words}.") if shown else Verdict("fair", f"Not shown: {words}.")
        )
    note = f"{percent(options['confidence'], 0)} confidence, {counted(rate['drawn'], 'check')}"
    tile = Tile(_NAME, interval, f"{note}; not of all answers" if newer else note)
    notes = ["The interval of each class has the confidence by itself, not all together."]
    return Part("Checks by hand", about, [tile], verdicts, facts=facts, notes=notes)


def _not_certified(seen: SeenRun, found: dict[str, Any] | None, run: str) -> list[Verdict]:
    """Say if there are answers to ``vri-pyro check`` that the certificate does not use; none without a certificate."""
    folder, split = seen.run.folder, seen.run.split
    try:
        ledger = read_ledger(folder, seen.classes, split)
    except UserError:  # whose message has absolute paths
        words = f"The record of the checks is damaged: vri-pyro certify {run} says how."
        return [Verdict("poor", words)]
    if ledger is None:
        return []
    answers = ledger.checks().verified
    used = np.full(len(answers), NOT_CHECKED) if found is None else np.array(found["checks"]["verified"])
    if used.shape != answers.shape:
        return [Verdict("poor", f"The certificate is not of this run's labels; run vri-pyro certify {run} again.")]
    if not (new := int(((answers != NOT_CHECKED) & (answers != used)).sum())):
        return []
    words = f"{counted(new, 'answer')} in {folder.checks.name} {'is' if new == 1 else 'are'} not in the certificate"
    return [Verdict("fair", f"{words}; certify with: vri-pyro certify {run}")]


def _classes(found: dict[str, Any]) -> list[Fact]:
    names = found["classes_by_number"]
    return [
        Fact(
            f"given class {names[int(label)]}",
            f"{percent(one['low'])} to {percent(one['high'])}, {counted(one['drawn'], 'check')}",
        )
        for label, one in found["classes"].items()
        if one["drawn"]
    ]


def _certificate(seen: SeenRun) -> dict[str, Any] | None:
    """Read ``certificate.json`` of the run; None if there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = seen.run.folder.certificate
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
        for name in ("rate", "options", "left", "sentence", "classes", "classes_by_number", "statement", "checks"):
            found[name]
    except (ValueError, OSError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged; run vri-pyro certify again, or delete the file") from error
    return dict(found)
