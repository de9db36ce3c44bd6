"""Build the stages of a run from its configuration, and check that the split has the examples they need."""

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
from vri_pyro.training.trunk import Trunk
from vri_pyro.training.weight_decay import with_weight_decay
from vri_pyro.utils.errors import UserError, building

MAIN = "training"  # name of the main stage, which trains with the method of the run


class BuiltStage(NamedTuple):
    """A stage of training that is ready to run.

    Attributes:
        name: name of the stage, shown in the metrics.
        algorithm: the training algorithm; the algorithms of all stages train the same classifier.
        pool: positions of the examples for the noisy batches, int64 [n].
        epochs: number of epochs.
        views: number of augmented views of the noisy batch that the algorithm uses.
        schedule: learning-rate schedule of the stage; None for the schedule of the run.
        selection: selects the clean set from the pool before every epoch; None for the clean set of the split.
        clean_mixup: mixup passes over the clean set between epochs; None for no passes.
        preparatory: whether the stage only prepares another one; its epochs are not candidates for the best epoch.
        as_given: whether the noisy batches have the labels of before a review. Methods with a model of the noise need
            them, because the labels that are left after a review are a selection; the new labels are in their clean
            batches.
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
    as_given: bool = False


@dataclass(frozen=True)
class CleanSource:
    """Clean-set options of a stage.

    Attributes:
        selection: selects the clean set, for splits without one.
        mixup: mixup passes over the clean set; applies to the stage itself, not to its preparatory stages.
    """

    selection: Selection | None = None
    mixup: CleanMixup | None = None


def build_stages(
    stages: Mapping[str, tuple[Stage, CleanSource]],
    classifier: Classifier,
    split: Split,
    epochs: int,
    trunk: Trunk | None = None,
    weight_decay: float | None = None,
) -> list[BuiltStage]:
    """Build the stages of a run.

    Args:
        stages: configured stages by name, in the order of training, with their clean-set options. The method of a
            stage can expand it into several stages (:meth:`~vri_pyro.methods.Method.stages`). The preparatory stages
            of :data:`MAIN` keep their names; those of another stage are prefixed, as in "warm-up: estimation".
        classifier: the classifier that all stages train.
        split: the noisy and the clean examples.
        epochs: number of epochs of a stage that does not set its own.
        trunk: how all stages train the trunk of the classifier; None to train it like the head.
        weight_decay: weight decay of the classifier in all stages; None for that of each stage's optimiser.

    Returns:
        the stages in the order of training.

    Raises:
        UserError: a stage lacks the clean examples it needs, has both a clean set and a selection, or cannot be built.
    """
    built = []
    for name, (stage, source) in stages.items():
        for part_name, part in stage.method.stages(name, replace(stage, epochs=stage.epochs or epochs)).items():
            preparatory = part_name != name
            # The method decides which labels a preparatory stage uses; mixup must not add clean labels.
            own = replace(source, mixup=None) if preparatory else source
            full_name = f"{name}: {part_name}" if preparatory and name != MAIN else part_name
            found = _build_stage(full_name, part, part.epochs or epochs, own, classifier, split, trunk, weight_decay)
            as_given = stage.method.models_noise and part.method.pool == "noisy"
            built.append(found._replace(preparatory=preparatory, as_given=as_given))
    return built


def _build_stage(
    name: str,
    stage: Stage,
    epochs: int,
    source: CleanSource,
    classifier: Classifier,
    split: Split,
    trunk: Trunk | None,
    weight_decay: float | None,
) -> BuiltStage:
    method = stage.method
    _check_clean(name, stage, source, split)

    def build(network: Classifier) -> Algorithm:
        optimizer = stage.optimizer
        if weight_decay is not None:
            optimizer = with_weight_decay(optimizer, network, weight_decay)
        if trunk is not None:
            optimizer = trunk.optimizer(optimizer, network)
        return method.build(network, optimizer)

    with building(f"the method of {name}"):
        algorithm = build_algorithm(classifier, build)
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
    """Raise if a stage lacks the clean examples it needs, or has both a clean set and a selection."""
    trusted = len(split.clean_indices)
    if source.selection is None:
        if not trusted and (stage.method.needs_clean or source.mixup is not None):
            raise UserError(
                f"{name} needs clean examples but the split has none; set split.clean_per_class, use a selection such "
                "as SmallLoss, or set method.clean_weight to 0 if the method can train without clean examples"
            )
        return
    if trusted:
        raise UserError(
            f"selection is set but the split has {trusted} clean examples; set split.clean_per_class to 0, or remove "
            "the selection"
        )
    if stage.method.pool != "noisy":
        raise UserError(
            f"selection chooses from the noisy set but the pool of {name} is {stage.method.pool}; set it to noisy"
        )
    source.selection.check(len(split.noisy_training_indices), split.num_classes)


def _pool(pool: Pool, split: Split) -> np.ndarray:
    if pool == "noisy_and_clean":
        return np.sort(np.concatenate([split.noisy_training_indices, split.clean_indices]))
    return split.clean_draws if pool == "clean" else split.noisy_draws
