"""``vri-pyro certify``: how many labels are wrong, with a guarantee from checked labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.table import Column, Table

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_place, write_atomically
from vri_pyro.utils.numbers import check_number

if TYPE_CHECKING:
    from vri_pyro.certification import Certificate, Checks, Population
    from vri_pyro.training.run_folder import RunFolder

_SHOWN = 10


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Certify how many noisy labels of a run are wrong, in all, by class, and after mending, from "
        "labels that a person has checked (vri-pyro check --purpose measure). The intervals are valid whatever the "
        "model is. certificate.json has everything from which they can be recomputed; vri-pyro report shows them.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "--anytime",
        type=bool,
        default=False,
        help="intervals that are valid at all times together, so that you may look after every answer and stop at "
        "will; false: valid if the number of checks does not depend on the answers, and narrower",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage probability of each interval")
    parser.add_argument(
        "--at_most",
        type=float | None,
        default=None,
        help="share of wrong labels, such as 0.02: say whether it is shown that at most this share is wrong and, "
        "before the first check, how many checks are needed",
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
        help="checked labels that are a uniform random sample of the noisy labels, instead of the answers to vri-pyro "
        "check: a table or export as for vri-pyro relabel",
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
    check_number("confidence", options.confidence, above=0.5, below=1)
    for name in ("at_most", "expected", "accept_above"):
        if (value := getattr(options, name)) is not None:
            check_number(name, value, at_least=0, at_most=1)
    if options.expected is not None and options.at_most is None:
        raise UserError("expected is set without at_most; add --at_most, such as 0.02")
    # Lazy, because these imports take seconds.
    from vri_pyro.certification import certify
    from vri_pyro.training.run_folder import RunFolder

    folder, console = RunFolder(options.run), SafeConsole(soft_wrap=True)
    classes = folder.read_inputs()["classes"]  # raises if it is not a run folder
    check_place(path := options.output or folder.certificate)
    population, checks = _checked(options, folder, classes)
    if checks is None:
        if options.at_most is None:
            raise UserError(
                f"{options.run} has no checks; draw labels with vri-pyro check {options.run} --purpose measure, or "
                "give a --random_sample"
            )
        _plan(options, population, console)
        return 0
    certificate = certify(
        population, checks, options.confidence, options.anytime, options.at_most, options.accept_above
    )
    content = {"classes_by_number": list(classes)} | certificate.as_dict()
    write_atomically(path, (json.dumps(content) + "\n").encode())
    _show(certificate, classes, console)
    if certificate.statement is not None and not certificate.statement.shown:
        _plan(options, population, console, certificate.rate.estimate)
    console.print(f"certificate: {path.absolute()}")
    return 0


def _checked(options: Namespace, folder: RunFolder, classes: list[str]) -> tuple[Population, Checks | None]:
    """Return the labels with their scores, and the checks; None if there are none yet."""
    from vri_pyro.certification import Checks, check_random_sample
    from vri_pyro.certification.ledger import read_ledger, scored
    from vri_pyro.data import Split
    from vri_pyro.label_issues import evidence_of, rank, read_corrections
    from vri_pyro.runs.run import Run

    ledger = read_ledger(folder, classes, Split.load(folder.split))
    if options.random_sample is None and ledger is not None:
        return ledger.labels.population, ledger.checks()
    trust = trusts(options.run, options.trust)
    trained = Run(options.run, device=options.device, trust=trust, data=data_places(options))
    split = trained.split
    answers = None
    if options.random_sample is not None:
        answers = read_corrections(options.random_sample, split, trained.classes, trained.examples)
    labels = (
        scored(rank(evidence_of(trained, split.noisy_indices), seed=split.seed), split)
        if ledger is None
        else ledger.labels
    )
    if answers is None:
        return labels.population, None
    place = {index: position for position, index in enumerate(labels.index.tolist())}
    if outside := [index for index in answers[0].tolist() if index not in place]:
        raise UserError(
            f"example {outside[0]} is not one of the {len(place)} noisy labels of the run, about which the certificate "
            "is; leave it out of the sample"
        )
    import numpy as np

    positions = np.array([place[index] for index in answers[0].tolist()])
    check_random_sample(labels.population.score, positions)
    return labels.population, Checks.random_sample(len(place), positions, answers[1])


def _plan(options: Namespace, population: Population, console: SafeConsole, estimate: float | None = None) -> None:
    """Print how many checks are needed to show the statement."""
    from vri_pyro.certification import checks_needed

    expected = options.expected
    if expected is None:
        expected = float(population.score.mean()) if estimate is None else estimate
    needed = checks_needed(options.at_most, expected, len(population.given), options.confidence, options.anytime)
    console.print(
        f"about {needed} random checks show that at most {options.at_most:.2%} of the {len(population.given)} labels "
        f"are wrong, with {options.confidence:.0%} confidence, in nine of ten cases if {expected:.2%} are wrong"
    )
    console.print(f"draw them with: vri-pyro check {options.run} --budget {needed} --purpose measure")


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
            f"if {after.accepted} suggestions with a score above {after.threshold:g} are accepted, too, {after.low} to "
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
        console.print("if you look after every answer and decide when to stop, use --anytime true")
