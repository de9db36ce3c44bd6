"""The report's section on the configuration: data, noise, method and versions."""

from __future__ import annotations

from typing import Any

import yaml

from vri_pyro.report.part import Fact, Part
from vri_pyro.report.seen import SeenRun


def setting(seen: SeenRun) -> Part:
    """Report the main options, the versions that made the run, and the full configuration."""
    config, split = seen.options, seen.run.split
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    parts = split.noisy_indices, split.clean_indices, split.validation_indices
    facts = [
        Fact("method", method_name(config)),
        Fact("data", short(config.get("data"))),
        Fact("noise", seen.shown(split.noise)),
        Fact("noisy, clean and validation examples", ", ".join(str(len(part)) for part in parts)),
        Fact("backbone", short(config.get("backbone"))),
        Fact("optimiser", short(config.get("optimizer"))),
        Fact("seed", str(config.get("seed"))),
        *(Fact(name.replace("_", " "), value) for name, value in seen.summary.get("made_by", {}).items()),
    ]
    return Part("Configuration", "", facts=facts, text=text)


def subtitle(seen: SeenRun) -> str:
    """Return the method, the data and the noise of a run, in one line."""
    config, noise = seen.options, seen.shown(seen.run.split.noise)
    return " · ".join((method_name(config), short(config.get("data")), noise))


def method_name(config: dict[str, Any]) -> str:
    """Return the name of the method, followed by its model and guide if it has them."""
    method = config.get("method")
    options = (method or {}).get("init_args", {})
    parts = [short(options[name]) for name in ("model", "guide") if options.get(name)]
    return f"{short(method)}: {', '.join(parts)}" if parts else short(method)


def short(part: Any) -> str:
    """Return the name of a configured class without its module; "none" if there is none."""
    path = part.get("class_path", "") if isinstance(part, dict) else str(part or "")
    return path.rpartition(".")[2] or "none"
