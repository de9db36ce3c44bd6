"""The part of a page about what was run: data, noise, method and versions."""

from __future__ import annotations

from typing import Any

import yaml

from vri_pyro.report.part import Fact, Part
from vri_pyro.report.seen import SeenRun


def setting(seen: SeenRun) -> Part:
    """The configuration in a few lines and in full, and what made the run."""
    text = seen.run.folder.config.read_text()
    config, split = yaml.safe_load(text), seen.run.split
    parts = split.noisy_indices, split.clean_indices, split.validation_indices
    facts = [
        Fact("method", method_name(config)),
        Fact("data", short(config.get("data"))),
        Fact("noise", split.noise),
        Fact("noisy, clean and validation labels", ", ".join(str(len(part)) for part in parts)),
        Fact("classifier", short(config.get("backbone"))),
        Fact("optimiser", short(config.get("optimizer"))),
        Fact("seed", str(config.get("seed"))),
        *(Fact(name.replace("_", " "), value) for name, value in seen.summary.get("made_by", {}).items()),
    ]
    return Part("Configuration", "", facts=facts, text=text)


def method_name(config: dict[str, Any]) -> str:
    """The method with its model and guide, where it has some."""
    method = config.get("method")
    options = (method or {}).get("init_args", {})
    parts = [short(options[name]) for name in ("model", "guide") if options.get(name)]
    return f"{short(method)}: {', '.join(parts)}" if parts else short(method)


def short(part: Any) -> str:
    """The name of a configured class without its module."""
    path = part.get("class_path", "") if isinstance(part, dict) else str(part or "")
    return path.rpartition(".")[2] or "none"
