"""From the stages that a configuration names to the phases of a run, checked against the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vri_pyro.data import Split
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.methods.base import Pool, Stage
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.ensemble import build_learner
from vri_pyro.training.phase import Phase
from vri_pyro.training.selection import Selection
from vri_pyro.utils.errors import UserError, building

MAIN = "training"  # the stage of a run's own method, and its phase


@dataclass(frozen=True)
class CleanSource:
    """What a stage has to do with clean examples besides its method.

    Attributes:
        selection: what chooses the clean set, for splits without one.
        mixup: passes of mixup over the clean set, between the epochs of the method itself and not of its other stages.
    """

    selection: Selection | None = None
    mixup: CleanMixup | None = None


def build_phases(
    stages: Mapping[str, tuple[Stage, CleanSource]], classifier: Classifier, split: Split, epochs: int
) -> list[Phase]:
    """The phases of a run.

    Args:
        stages: by name, in the order of training, each with its source of clean examples. Phases are named as the
            stages of :data:`MAIN` are; those that prepare another one, such as a warm-up, after that as well.
        classifier: what all of them train.
        split: where the examples are from.
        epochs: length of stages that name none.

    Raises:
        UserError: a stage lacks the clean examples that it needs, has two sources of them, or cannot be built.
    """
    phases = []
    for name, (stage, source) in stages.items():
        for part_name, part in stage.method.stages(name, replace(stage, epochs=stage.epochs or epochs)).items():
            # What a method trains beforehand, on labels of its choice, is not for clean examples to mend.
            prepares = part_name != name
            own = replace(source, mixup=None) if prepares else source
            phase_name = f"{name}: {part_name}" if prepares and name != MAIN else part_name
            phase = _phase(phase_name, part, part.epochs or epochs, own, classifier, split)
            phases.append(phase._replace(prepares=prepares))
    return phases


def _phase(name: str, stage: Stage, epochs: int, source: CleanSource, classifier: Classifier, split: Split) -> Phase:
    method = stage.method
    _check_clean(name, stage, source, split)
    with building(f"the method of {name}"):
        learner = build_learner(classifier, lambda network: method.build(network, stage.optimizer))
    return Phase(
        name,
        learner,
        _pool(method.pool, split),
        epochs,
        views=method.views,
        schedule=stage.schedule,
        selection=source.selection,
        clean_mixup=source.mixup,
    )


def _check_clean(name: str, stage: Stage, source: CleanSource, split: Split) -> None:
    """Refuse a phase without the clean examples that it needs, or with two sources of them."""
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
