"""Export the posterior of a run's training examples to ArviZ, with classes and positions as coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pyro import poutine

from vri_pyro.data import Split, generator_for, permutation
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.diagnostics.conversion import traces
from vri_pyro.diagnostics.from_pyro_svi import from_pyro_svi
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

if TYPE_CHECKING:
    from xarray import DataTree


def choose_examples(split: Split, count: int, seed: int = 0) -> np.ndarray:
    """Choose noisy examples at random.

    Args:
        split: the run's split.
        count: number of examples; all noisy examples if there are fewer.
        seed: random seed of the choice.

    Returns:
        positions in the training set, sorted, int64 [min(count, number of noisy examples)].

    Raises:
        UserError: ``count`` is below 1.
    """
    if count < 1:
        raise UserError(f"examples is {count}; expected an integer >= 1")
    drawn = permutation(generator_for(seed, "examples to look at"), len(split.noisy_indices))[:count]
    return np.sort(split.noisy_indices[drawn])


def outputs_of(run: Run, indices: np.ndarray) -> tuple[ClassifierOutput, torch.Tensor]:
    """Return the classifier's outputs for training examples, and the labels that training used.

    Raises:
        UserError: the run's method has no model and guide, or training has not reached the method.
    """
    if not run.begun:
        raise UserError(
            f"model and guide of {run.name} are untrained: after {run.epochs} of {run.all_epochs} epochs the "
            "run has not reached the stage that trains them; continue it with vri-pyro fit and --resume true"
        )
    if not run.has_pair:
        raise UserError(f"{run.name} was trained by a method without model and guide; use a run of a method with both")
    batches = list(run.outputs(indices))
    columns = zip(*(output for output, _ in batches), strict=True)
    fields: list[Any] = [None if parts[0] is None else torch.cat(parts) for parts in columns]
    output = ClassifierOutput(*fields)
    return output, torch.cat([batch.y for _, batch in batches])


def run_posterior(run: Run, indices: np.ndarray, num_draws: int = 1000, chunk_size: int = 20) -> DataTree:
    """Convert the posterior, prior and predictions of training examples to an ArviZ tree.

    Args:
        run: a trained run with a model and a guide.
        indices: positions of the examples in the training set, int64 [n]; see :func:`choose_examples`.
        num_draws: see :func:`from_pyro_svi`.
        chunk_size: see :func:`from_pyro_svi`. The models and guides of this package broadcast over particles, so it
            may exceed 1.

    Returns:
        the tree of :func:`from_pyro_svi`. The coordinates of the dimension ``data`` are the positions, those of
        ``class`` the names of the classes. The group ``constant_data`` holds ``given_label``, the classifier's
        ``logits`` and, if the true labels are known, ``true_label`` (-1 for an example of none of the classes).

    Raises:
        UserError: the run's method has no model and guide, the model has no latents, or training has not reached the
            method.
    """
    output, y = outputs_of(run, indices)
    with torch.random.fork_rng():
        trace = poutine.trace(run.model).get_trace(output, y)
    if not traces.latent(trace):
        raise UserError(
            f"the model of {run.name} has no latents, so it has no posterior; use a run whose model has latents"
        )
    constant_data: dict[str, Any] = {"given_label": y.cpu().numpy(), "logits": output.logits.cpu().numpy()}
    events = _class_dims(trace, len(run.classes))
    dims = {"given_label": ["data"], "logits": ["data", "class"]}
    if (truth := true_labels(run.split)) is not None:
        constant_data["true_label"], dims["true_label"] = truth[indices], ["data"]
    coords = {dim: list(run.classes) for some in events.values() for dim in some} | {"data": indices}
    return from_pyro_svi(
        (run.model, run.guide),
        model_args=(output, y),
        constant_data=constant_data,
        coords=coords,
        dims=dims,
        extra_event_dims=events,
        num_samples=num_draws,
        sample_dims=["chain", "draw"],
        chunk_size=chunk_size,
    )


def true_labels(split: Split) -> np.ndarray | None:
    """Return the true labels of the training set, int64 [num_train]; None if the noisy examples' are unknown.

    The label is -1 for an example of none of the classes, and for an example whose true label is unknown.
    """
    if split.true_labels is None:
        return None
    labels = np.full(split.num_train, NO_CLASS, dtype=np.int64)
    labels[split.noisy_indices] = split.true_labels
    labels[split.clean_indices] = split.clean_labels
    if split.validation_from == "clean":
        labels[split.validation_indices] = split.validation_labels
    return labels


def _class_dims(trace: Any, classes: int) -> dict[str, list[str]]:
    """Name the event dimensions of sites that are vectors or matrices over the classes."""
    named = {(classes,): ["class"], (classes, classes): ["true_class", "class"]}
    sites = traces.stochastic(trace) | traces.deterministic(trace)
    shapes = {name: tuple(site["fn"].event_shape) for name, site in sites.items()}
    return {name: list(named[shape]) for name, shape in shapes.items() if shape in named}
