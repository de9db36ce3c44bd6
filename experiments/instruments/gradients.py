"""Instrument: how much each term of the loss moves the logits, and in which direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from pyro import poutine
from torch import Tensor, autograd, nn
from torch.nn import functional as F

from instruments.seen import Figures, Seen
from vri_pyro.diagnostics.conversion.traces import log_density
from vri_pyro.infer.elbo import stochastic
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.given_label import GivenLabel
from vri_pyro.interfaces.prediction_memory import early_learning_regulariser
from vri_pyro.methods.elr import ELRDescent
from vri_pyro.methods.glc import GLCDescent

_DRAWS = 4
# Terms by name: minus the loss, summed over the examples.
Terms = dict[str, Tensor]


def gradients(seen: Seen) -> Figures | None:
    """Return the mean norm of each term's gradient with respect to the logits, and where the sum of terms pulls them.

    The norms are those of an example, in a loss that is a mean over examples, so the terms can be compared. The pull
    is the step that descent wants the logit of the given, or of the true, label to take. The clean batch consists of
    other examples; its norm is multiplied by its weight in the loss. None if the loss of the method is unknown here.
    """
    directions = descent_directions(seen)
    if not directions:
        return None
    total = torch.stack(list(directions.values())).sum(0)
    found: Figures = {"norm": {name: seen.apart(one.norm(dim=-1)) for name, one in directions.items()}}
    given, true = (total.gather(1, label.unsqueeze(1)).squeeze(1) for label in (seen.given, seen.true.clamp_min(0)))
    true = true.masked_fill(seen.true < 0, torch.nan)  # examples of no class
    found["pull"] = {
        "given": seen.apart(given),
        "true": seen.apart(true, lambda some: float(some.nanmean())),
    }
    return found | {"clean": _clean(seen)}


def descent_directions(seen: Seen) -> dict[str, Tensor]:
    """Return minus the gradient of each term of an example's loss with respect to its logits, [n, K], by term."""
    terms = _terms_of(seen)
    if terms is None:
        return {}
    with torch.enable_grad(), _training(seen.run.model):
        logits = seen.output.logits.detach().clone().requires_grad_()
        found = terms(seen.output._replace(logits=logits))
        return {name: _gradient(term, logits) for name, term in found.items()}


def _terms_of(seen: Seen) -> Callable[[ClassifierOutput], Terms] | None:
    algorithm = seen.run.algorithm
    if seen.run.has_pair:
        return lambda output: _of_pair(seen, output)
    if not seen.run.begun:
        return None
    if isinstance(algorithm, ELRDescent):
        return lambda output: _of_elr(algorithm, output, seen.given)
    if isinstance(algorithm, GLCDescent):
        return lambda output: {"y_by_transition": GivenLabel(output.logits, algorithm.transition).log_prob(seen.given)}
    return None


def _of_pair(seen: Seen, output: ClassifierOutput) -> Terms:
    """Observed sites of the model, averaged over draws from the guide."""
    model, guide, found = seen.run.model, seen.run.guide, dict[str, Tensor]()
    for _ in range(_DRAWS):
        drawn = poutine.trace(guide).get_trace(output, seen.given)
        trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(output, seen.given)
        for name, site in stochastic(trace).items():
            if site["is_observed"]:
                found[name] = found.get(name, 0) + log_density(site) / _DRAWS
    return found


def _of_elr(algorithm: ELRDescent, output: ClassifierOutput, y: Tensor) -> Terms:
    assert output.index is not None
    targets = algorithm.memory.moved(output.logits, output.index)
    regulariser = early_learning_regulariser(output.logits, targets)
    return {
        "y": -F.cross_entropy(output.logits, y, reduction="none"),
        "early_learning": -algorithm.elr_weight * regulariser,
    }


def _gradient(term: Tensor, logits: Tensor) -> Tensor:
    (found,) = autograd.grad(term.sum(), logits, retain_graph=True, allow_unused=True)
    return torch.zeros_like(logits) if found is None else found


def _clean(seen: Seen) -> float | None:
    """Mean norm of the gradient of a clean example's cross entropy, times the weight of the clean batch in the loss."""
    split, algorithm = seen.run.split, seen.run.algorithm
    weight = float(getattr(algorithm, "clean_weight", 0.0))
    if isinstance(algorithm, GLCDescent):  # its batches also draw from the clean set
        weight += len(split.clean_indices) / len(split.noisy_indices)
    if not weight or not len(split.clean_indices):
        return None
    found = [
        (output.logits.softmax(-1) - F.one_hot(batch.y, output.logits.shape[-1])).norm(dim=-1)
        for output, batch in seen.run.outputs(split.clean_indices)
    ]
    return weight * float(torch.cat(found).mean())


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Set training mode, in which models have factors that regularise the classifier."""
    model.train()
    try:
        yield
    finally:
        model.eval()
