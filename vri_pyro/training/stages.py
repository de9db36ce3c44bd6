"""The stages of a run: built from the stages of its configuration and checked against the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from vri_pyro.data import Split
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.infer.schedules import Schedule
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Pool, Stage
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.ensemble import build_algorithm
from vri_pyro.training.selection import Selection
from vri_pyro.utils.errors import UserError, building

MAIN = "training"  # the name of the stage of a run's own method


class BuiltStage(NamedTuple):
    """A stage of training, ready to run.

    Attributes:
        name: shown in the metrics.
        algorithm: takes the steps; the algorithms of all stages train the same classifier.
        pool: positions of the examples that the noisy batches are drawn from.
        epochs: number of epochs.
        views: number of augmented views of the noisy batch that the algorithm needs.
        schedule: its own learning rate schedule, instead of the run's.
        selection: chooses a clean set from the pool before every epoch, if any.
        clean_mixup: mixup passes over the clean set between epochs, if any.
        preparatory: whether it only prepares another stage, so that none of its epochs can be the run's best.
    """

    name: str
    algorithm: Algorithm
    pool: np.ndarray
    epochs: int
    views: Literal[1, 2] = 1
    schedule: Schedule | None = None
    selection: Selection | None = None
    clean_mixup: CleanMixup | None = None
    preparatory: bool = False


@dataclass(frozen=True)
class CleanSource:
    """Where a stage gets clean examples from, besides the split.

    Attributes:
        selection: chooses the clean set, for splits without one.
        mixup: mixup passes over the clean set; only for the stage of the method itself, not for preparatory ones.
    """

    selection: Selection | None = None
    mixup: CleanMixup | None = None


def build_stages(
    stages: Mapping[str, tuple[Stage, CleanSource]], classifier: Classifier, split: Split, epochs: int
) -> list[BuiltStage]:
    """Build the stages of a run.

    Args:
        stages: by name, in the order of training, each with its source of clean examples. A stage may consist of
            several (:meth:`~vri_pyro.methods.Method.stages`). Those of :data:`MAIN` keep their names; the preparatory
            ones of another stage are named after it, as in "warm-up: estimation".
        classifier: trained by all of them.
        split: the noisy and the clean examples.
        epochs: length of stages that name none.

    Raises:
        UserError: a stage lacks the clean examples it needs, has two sources of them, or cannot be built.
    """
    built = []
    for name, (stage, source) in stages.items():
        for part_name, part in stage.method.stages(name, replace(stage, epochs=stage.epochs or epochs)).items():
            preparatory = part_name != name
            # Preparatory stages are trained on labels that their method chooses; mixup must not add clean ones.
            own = replace(source, mixup=None) if preparatory else source
            full_name = f"{name}: {part_name}" if preparatory and name != MAIN else part_name
            found = _build_stage(full_name, part, part.epochs or epochs, own, classifier, split)
            built.append(found._replace(preparatory=preparatory))
    return built


def _build_stage(
    name: str, stage: Stage, epochs: int, source: CleanSource, classifier: Classifier, split: Split
) -> BuiltStage:
    method = stage.method
    _check_clean(name, stage, source, split)
    with building(f"the method of {name}"):
        algorithm = build_algorithm(classifier, lambda network: method.build(network, stage.optimizer))
    return BuiltStage(
        name,
        algorithm,
        _pool(method.pool, split),
        epochs,
        views=method.views,
        schedule=stage.schedule,
        selection=source.selection,
        clean_mixup=source.mixup,
    )


def _check_clean(name: str, stage: Stage, source: CleanSource, split: Split) -> None:
    """Raise if a stage lacks the clean examples that it needs, or has two sources of them."""
    trusted = len(split.clean_indices)
    if source.selection is None:
        if not trusted and (stage.method.needs_clean or source.mixup is not None):
            raise UserError(
                f"{name} learns from clean examples and the split has none; give it some (split.clean_per_class), or "
                "the method a selection such as SmallLoss; one that can do without wants a method.clean_weight of 0"
            )
        return
    if trusted:
        raise UserError(
            f"selection is set but the split has {trusted} clean examples; set split.clean_per_class to 0, or leave "
            "the selection out"
        )
    if stage.method.pool != "noisy":
        raise UserError(
            f"selection chooses from the noisy part but the pool of {name} is {stage.method.pool}; set it to noisy"
        )
    source.selection.check(len(split.noisy_indices), split.num_classes)


def _pool(pool: Pool, split: Split) -> np.ndarray:
    if pool == "noisy_and_clean":
        return np.sort(np.concatenate([split.noisy_indices, split.clean_indices]))
    return split.clean_indices if pool == "clean" else split.noisy_indices
