"""The checks of a run: which labels were proposed for a check, why, with which probability, and the answers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.certification.certificate import NOT_CHECKED, Checks, Population
from vri_pyro.certification.design import (
    PURPOSES,
    draw,
    order_to_mend,
    order_to_teach,
    probabilities_of_draws,
    sampling_weights,
)
from vri_pyro.data import Examples, Split
from vri_pyro.data.npz import read_npz, write_npz
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues import NONE, LabelIssues, class_name
from vri_pyro.label_issues.table import printable, write_rows
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.cells import from_cell, other_separator
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, counted

_SCORES = ("index", "given", "score", "suggested", "doubt", "uncertainty")
_DRAWN = "drawn"  # number of labels in checks.csv, kept beside the scores, so that a truncated table is noticed
_COLUMNS = ("round", "purpose", "index", "path", "given", "verified", "score", "probability", "uniform")
_DIGITS = 12
_RESTORE = "restore it from a copy, or delete it together with {other} to begin anew"


@dataclass(frozen=True)
class Entry:
    """A label that was proposed for a check.

    Attributes:
        round: number of the proposal, from 1.
        purpose: "measure", "mend" or "teach".
        position: position among the noisy labels.
        verified: the verified class; -1 for none of the classes, -2 without an answer.
        probability: probability of the draw given the draws before it; None unless the purpose is "measure".
        uniform: share of uniform sampling in the round; None unless the purpose is "measure".
    """

    round: int
    purpose: str
    position: int
    verified: int = NOT_CHECKED
    probability: float | None = None
    uniform: float | None = None


@dataclass(frozen=True, eq=False)
class Scored:
    """The noisy labels of a run with their scores, frozen before the first check.

    Attributes:
        index: position of each label in the training set, int64 [N].
        population: the labels and scores.
        uncertainty: normalised entropy of each label's class, [N].
    """

    index: np.ndarray
    population: Population
    uncertainty: np.ndarray


def scored(issues: LabelIssues, split: Split) -> Scored:
    """Return the scores of the noisy labels of a run as they are frozen."""
    posterior = issues.posterior.double()
    return Scored(
        split.noisy_indices,
        Population(
            given=split.given_labels,
            score=issues.score.double().clamp(0, 1).numpy(),
            suggested=issues.suggested.numpy(),
            doubt=(1 - posterior.amax(-1)).clamp(0, 1).numpy(),
        ),
        issues.uncertainty.double().numpy(),
    )


@dataclass(frozen=True, eq=False)
class Ledger:
    """All checks of a run; every change returns a new ledger.

    Attributes:
        labels: the noisy labels with their frozen scores.
        entries: the proposals in their order.
    """

    labels: Scored
    entries: tuple[Entry, ...] = field(default=())

    @property
    def rounds(self) -> int:
        """Number of proposals so far."""
        return max((entry.round for entry in self.entries), default=0)

    @property
    def answered(self) -> int:
        """Number of answers."""
        return sum(entry.verified != NOT_CHECKED for entry in self.entries)

    def free(self) -> np.ndarray:
        """Return which labels have not been proposed, bool [N]."""
        free = np.ones(len(self.labels.index), dtype=bool)
        free[[entry.position for entry in self.entries]] = False
        return free

    def proposed(self, purpose: str, budget: int, seed: int = 0, uniform: float = 1.0) -> Ledger:
        """Propose labels for a check, none of them a second time.

        Args:
            purpose: "measure" draws at random with known probabilities, "mend" takes the labels that are most probably
                wrong, "teach" those whose verified class promises to help a classifier most.
            budget: number of labels.
            seed: seed of the draws.
            uniform: share of uniform sampling, see :func:`~vri_pyro.certification.sampling_weights`.

        Raises:
            UserError: the budget is above what is left, or an argument is out of range.
        """
        check_integer("budget", budget, 1)
        check_integer("seed", seed, 0)
        free, scores = self.free(), self.labels.population.score
        if budget > free.sum():
            raise UserError(
                f"budget is {budget} but {free.sum()} of {len(free)} labels have not been proposed yet; choose a "
                "smaller budget"
            )
        number, weights = self.rounds + 1, sampling_weights(scores, uniform)
        if purpose == "measure":
            random = np.random.default_rng([seed, number])
            positions = draw(weights, free, budget, random)
            chances = probabilities_of_draws(weights, free, positions).tolist()
            new = [
                Entry(number, purpose, position, probability=chance, uniform=uniform)
                for position, chance in zip(positions.tolist(), chances, strict=True)
            ]
        else:
            order = order_to_mend(scores) if purpose == "mend" else order_to_teach(scores, self.labels.uncertainty)
            new = [Entry(number, purpose, position) for position in order[free[order]][:budget].tolist()]
        return replace(self, entries=(*self.entries, *new))

    def with_answers(self, indices: np.ndarray, verified: np.ndarray, classes: Sequence[str], table: Path) -> Ledger:
        """Add answers.

        Args:
            indices: positions of the labels in the training set, int64 [n].
            verified: verified classes, int64 [n]; -1 for none of the classes.
            classes: names of the classes, for the messages.
            table: the file ``checks.csv``, for the messages.

        Raises:
            UserError: a label was never proposed, or has another answer already.
        """
        entries, place = (
            list(self.entries),
            {int(self.labels.index[entry.position]): number for number, entry in enumerate(self.entries)},
        )
        for index, label in zip(indices.tolist(), verified.tolist(), strict=True):
            if index not in place:
                raise UserError(
                    f"example {index} has an answer but was never drawn for a check; hand in answers to the lists of "
                    "vri-pyro check only"
                )
            entry = entries[place[index]]
            if entry.verified not in (NOT_CHECKED, label):
                before, now = (class_name(classes, one) for one in (entry.verified, label))
                raise UserError(
                    f"example {index} was answered before with {before!r} and is {now!r} in the new answers; to change "
                    f"the answer, edit its column verified in {table}, otherwise remove it from the new answers"
                )
            entries[place[index]] = replace(entry, verified=label)
        return replace(self, entries=tuple(entries))

    def checks(self) -> Checks:
        """Return the checks for :func:`~vri_pyro.certification.certify`."""
        size = len(self.labels.index)
        verified, out = np.full(size, NOT_CHECKED), np.full(size, np.iinfo(np.int64).max)
        measuring = sorted({entry.round for entry in self.entries if entry.purpose == "measure"})
        number = {round_: place for place, round_ in enumerate(measuring)}
        uniform = dict[int, float]()
        for entry in self.entries:
            verified[entry.position] = entry.verified
            if entry.purpose == "measure":
                uniform[entry.round] = entry.uniform or 1.0
            else:
                out[entry.position] = sum(other < entry.round for other in measuring)
        drawn = [entry for entry in self.entries if entry.purpose == "measure"]
        return Checks(
            order=np.array([entry.position for entry in drawn], dtype=np.int64),
            round=np.array([number[entry.round] for entry in drawn], dtype=np.int64),
            uniform=tuple(uniform[round_] for round_ in measuring) or (1.0,),
            verified=verified,
            out=out,
        )

    def save(self, folder: RunFolder, classes: Sequence[str], examples: Examples) -> None:
        """Write ``checks.csv``, and the frozen scores with the number of draws to ``checks_scores.npz``, atomically.

        The scores are written first if there are none, and the number of draws last, so that after a crash in between
        the table has at least as many draws as the number says.
        """
        if not folder.checks.is_file():
            self._save_scores(folder, 0)
        write_rows(folder.checks, [self._row(entry, classes, examples) for entry in self.entries])
        self._save_scores(folder, len(self.entries))

    def _save_scores(self, folder: RunFolder, drawn: int) -> None:
        whole = {"index": self.labels.index, "uncertainty": self.labels.uncertainty, _DRAWN: np.array(drawn)}
        population = self.labels.population
        write_npz(folder.checks_scores, whole | {name: getattr(population, name) for name in _SCORES[1:5]})

    def _row(self, entry: Entry, classes: Sequence[str], examples: Examples) -> dict[str, Any]:
        index, population = int(self.labels.index[entry.position]), self.labels.population
        known = entry.verified != NOT_CHECKED
        return {
            "round": entry.round,
            "purpose": entry.purpose,
            "index": index,
            "path": examples.listed(index) or "",
            "given": class_name(classes, int(population.given[entry.position])),
            "verified": class_name(classes, entry.verified) if known else "",
            "score": f"{population.score[entry.position]:.6g}",
            "probability": "" if entry.probability is None else f"{entry.probability:.{_DIGITS}g}",
            "uniform": "" if entry.uniform is None else f"{entry.uniform:.{_DIGITS}g}",
        }


def read_ledger(folder: RunFolder, classes: Sequence[str], split: Split) -> Ledger | None:
    """Read the checks of a run; None if there are none. Tables of older versions have no number of draws on record.

    Raises:
        UserError: a file is damaged or was edited, or a label on record is not the run's.
    """
    drawn = _drawn(folder)
    if not folder.checks.is_file():
        if drawn:
            raise UserError(
                f"{folder.checks} does not exist but {folder.checks_scores.name} says that {drawn} labels were drawn; "
                f"{_RESTORE.format(other=folder.checks_scores.name)}"
            )
        return None
    labels = read_scores(folder, split)
    restore = _RESTORE.format(other=folder.checks_scores.name)
    entries = []
    for line, row in _rows(folder.checks, restore):
        try:
            entries.append(_entry(row, labels, classes))
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{folder.checks}, line {line} is damaged ({error}); {restore}") from error
    if len(entries) < max(1, drawn):
        raise UserError(
            f"{folder.checks} is truncated: it has {counted(len(entries), 'label')}"
            f"{f' but {drawn} were drawn' if drawn else ''}; {restore}"
        )
    ledger = Ledger(labels, tuple(entries))
    told = np.array([entry.probability for entry in entries if entry.purpose == "measure"])
    if len({entry.position for entry in entries}) < len(entries):
        raise UserError(f"{folder.checks} has a label twice; {restore}")
    if not np.allclose(told, ledger.checks().probabilities(labels.population.score), rtol=1e-6):
        raise UserError(f"{folder.checks} has other sampling probabilities than the draws had; {restore}")
    return ledger


def _drawn(folder: RunFolder) -> int:
    """Return the number of draws on record; 0 without scores, and for those of older versions."""
    if not folder.checks_scores.is_file():
        return 0
    try:
        return int(read_npz(folder.checks_scores, (), (_DRAWN,)).get(_DRAWN, 0))
    except UserError as error:
        raise UserError(f"{folder.checks_scores} is damaged; {_RESTORE.format(other=folder.checks.name)}") from error


def _rows(path: Path, restore: str) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            there = list(reader.fieldnames or ())
            if missing := [name for name in _COLUMNS if name not in there]:
                if remedy := other_separator(there):
                    raise UserError(f"{path} cannot be read; {remedy}")
                what = "it is empty" if not there else f"it lacks the column {missing[0]}"
                raise UserError(f"{path} is damaged ({what}); {restore}")
            rows = [(reader.line_num, row) for row in reader]
            for line, row in rows:
                if None in row or None in row.values():
                    raise UserError(f"{path}, line {line} is damaged (it does not have {len(there)} cells); {restore}")
            return [(line, {name: from_cell(cell) for name, cell in row.items()}) for line, row in rows]
    except (UnicodeDecodeError, csv.Error, AttributeError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); {restore}") from error


def _entry(row: dict[str, str], labels: Scored, classes: Sequence[str]) -> Entry:
    numbers = {NONE: NO_CLASS} | {printable(name): label for label, name in enumerate(classes)}
    position = int(np.flatnonzero(labels.index == int(row["index"]))[0]) if row["index"] else -1
    if printable(class_name(classes, int(labels.population.given[position]))) != row["given"]:
        raise ValueError(f"the label on record is {row['given']!r}, which is not the label of example {row['index']}")
    measure = row["purpose"] == "measure"
    if row["purpose"] not in PURPOSES:
        raise ValueError(f"the purpose is {row['purpose']!r}")
    probability, uniform = (float(row[name]) if measure else None for name in ("probability", "uniform"))
    for name, value in (("probability", probability), ("uniform", uniform)):
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"{name} is {value:g}, not above 0 and at most 1")
    verified = numbers[row["verified"]] if row["verified"] else NOT_CHECKED
    return Entry(int(row["round"]), row["purpose"], position, verified, probability, uniform)


def read_scores(folder: RunFolder, split: Split) -> Scored:
    """Read the frozen scores of a run.

    Raises:
        UserError: the file is missing, damaged or of another run, or a label has changed since.
    """
    path = folder.checks_scores
    restore = _RESTORE.format(other=folder.checks.name)
    if not path.is_file():
        raise UserError(
            f"{path}, which has the scores of the labels in {folder.checks.name}, does not exist; {restore}"
        )
    try:
        arrays = read_npz(path, _SCORES)
    except UserError as error:
        raise UserError(f"{path} is damaged; {restore}") from error
    if not np.array_equal(arrays["index"], split.noisy_indices):
        raise UserError(f"{path} is of another run; {restore}")
    changed = np.flatnonzero(arrays["given"] != split.given_labels)
    if len(changed):
        raise UserError(
            f"the label of example {split.noisy_indices[changed[0]]} has changed since it was scored; {restore}"
        )
    population = Population(*(arrays[name] for name in ("given", "score", "suggested", "doubt")))
    return Scored(arrays["index"], population, arrays["uncertainty"])
