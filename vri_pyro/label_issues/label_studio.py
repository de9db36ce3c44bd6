"""Exchange labels with Label Studio: write its tasks and its labelling configuration, and read its annotations."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

import vri_pyro
from vri_pyro.data import Examples
from vri_pyro.label_issues.media import check_images, folder_of, image_files
from vri_pyro.label_issues.ranking import LabelIssues
from vri_pyro.label_issues.table import NONE, TEXTS, printable, table_rows
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_replaceable, write_atomically

LOCAL_FILES = "/data/local-files/?d="
SKIPPED = "\0skipped"  # label of an annotation that was skipped
_CHOICE, _EXAMPLE = "label", "example"  # names of the tags in the labelling configuration
_CONFIGURATION = re.compile(
    rf'<View>\s+<(Image|Text) name="{_EXAMPLE}" value="\$(image|text)"/>\s+<Choices name="{_CHOICE}" '
    rf'toName="{_EXAMPLE}" choice="single" layout="(select|inline)">'
    r"(\s+<Choice value=[^\n]*/>)*\s+</Choices>\s+</View>\s*"
)
_MANY = 20  # with more classes, the choices are shown as a menu


def write_label_studio(
    path: Path,
    issues: LabelIssues,
    indices: np.ndarray,
    classes: Sequence[str],
    examples: Examples,
    true: np.ndarray | None = None,
    limit: int | None = None,
    url_prefix: str = LOCAL_FILES,
) -> None:
    """Write the examples as Label Studio's tasks, with the suggested labels as predictions.

    NAME_config.xml beside the tasks has the labelling configuration, with the classes and "(none)" as choices. A task
    has the columns of :func:`~vri_pyro.label_issues.write_table` and either ``image``, a URL, or ``text``, the values
    of a feature vector. Images of arrays are written to the folder NAME_images.

    Reference: "Label Studio JSON format" and "Import pre-annotated data" in the documentation of Label Studio.

    Args:
        path: the JSON file to write.
        issues, indices, classes, examples, true, limit: see :func:`~vri_pyro.label_issues.write_table`.
        url_prefix: beginning of the URLs of the images, which is followed by the path relative to the folder of the
            data, or to the folder of ``path`` for images of arrays. The default is the URL of Label Studio's local
            files.

    Raises:
        UserError: a file cannot be written.
    """
    rows = list(table_rows(issues, indices, classes, examples, true, limit))
    confidences = issues.joint.confidence[issues.order().numpy()].tolist()
    write_tasks(path, rows, confidences[: len(rows)], classes, examples, url_prefix)


def write_tasks(
    path: Path,
    rows: Sequence[dict[str, Any]],
    confidences: Sequence[float | None],
    classes: Sequence[str],
    examples: Examples,
    url_prefix: str = LOCAL_FILES,
) -> None:
    """Write rows of a table as Label Studio's tasks, and the labelling configuration beside them.

    Args:
        path: the JSON file to write.
        rows: at least one row by column, with the column ``index``.
        confidences: confidence of the column ``suggested`` of each row; None to leave out the prediction.
        classes, examples, url_prefix: see :func:`write_label_studio`.

    Raises:
        UserError: a file cannot be written.
    """
    shown = [row["index"] for row in rows]
    (first,) = examples.in_order(np.array(shown[:1]), 1)
    images = first.x.dim() == 4
    contents = _urls(path, examples, shown, url_prefix) if images else _texts(examples, shown)
    tasks = [
        _task(row, {"image" if images else "text": content}, confidence)
        for row, content, confidence in zip(rows, contents, confidences, strict=True)
    ]
    write_atomically(path, json.dumps(tasks, indent=1).encode())
    write_atomically(_configuration_of(path), labelling_configuration(classes, images).encode())


def check_task_files(path: Path) -> None:
    """Raise if writing tasks would replace anything but earlier tasks without annotations.

    Raises:
        UserError: the file, the labelling configuration beside it or the folder of images is something else.
    """
    check_replaceable(path, _is_tasks, "a list of tasks of this command without annotations")
    check_replaceable(_configuration_of(path), _is_configuration, "a labelling configuration as this command writes it")
    check_images(path)


def _is_tasks(path: Path) -> bool:
    tasks = json.loads(path.read_bytes())
    return bool(tasks) and all(set(task) <= {"data", "predictions"} and "index" in task["data"] for task in tasks)


def _is_configuration(path: Path) -> bool:
    return _CONFIGURATION.fullmatch(path.read_text(encoding="utf-8")) is not None


def _configuration_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_config.xml")


def labelling_configuration(classes: Sequence[str], images: bool) -> str:
    """Return the labelling configuration of a project, as XML.

    Args:
        classes: names of the classes.
        images: whether the examples are images; otherwise, they are shown as text.
    """
    tag = f'<Image name="{_EXAMPLE}" value="$image"/>' if images else f'<Text name="{_EXAMPLE}" value="$text"/>'
    layout = "select" if len(classes) > _MANY else "inline"
    return "\n".join(
        [
            "<View>",
            f"  {tag}",
            f'  <Choices name="{_CHOICE}" toName="{_EXAMPLE}" choice="single" layout="{layout}">',
            *(f"    <Choice value={quoteattr(printable(name))}/>" for name in [*classes, NONE]),
            "  </Choices>",
            "</View>",
            "",
        ]
    )


def read_annotations(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the annotations in a JSON export of Label Studio, as their place and a row by column.

    An annotation that was skipped has the label :data:`SKIPPED`. A task without annotations, or with empty ones, has
    the label "".

    Raises:
        UserError: the file is not a JSON export of Label Studio.
    """
    expected = "expected the export format JSON of Label Studio, with the data and annotations of every task"
    try:
        tasks = json.loads(path.read_bytes())
        for number, task in enumerate(tasks, start=1):
            row = {name: task["data"].get(name) for name in ("index", "path", "given")}
            annotations = [label for annotation in task["annotations"] for label in _labels(annotation)]
            for label in annotations or [""]:
                yield f"task {number}", row | {"label": label}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read (it is damaged or has another format); {expected}") from error


def _labels(annotation: dict[str, Any]) -> list[str]:
    if annotation.get("was_cancelled"):
        return [SKIPPED]
    return [result["value"]["choices"][0] for result in annotation["result"] if result["type"] == "choices"]


def _task(row: dict[str, Any], content: dict[str, str], confidence: float | None) -> dict[str, Any]:
    data: dict[str, Any] = {name: printable(row[name]) for name in TEXTS if name in row}
    data |= {name: float(value) if isinstance(value, str) else value for name, value in row.items() if name not in data}
    if confidence is None:
        return {"data": data | content}
    result = {
        "id": f"suggestion-{row['index']}",
        "type": "choices",
        "from_name": _CHOICE,
        "to_name": _EXAMPLE,
        "value": {"choices": [printable(row["suggested"])]},
    }
    prediction = {
        "model_version": f"vri_pyro {vri_pyro.__version__}",
        "score": round(confidence, 6),
        "result": [result],
    }
    return {"data": data | content, "predictions": [prediction]}


def _urls(path: Path, examples: Examples, indices: Sequence[int], prefix: str) -> Iterator[str]:
    folder = folder_of(path)
    for index, file in zip(indices, image_files(examples, indices, folder), strict=True):
        listed = examples.listed(index) if file.parent != folder else f"{folder.name}/{file.name}"
        yield prefix + quote(os.fsencode(listed or file))


def _texts(examples: Examples, indices: Sequence[int]) -> Iterator[str]:
    for batch in examples.in_order(np.array(indices), 1000):
        for values in examples.original(batch.x).tolist():
            yield ", ".join(f"{value:.6g}" for value in values)
