"""``vri-pyro certify``: how many labels are wrong, with a guarantee from checked labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.table import Column, Table

from vri_pyro.cli.certify_plan import Drawn, impossible, plan, why_not_shown
from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable, write_atomically
from vri_pyro.utils.numbers import check_number, counted

if TYPE_CHECKING:
    import numpy as np

    from vri_pyro.certification import Certificate, Checks, Population
    from vri_pyro.certification.ledger import Scored
    from vri_pyro.training.run_folder import RunFolder

_SHOWN = 10


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Certify how many noisy labels of a run are wrong, in all, by class, and after mending, from "
        "labels that a person has checked (vri-pyro check --purpose measure). The intervals are valid whatever the "
        "model is, if the labels were drawn at random and the answers are right. certificate.json has everything from "
        "which they can be recomputed; vri-pyro report shows them.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "--anytime",
        type=bool,
        default=False,
        help="intervals that are valid at all times together, so that you may look after every answer and stop at "
        "will; false: valid if the number of labels drawn does not depend on the answers, and narrower",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage probability of each interval")
    parser.add_argument(
        "--at_most",
        type=float | None,
        default=None,
        help="share of wrong labels, such as 0.02: say whether it is shown that at most this share is wrong and, "
        "if not, how many checks are needed",
    )
    parser.add_argument(
        "--expected",
        type=float | None,
        default=None,
        help="expected share of wrong labels, for the number of checks needed; null for the run's estimate",
    )
    parser.add_argument(
        "--accept_above",
        type=float | None,
        default=None,
        help="also certify what is left if suggestions with a score above this value are accepted without a check",
    )
    parser.add_argument(
        "--random_sample",
        type=Path | None,
        default=None,
        help="a uniform random sample of the noisy labels that was checked, instead of the answers to vri-pyro check: "
        "a table or export as for vri-pyro relabel. Every row belongs to the sample; one without an answer counts as "
        "right in the lower bound and as wrong in the upper one",
    )
    parser.add_argument(
        "--output", type=Path | None, default=None, help="JSON file; null for certificate.json in the run"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Print the certificate and write its JSON file; or plan the number of checks if there are none."""
    _check(options)
    # Lazy, because these imports take seconds.
    from vri_pyro.certification import certify
    from vri_pyro.certification.certificate import is_certificate
    from vri_pyro.training.run_folder import RunFolder

    folder, console = RunFolder(options.run), SafeConsole(soft_wrap=True)
    classes = folder.read_inputs()["classes"]  # raises if it is not a run folder
    check_replaceable(path := options.output or folder.certificate, is_certificate, "a certificate of vri-pyro certify")
    population, checks, free = _checked(options, folder, classes)
    drawn, unanswered = (0, 0) if checks is None else _counts(checks)
    state = Drawn(len(population.given), drawn, unanswered, free, options.random_sample is not None)
    scores = float(population.score.mean())
    if checks is None or (drawn == unanswered and options.at_most is not None):
        if options.at_most is None:
            raise UserError(
                f"{options.run} has no checks; draw labels with vri-pyro check {options.run} --purpose measure, or "
                "give a --random_sample"
            )
        _print(console, plan(options, state, scores))
        return 0
    certificate = certify(
        population, checks, options.confidence, options.anytime, options.at_most, options.accept_above
    )
    content = {"classes_by_number": list(classes)} | certificate.as_dict()
    write_atomically(path, (json.dumps(content) + "\n").encode())
    _show(certificate, classes, console)
    _print(console, _missing(certificate, checks, options))
    if certificate.statement is not None and not certificate.statement.shown:
        _print(console, why_not_shown(certificate))
        if not impossible(certificate):
            _print(console, plan(options, state, scores, certificate.rate.estimate))
    console.print(f"certificate: {path.absolute()}")
    return 0


def _check(options: Namespace) -> None:
    check_number("confidence", options.confidence, above=0.5, below=1)
    if options.at_most is not None:
        check_number("at_most", options.at_most, above=0, below=1)
    if options.accept_above is not None:
        check_number("accept_above", options.accept_above, at_least=0, at_most=1)
    if options.expected is not None:
        check_number("expected", options.expected, at_least=0, below=1)
        if options.at_most is None:
            raise UserError("expected is set without at_most; add --at_most, such as 0.02")
        if options.expected >= options.at_most:
            raise UserError(
                f"expected is {options.expected:g} but at_most is {options.at_most:g}, which no number of checks shows "
                "unless fewer are wrong; choose a smaller expected share or a larger at_most"
            )


def _checked(options: Namespace, folder: RunFolder, classes: list[str]) -> tuple[Population, Checks | None, int]:
    """Return the labels with their scores, the checks, None if there are none, and how many labels are left to draw."""
    from vri_pyro.certification.ledger import read_ledger, scored
    from vri_pyro.data import Split
    from vri_pyro.label_issues import evidence_of, rank, read_answers
    from vri_pyro.runs.run import Run

    ledger = read_ledger(folder, classes, Split.load(folder.split))
    if options.random_sample is None and ledger is not None:
        return ledger.labels.population, ledger.checks(), int(ledger.free().sum())
    trust = trusts(options.run, options.trust)
    trained = Run(options.run, device=options.device, trust=trust, data=data_places(options))
    split, answers = trained.split, None
    if options.random_sample is not None:
        answers = read_answers(options.random_sample, split, trained.classes, trained.examples)
    labels = (
        scored(rank(evidence_of(trained, split.noisy_indices), seed=split.seed), split)
        if ledger is None
        else ledger.labels
    )
    if answers is None:
        return labels.population, None, len(labels.index)
    return labels.population, _sample(labels, *answers), 0


def _sample(labels: Scored, index: np.ndarray, verified: np.ndarray) -> Checks:
    """Return the checks of a random sample; raise if it is not one of the noisy labels, or visibly not random."""
    import numpy as np

    from vri_pyro.certification import Checks, check_random_sample

    place = {one: position for position, one in enumerate(labels.index.tolist())}
    if outside := [one for one in index.tolist() if one not in place]:
        raise UserError(
            f"example {outside[0]} is not one of the {len(place)} noisy labels of the run, about which the certificate "
            "is; leave it out of the sample"
        )
    positions = np.array([place[one] for one in index.tolist()])
    check_random_sample(labels.population.score, positions)
    return Checks.random_sample(len(place), positions, verified)


def _counts(checks: Checks) -> tuple[int, int]:
    """Return the number of draws, and of draws without an answer."""
    from vri_pyro.certification import NOT_CHECKED

    return len(checks.order), int((checks.verified[checks.order] == NOT_CHECKED).sum())


def _print(console: SafeConsole, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console.print(sentence)


def _missing(certificate: Certificate, checks: Checks, options: Namespace) -> Iterator[str]:
    """Yield which answers are missing and how they count, and what the certificate takes on trust."""
    from vri_pyro.certification import NOT_CHECKED

    if missing := certificate.rate.unanswered:
        yield (
            f"{counted(missing, 'drawn label has', 'drawn labels have')} no answer: right in the lower bound, "
            "wrong in the upper one"
        )
        if options.random_sample is not None:
            yield "rows that do not belong to the sample are to be left out of the file"
    aside = int(((certificate.checks.out < len(certificate.checks.uniform)) & (checks.verified == NOT_CHECKED)).sum())
    if aside:
        yield (
            f"no answer to {counted(aside, 'label')} proposed to mend or teach before the last draw: they count in the "
            "same way"
        )
    if later := len(checks.order) - len(certificate.checks.order):
        yield f"left out: {counted(later, 'drawn label')} of later rounds, which have no answers yet"
    if options.random_sample is not None:
        yield "that the sample was drawn at random is not proved: it was only tested against the run's scores"
    if (rounds := len(certificate.checks.uniform)) > 1 and not certificate.anytime:
        yield (
            f"the labels were drawn in {rounds} rounds: if a later one was drawn because of earlier answers, only "
            "--anytime true is valid"
        )


def _show(certificate: Certificate, classes: list[str], console: SafeConsole) -> None:
    console.print(certificate.sentence())
    rate = certificate.rate
    if certificate.plain is not None:
        low, high = certificate.plain
        console.print(
            f"the same checks without the run's scores: {low:.1%} to {high:.1%} (exact, fixed number of checks)"
        )
    if certificate.asymptotic is not None:
        low, high = certificate.asymptotic
        console.print(f"prediction-powered interval: {low:.1%} to {high:.1%} (asymptotic, not guaranteed)")
    if (statement := certificate.statement) is not None:
        words = "it is shown" if statement.shown else "it is not shown"
        console.print(
            f"{words} that at most {statement.at_most:.2%} are wrong: the one-sided bound is {statement.bound:.2%}"
        )
    left = certificate.left
    console.print(f"once the checked labels are mended, {left.low} to {left.high} of the other {left.labels} are wrong")
    if (after := certificate.left_after_suggestions) is not None:
        console.print(
            f"if {counted(after.accepted, 'suggestion')} with a score above {after.threshold:g} "
            f"{'is' if after.accepted == 1 else 'are'} accepted, too, {after.low} to "
            f"{after.high} of the labels that nobody has checked are wrong"
        )
    table = Table("given class", *(Column(name, justify="right") for name in ("labels", "checks", "wrong", "interval")))
    order = sorted(certificate.classes, key=lambda label: (-certificate.classes[label].low, label))
    for label in order[:_SHOWN]:
        own = certificate.classes[label]
        table.add_row(
            classes[label], str(own.labels), str(own.drawn), str(own.wrong), f"{own.low:.1%} to {own.high:.1%}"
        )
    console.print(table)
    console.print(f"the interval of each class has {certificate.confidence:.0%} confidence by itself, not all together")
    if not certificate.anytime and rate.drawn:
        console.print("if you look at answers before you decide whether to draw more labels, use --anytime true")
