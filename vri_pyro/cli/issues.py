"""``vri-pyro issues``: rank the noisy labels of a run by their probability of being wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace
from rich.progress import Progress
from rich.table import Column, Table

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_place, check_replaceable
from vri_pyro.utils.numbers import check_integer

if TYPE_CHECKING:
    from vri_pyro.label_issues.filled_in import FilledIn
    from vri_pyro.runs.run import Run

_SHOWN = 10


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Rank the noisy labels of a finished run, the most suspicious first. label_issues.csv has the "
        "index, path, given and suggested class of each example, the probability that its label is wrong, the "
        "uncertainty of the suggestion, and further scores. label_issues_transition.csv has the estimated transition "
        "matrix. What a person has entered in further columns of an earlier label_issues.csv is kept.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "--format",
        choices=["csv", "label-studio", "fiftyone"],
        default="csv",
        help="csv: label_issues.csv; label-studio: tasks with predictions, and NAME_config.xml; fiftyone: a CSVDataset",
    )
    parser.add_argument(
        "--limit", type=int | None, default=None, help="write only the most suspicious labels, this many"
    )
    parser.add_argument(
        "--missed", type=float, default=1.0, help="loss of a wrong label that is not flagged in is_label_issue"
    )
    parser.add_argument("--in_vain", type=float, default=1.0, help="loss of a correct label that is flagged")
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
        help="file for the table; the matrix is written to NAME_transition.csv; null writes to the run folder",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Rank the labels, write both tables and print a summary."""
    # Lazy, because these imports take seconds.
    import torch

    from vri_pyro.label_issues import (
        BEST,
        FORMATS,
        class_name,
        detection,
        evidence_of,
        rank,
        write_transition_table,
    )
    from vri_pyro.runs.run import Run

    trust = trusts(options.run, options.trust)
    trained = Run(options.run, device=options.device, trust=trust, data=data_places(options))
    split, form = trained.split, FORMATS[options.format]
    path = options.output or trained.folder.label_issues.with_name(form.name)
    check_place(path)
    matrix = path.with_name(f"{path.stem}_transition.csv")
    _check(options, form.images_only and len(trained.folder.read_inputs()["shape"]) != 3)
    extra: dict[str, Any] = {} if options.url_prefix is None else {"url_prefix": options.url_prefix}
    if options.format == "csv" and options.limit is None:
        extra["verified"] = split.pairs
    _check_outputs(path, matrix, options)
    if options.format != "label-studio":
        extra["filled"] = _filled_in(path, trained, options)  # raises before the expensive computation
    console = SafeConsole()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("ranking labels", total=1.0)
        evidence = evidence_of(trained, split.noisy_indices)
        issues = rank(evidence, seed=split.seed, progress=lambda done: bar.update(task, completed=done))
        issues = replace(issues, losses=(options.missed, options.in_vain))
    ranked = (issues, split.noisy_indices, trained.classes, trained.examples, split.true_labels)
    if "filled" in extra:
        extra["filled"] = _filled_in(path, trained, options)  # which may have been edited meanwhile
    form.write(path, *ranked, limit=options.limit, **extra)
    write_transition_table(matrix, issues.transition, trained.classes, split.frequencies)
    if trained.state:
        console.print(trained.state, soft_wrap=True)
    listed = trained.examples.listed(int(split.noisy_indices[0])) is not None
    shown = Table("path" if listed else "index", "given", "suggested", Column("P(label is wrong)", justify="right"))
    for row in issues.order()[:_SHOWN].tolist():
        names = (class_name(trained.classes, int(labels[row])) for labels in (issues.given, issues.suggested))
        index = int(split.noisy_indices[row])
        shown.add_row(trained.examples.listed(index) or str(index), *names, f"{issues.score[row]:.3f}")
    console.print(shown)
    if not split.verified and (others := len(split.clean_indices) + len(split.held_out)):
        console.print(
            f"{others} labels are not ranked: they were drawn for the clean and validation sets, although nobody has "
            "verified them",
            soft_wrap=True,
        )
    if split.pairs is not None:
        console.print(split.pairs.described, soft_wrap=True)
    low, high = issues.transition.noise_rate_interval()
    truth = "" if split.true_labels is None else f"; true rate {split.realised_rate:.1%}"
    console.print(
        f"estimated noise rate: {issues.joint.noise_rate:.1%}, 95% interval {low:.1%} to {high:.1%}{truth}",
        soft_wrap=True,
    )
    if len(split.noisy_holdout):
        console.print(f"{len(split.noisy_holdout)} of the noisy labels were kept out of training", soft_wrap=True)
    for warning in (split.caveat, issues.warning, issues.joint.foreign, issues.advice):
        if warning:
            console.print(warning, soft_wrap=True)
    if split.true_labels is not None:
        wrong = torch.from_numpy(split.given_labels != split.true_labels)
        if (found := detection(issues.scores[BEST], wrong)) is not None:
            at = ", ".join(f"precision at {k} {value:.3f}" for k, value in found.precision_at.items())
            console.print(
                f"AUROC {found.auroc:.4f}, average precision {found.average_precision:.4f}, {at}",
                soft_wrap=True,
            )
    if (filled := extra.get("filled")) is not None and filled.cells:
        console.print(f"{filled} were kept", soft_wrap=True)
    for name, file in (("table", path), ("transition matrix", matrix)):
        console.print(f"{name}: {file.absolute()}", soft_wrap=True)
    return 0


def _check(options: Namespace, not_images: bool) -> None:
    if options.limit is not None:
        check_integer("limit", options.limit, 1)
    from vri_pyro.label_issues.joint_posterior import check_losses

    check_losses(options.missed, options.in_vain)
    if options.url_prefix is not None and options.format != "label-studio":
        raise UserError(f"url_prefix is set but the format is {options.format}; it is used by label-studio only")
    if not_images:
        raise UserError(f"the format {options.format} is for images but the examples are vectors; use another format")


def _check_outputs(path: Path, matrix: Path, options: Namespace) -> None:
    """Raise if a file would be replaced that is not an earlier output; a table's filled-in cells are kept."""
    from vri_pyro.label_issues.label_studio import check_task_files
    from vri_pyro.label_issues.media import check_images
    from vri_pyro.label_issues.transition_table import is_transition_table

    if options.format == "label-studio":
        check_task_files(path)
    elif options.format == "fiftyone":
        check_images(path)
    check_replaceable(matrix, is_transition_table, "a transition matrix of vri-pyro issues")


def _filled_in(path: Path, trained: Run, options: Namespace) -> FilledIn:
    """Return what a person has filled in in the table that is to be written again."""
    from vri_pyro.label_issues.filled_in import read_filled_in
    from vri_pyro.label_issues.table import printable

    split, names = trained.split, [printable(name) for name in trained.classes]
    given = {
        index: names[label]
        for index, label in zip(split.noisy_indices.tolist(), split.given_labels.tolist(), strict=True)
    }
    verified = dict[int, str]()
    if split.pairs is not None and options.format == "csv" and options.limit is None:
        for index, label, before in zip(*(part.tolist() for part in split.pairs), strict=True):
            given[index], verified[index] = names[before], names[label]
    return read_filled_in(path, given, verified, split.true_labels is not None, options.limit)
