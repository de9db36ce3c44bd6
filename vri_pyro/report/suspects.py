"""The examples whose labels are most likely wrong, with their pictures."""

from __future__ import annotations

from collections import Counter

import numpy as np

from vri_pyro.label_issues import class_name
from vri_pyro.report.part import Suspect, percent
from vri_pyro.report.pictures import data_uri
from vri_pyro.report.seen import SeenRun

_SHOWN, _OF_A_PAIR = 24, 3


def most_of_a_pair(classes: int) -> int:
    """Return the largest number of suspects that are shown of each pair of given and suggested class."""
    return max(_OF_A_PAIR, -(-_SHOWN // (classes * (classes - 1))))


def suspects(seen: SeenRun) -> list[Suspect]:
    """Return the examples whose labels are most likely wrong, with a picture if the inputs are images.

    At most 24 examples are returned. Of each pair of given and suggested class there are at most 3, or more if there
    are fewer than 8 pairs.
    """
    issues, pairs, most = seen.issues, Counter[tuple[int, int]](), most_of_a_pair(len(seen.classes))
    chosen: list[int] = []
    for row in issues.order().tolist():
        pair = int(issues.given[row]), int(issues.suggested[row])
        if pair[0] != pair[1] and pairs[pair] < most and len(chosen) < _SHOWN:
            pairs[pair] += 1
            chosen.append(row)
    return [_suspect(seen, row, image) for row, image in zip(chosen, _images(seen, np.array(chosen, int)), strict=True)]


def _images(seen: SeenRun, rows: np.ndarray) -> list[str | None]:
    examples, images = seen.run.examples, []
    for batch in examples.in_order(seen.indices[rows], max(1, len(rows))) if len(rows) else ():
        x = examples.original(batch.x)
        images += [data_uri(one) if one.dim() == 3 else None for one in x]
    return images


def _suspect(seen: SeenRun, row: int, image: str | None) -> Suspect:
    issues, index = seen.issues, int(seen.indices[row])
    names = [class_name(seen.classes, int(labels[row])) for labels in (issues.given, issues.suggested)]
    true = None if seen.true_labels is None else class_name(seen.classes, int(seen.true_labels[row]))
    listed = seen.run.examples.listed(index)
    name = seen.shown(listed) if listed else f"example {index}"
    return Suspect(image, name, names[0], names[1], percent(float(issues.score[row]), 0), true)
