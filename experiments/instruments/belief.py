"""Instrument: the probability that a label is right, according to the model."""

from __future__ import annotations

import torch
from torch import Tensor

from instruments.seen import Figures, Seen
from instruments.transition import estimate
from vri_pyro.interfaces.transition_likelihood import clean_posterior
from vri_pyro.label_issues.detection import detection


def beliefs(seen: Seen) -> dict[str, Tensor]:
    """Return p(c = ỹ | t, ỹ, T), [n], from the current prediction t and, if there is one, from the running mean.

    Without a matrix, all confusions count as equally likely, and the probability is t[ỹ]. With a posterior of T, the
    matrix is its mean.
    """
    logits, given, matrix = seen.output.logits, seen.given, estimate(seen)
    predictions = {"current": logits}
    if seen.memory is not None:
        assert seen.output.index is not None
        predictions["memory"] = seen.memory.moved(logits, seen.output.index).log()
    flat = torch.ones_like(seen.realised)
    return {
        name: clean_posterior(one, flat if matrix is None else matrix, given).gather(1, given.unsqueeze(1)).squeeze(1)
        for name, one in predictions.items()
    }


def belief(seen: Seen) -> Figures:
    """Return means and quartiles of each belief, and how well it separates wrong labels from right ones."""
    return {name: _figures(seen, values) for name, values in beliefs(seen).items()}


def separation(score: Tensor, wrong: Tensor) -> float | None:
    """Return the probability that a wrong label has a higher score than a right one; None without both of them."""
    found = detection(score, wrong)
    return None if found is None else found.auroc


def _figures(seen: Seen, values: Tensor) -> Figures:
    def summary(some: Tensor) -> Figures:
        low, median, high = some.quantile(some.new_tensor([0.25, 0.5, 0.75])).tolist()
        return {"mean": float(some.mean()), "low": low, "median": median, "high": high}

    return {"mean": float(values.mean()), **seen.apart(values, summary), "auroc": separation(-values, seen.wrong)}
