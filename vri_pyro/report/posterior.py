"""The part of a page about the posterior of the rectifying vector: how wide, how right, and whether it collapsed."""

from __future__ import annotations

import numpy as np

from vri_pyro.diagnostics import Judgement
from vri_pyro.diagnostics.collapse import Collapse
from vri_pyro.diagnostics.importance import UNRELIABLE
from vri_pyro.report.figures import curves, histogram
from vri_pyro.report.part import Drawing, Fact, Level, Part, Verdict, percent
from vri_pyro.report.seen import STANDARD_DEVIATION, SeenRun
from vri_pyro.report.training import of

_KL = "kl/"
_SHOWN_K_HAT = (-0.5, 2.0)
_MEANING = {
    "point": "is as good as a fixed value",
    "prior": "has learned nothing beyond its prior",
    "label ignored": "is nearly the same whichever label is given",
}


def posterior(seen: SeenRun) -> Part | None:
    """What training did to the posterior of each latent, and what is to be thought of it; None for methods without."""
    if seen.posterior is None:
        return None
    about = (
        "q(v | x, y): which rectification of an example's logits training believes in, and how sure it is. It is "
        "learned for the clean loss and not for the ELBO, so it need not be the posterior of its model; k-hat says how "
        "far it is."
    )
    facts, drawings = _over_training(seen)
    verdicts, count = [], seen.posterior.k_hat.size
    for site, found in seen.posterior.collapse.items():
        verdicts.append(Verdict(_level(seen.posterior, site), _of_latent(seen.posterior, site)))
        facts.append(Fact(f"KL of {site}, mean of the {count} examples judged", f"{found.kl:.2f} nats"))
        facts.append(Fact(f"share of {site} that the label explains", percent(found.label_share)))
        facts.append(Fact(f"active units of {site}", f"{found.active_units} of {len(found.kl_per_dimension)}"))
    if not seen.posterior.points:
        k_hat, bounds = seen.posterior.k_hat, seen.posterior.bounds
        verdicts.append(Verdict("note", seen.posterior.of_the_guide))
        facts.append(Fact("ELBO", f"{float(bounds.elbo.mean()):.3f} nats"))
        facts.append(Fact("importance-weighted bound", f"{float(bounds.importance_weighted.mean()):.3f} nats"))
        drawings.append(_k_hat(k_hat.values))
    notes = [
        f"The verdicts are about {count} noisy examples and the networks as they are after training. Curves, and "
        "figures of the last epoch, are means over that epoch's training, during which the networks change."
    ]
    return Part("Posterior", about, verdicts=verdicts, facts=facts, notes=notes, drawings=drawings)


def _over_training(seen: SeenRun) -> tuple[list[Fact], list[Drawing]]:
    rows, facts, drawings = seen.rows, [], []
    for site in seen.latents:
        widths = of(rows, {f"posterior of {site}": f"{STANDARD_DEVIATION}{site}", "prior": f"prior_std/{site}"})
        drawings.append(curves(widths, "standard deviation", f"Standard deviation of {site}, averaged."))
        values = widths[f"posterior of {site}"][1]
        facts.append(Fact(f"standard deviation of {site}, first epoch to last", f"{values[0]:.2f} to {values[-1]:.2f}"))
    divergences = of(rows, {f"KL of {site}": f"{_KL}{site}" for site in seen.latents})
    if divergences:
        drawings.append(curves(divergences, "KL to the prior (nats)", "KL[q ‖ p], mean over examples."))
        facts += [
            Fact(f"{name}, mean of the last epoch", f"{values[-1]:.2f} nats")
            for name, (_, values) in divergences.items()
        ]
    return facts, drawings


def _level(judged: Judgement, site: str) -> Level:
    found = judged.collapse[site]
    if site in judged.points or (_is_weight(found) and not found.sound):
        return "note"
    return "good" if found.sound else "poor"


def _of_latent(judged: Judgement, site: str) -> str:
    """Whether its posterior collapsed, and what that means for the reader."""
    found, words = judged.collapse[site], judged.of_latent(site)
    if site in judged.points or found.way is None:
        return words
    if _is_weight(found):
        words += f" This single weight of each example {_MEANING[found.way]}, which is no reason for alarm:"
    else:
        words += f" It {_MEANING[found.way]};"
    return f"{words} the accuracy above stands for itself."


def _is_weight(found: Collapse) -> bool:
    """Whether the latent is a number, such as a gate, and no rectifying vector."""
    return len(found.kl_per_dimension) == 1


def _k_hat(values: np.ndarray) -> Drawing:
    low, high = _SHOWN_K_HAT
    groups = {"reliable": values[values <= UNRELIABLE], "unreliable": values[values > UNRELIABLE]}
    shown = {f"{name} ({len(some)})": some.clip(low, high) for name, some in groups.items() if len(some)}
    caption = f"Pareto's k-hat of {len(values)} examples; above {UNRELIABLE} weights cannot correct the guide's draws."
    return histogram(shown, f"k-hat, to {high:g}", caption, (low, high))
