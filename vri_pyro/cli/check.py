"""``vri-pyro check``: choose the labels that a person checks next, and take the answers back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_new
from vri_pyro.utils.numbers import check_integer, check_number, counted

if TYPE_CHECKING:
    from vri_pyro.certification.ledger import Ledger
    from vri_pyro.runs.run import Run

_BUDGET = 100


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Choose the noisy labels of a finished run that a person checks next, and take the answers back. "
        "The list has an empty column `verified`; fill in the right class of each label, also where it is the given "
        "one. No label is proposed twice. The checks are kept in checks.csv in the run folder.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "--budget", type=int | None, default=None, help="number of labels to check; null: 100, or none with --answers"
    )
    parser.add_argument(
        "--purpose",
        choices=["measure", "mend", "teach"],
        default="measure",
        help="measure: a random sample with known probabilities, for vri-pyro certify; mend: the labels that are most "
        "probably wrong; teach: those whose verified class promises to help the next classifier most",
    )
    parser.add_argument(
        "--answers",
        type=Path | None,
        default=None,
        help="a list with the column `verified` filled in, or a JSON export of Label Studio; its answers are kept. An "
        "empty cell or a skipped task has no answer",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws of the purpose measure")
    parser.add_argument(
        "--uniform",
        type=float,
        default=1.0,
        help="share of uniform sampling of the purpose measure, above 0; the rest prefers labels hard to judge",
    )
    parser.add_argument("--format", choices=["csv", "label-studio"], default="csv", help="format of the list")
    parser.add_argument(
        "--url_prefix",
        type=str | None,
        default=None,
        help="label-studio: beginning of the image URLs; null for /data/local-files/?d=",
    )
    parser.add_argument(
        "--output",
        type=Path | None,
        default=None,
        help="new file for the list; null writes check_ROUND to the run folder",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Store the answers, write the next list and print what to do with it."""
    _check(options)
    budget = _BUDGET if options.budget is None and options.answers is None else options.budget
    if options.output is not None and budget is None:
        raise UserError("output is set but no labels are drawn; add --budget, or leave it out")
    # Lazy, because these imports take seconds.
    from vri_pyro.certification import NOT_CHECKED
    from vri_pyro.certification.ledger import Ledger, read_ledger, scored
    from vri_pyro.label_issues import evidence_of, rank, read_answers
    from vri_pyro.runs.run import Run

    trust = trusts(options.run, options.trust)
    trained = Run(options.run, device=options.device, trust=trust, data=data_places(options))
    split, console = trained.split, SafeConsole(soft_wrap=True)
    with trained.folder.locked():
        ledger = read_ledger(trained.folder, trained.classes, split)
        before = 0 if ledger is None else ledger.answered
        path = None if budget is None else _new_list(1 if ledger is None else ledger.rounds + 1, trained, options)
        if ledger is None:
            if options.answers is not None and options.budget is None:
                raise UserError(f"{options.run} has no checks; draw labels first, without --answers")
            with console.status("ranking labels"):
                issues = rank(evidence_of(trained, split.noisy_indices), seed=split.seed)
            ledger = Ledger(scored(issues, split))
        if options.answers is not None:
            indices, verified = read_answers(options.answers, split, trained.classes, trained.examples)
            told = verified != NOT_CHECKED
            ledger = ledger.with_answers(indices[told], verified[told], trained.classes, trained.folder.checks)
        unanswered = len(ledger.entries) - ledger.answered
        if budget is not None and path is not None:
            ledger = ledger.proposed(options.purpose, budget, options.seed, options.uniform)
            _write(path, ledger, trained, options)
        ledger.save(trained.folder, trained.classes, trained.examples)
    if options.answers is not None:
        _tell_answers(ledger, before, unanswered, options, console)
    if path is not None:
        console.print(f"{counted(budget or 0, 'label')} to check, purpose {options.purpose}: {path.absolute()}")
        console.print(f"hand in the answers with: vri-pyro check {options.run} --answers FILE")
    return 0


def _tell_answers(ledger: Ledger, before: int, unanswered: int, options: Namespace, console: SafeConsole) -> None:
    new = counted(ledger.answered - before, "new answer")
    console.print(f"{new}, {ledger.answered} in all: {options.run / 'checks.csv'}")
    if unanswered:
        console.print(
            f"{counted(unanswered, 'drawn label has', 'drawn labels have')} no answer yet; vri-pyro certify says how "
            "they count"
        )
    console.print(f"certify with: vri-pyro certify {options.run}")


def _check(options: Namespace) -> None:
    if options.budget is not None:
        check_integer("budget", options.budget, 1)
    check_integer("seed", options.seed, 0)
    check_number("uniform", options.uniform, above=0, at_most=1)
    if options.url_prefix is not None and options.format != "label-studio":
        raise UserError(f"url_prefix is set but the format is {options.format}; it is used by label-studio only")


def _new_list(number: int, trained: Run, options: Namespace) -> Path:
    """Return the path of the list of a round; raise if something is there, which may have answers."""
    from vri_pyro.label_issues.label_studio import check_task_files

    label_studio = options.format == "label-studio"
    name = f"check_{number}.{'json' if label_studio else 'csv'}"
    path: Path = options.output or trained.folder.checks.with_name(name)
    check_new(path, ", and may have answers")
    if path.resolve() == trained.folder.checks.resolve():
        raise UserError(f"{path} is the record of all checks of the run; choose another --output")
    if label_studio:
        check_task_files(path)
    return path


def _write(path: Path, ledger: Ledger, trained: Run, options: Namespace) -> None:
    """Write the labels of the last round; those that measure come without suggestions, which would sway the answers."""
    from vri_pyro.label_issues import class_name, write_tasks
    from vri_pyro.label_issues.table import write_rows

    number, population = ledger.rounds, ledger.labels.population
    rows, confidences = list[dict[str, Any]](), list[float | None]()
    for entry in ledger.entries:
        if entry.round != number:
            continue
        index, position = int(ledger.labels.index[entry.position]), entry.position
        row = {
            "index": index,
            "path": trained.examples.listed(index) or "",
            "given": class_name(trained.classes, int(population.given[position])),
        }
        confidence = None
        if entry.purpose == "measure":
            row["probability"] = f"{entry.probability:.12g}"
        elif population.suggested is not None and population.doubt is not None:
            row["suggested"] = class_name(trained.classes, int(population.suggested[position]))
            row["score"] = f"{population.score[position]:.6f}"
            confidence = 1 - float(population.doubt[position])
        confidences.append(confidence)
        rows.append(row)
    if options.format == "csv":
        write_rows(path, [row | {"verified": ""} for row in rows])
    else:
        extra = {} if options.url_prefix is None else {"url_prefix": options.url_prefix}
        write_tasks(path, rows, confidences, trained.classes, trained.examples, **extra)
