"""Write the model card of an exported classifier, in the format of the Hugging Face Hub."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

import vri_pyro
from vri_pyro.data import Split
from vri_pyro.runs.export.format import stored_shape
from vri_pyro.runs.predictor import Predictor
from vri_pyro.training.ensemble import Ensemble
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.console import visible
from vri_pyro.utils.paths import options_without_folders, without_folders

_MOST_CLASSES = 50


def model_card(folder: RunFolder, predictor: Predictor, which: Literal["last", "best"], formats: Sequence[str]) -> str:
    """Return the model card of a run: YAML front matter and a page in Markdown.

    Args:
        folder: the run folder.
        predictor: the predictor of the run.
        which: the exported checkpoint.
        formats: names of the exported formats.
    """
    summary = folder.read_summary() if folder.summary.is_file() else {}
    accuracy = _accuracy(summary, which)
    options, images = predictor.options, len(predictor.shape) == 3
    name = f"vri-pyro-{folder.path.resolve().name}"
    environment = Environment(
        loader=PackageLoader("vri_pyro.runs.export", "."), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("model_card.md.jinja").render(
        front_matter=_front_matter(name, options, accuracy, _part(summary), formats, images),
        name=_text(name),
        kind="images" if images else "feature vectors",
        version=vri_pyro.__version__,
        classes=predictor.classes,
        shown_classes=_listed(predictor.classes),
        shape=stored_shape(predictor.shape),
        dtype=predictor.dtype,
        formats=formats,
        backbone=_network_name(predictor),
        networks=options.get("networks", 1),
        training=_training(options, summary, folder) | {"network": _network_name(predictor)},
        accuracy=accuracy,
        part=_part(summary),
        reason="" if summary else ", because the run is not finished",
        data=_text(_described(options["data"])),
        epoch="the last epoch" if which == "last" else "the epoch with the best validation accuracy",
        seed=options.get("seed", 0),
        caveat=Split.load(folder.split).caveat,
    )


def _accuracy(summary: Mapping[str, Any], which: Literal["last", "best"]) -> float | None:
    """Return the accuracy of the exported checkpoint in percent; None if it was not measured."""
    found = summary.get("results", {}).get("last" if which == "last" else "chosen")
    return None if found is None or math.isnan(found) else found


def _part(summary: Mapping[str, Any]) -> str:
    """Return the set that the accuracy was measured on, "test" or "validation"."""
    return summary.get("results", {}).get("measured_on") or "test"


def _network_name(predictor: Predictor) -> str:
    classifier = predictor.network.classifier
    return type(classifier.member(0) if isinstance(classifier, Ensemble) else classifier).__name__


def _front_matter(
    name: str, options: Mapping[str, Any], accuracy: float | None, part: str, formats: Sequence[str], images: bool
) -> str:
    task = "image-classification" if images else "tabular-classification"
    found: dict[str, Any] = {
        "license": "unknown",
        "library_name": "vri-pyro",
        "pipeline_tag": task,
        "tags": ["noisy-labels", "variational-inference", "pyro", *formats],
    }
    if accuracy is not None:
        data = _class_name(options["data"])
        result = {
            "task": {"type": task},
            "dataset": {"name": f"{data}, {part} set", "type": data.lower()},
            "metrics": [{"type": "accuracy", "value": round(accuracy / 100, 6), "name": f"{part} accuracy"}],
        }
        found |= {"metrics": ["accuracy"], "model-index": [{"name": name, "results": [result]}]}
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def _training(options: Mapping[str, Any], summary: Mapping[str, Any], folder: RunFolder) -> dict[str, Any]:
    """Return the rows of the table about the training."""
    split = Split.load(folder.split)
    method = options["method"]
    parts = [_class_name(part) for part in (_arguments(method).get(name) for name in ("model", "guide")) if part]
    rate, noise = split.realised_rate, without_folders(split.noise)
    rows = {
        "data": _described(options["data"]),
        "noisy labels": len(split.noisy_indices),
        "label noise": noise + ("" if math.isnan(rate) else f", {rate:.1%} of the noisy labels are wrong"),
        "clean labels": len(split.clean_indices),
        "validation labels": len(split.validation_indices),
        "method": _class_name(method) + (f" with {' and '.join(parts)}" if parts else ""),
        "networks": options.get("networks", 1),
        "moving average of the weights": options.get("ema") or "no",
        "epochs of the main stage": options.get("epochs"),
        "seed": options.get("seed"),
    }
    made_by = summary.get("made_by", {})
    rows["made by"] = ", ".join(f"{name} {version}" for name, version in made_by.items()) or "unknown"
    return {name: _text(value) for name, value in rows.items()}


def _class_path(option: Any) -> str:
    return option["class_path"] if isinstance(option, Mapping) else str(option)


def _class_name(option: Any) -> str:
    return _class_path(option).rpartition(".")[2]


def _arguments(option: Any) -> Mapping[str, Any]:
    return (option.get("init_args") or {}) if isinstance(option, Mapping) else {}


def _described(option: Any) -> str:
    """Return the name of a data source with its arguments; of paths, only the last part, since a card is published."""
    given = {name: value for name, value in _arguments(option).items() if value is not None}
    arguments = {n: Path(v).name if isinstance(v, str) else options_without_folders(v) for n, v in given.items()}
    return _class_name(option) + (f" ({', '.join(f'{k}: {v}' for k, v in arguments.items())})" if arguments else "")


def _text(value: Any) -> str:
    """Return a value as Markdown in one line that is neither formatted nor a link, whatever name it contains."""
    return re.sub(r"([\\`*\[\]<>|#!])", r"\\\1", " ".join(visible(str(value)).split()))


def _code(name: str) -> str:
    """Return a name as a code span of Markdown, which a backtick in the name does not end."""
    shown = " ".join(visible(name).split())
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{marks} {shown} {marks}" if "`" in shown else f"`{shown}`"


def _listed(classes: Sequence[str]) -> str:
    shown = [_code(name) for name in classes[:_MOST_CLASSES]]
    return ", ".join(shown) + (", …" if len(classes) > _MOST_CLASSES else "")
