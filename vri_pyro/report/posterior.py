"""The report's section on the posterior of the latents: its spread, its accuracy and whether it collapsed."""

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
    "point": "acts as a point estimate",
    "prior": "carries no information beyond the prior",
    "label ignored": "is nearly the same for every given label",
}


def posterior(seen: SeenRun) -> Part | None:
    """Report the posterior of each latent over training, and its diagnostics; None for methods without latents."""
    if seen.posterior is None:
        return None
    about = (
        "The guide q(v | x, y) approximates the posterior of the latents that rectify an example's logits. It is "
        "trained on the clean loss, not on the ELBO, and may therefore differ from the posterior of the model. "
        "Pareto's k-hat measures the difference."
    )
    facts, drawings = _over_training(seen)
    verdicts, count = [], seen.posterior.k_hat.size
    for site, found in seen.posterior.collapse.items():
        verdicts.append(Verdict(_level(seen.posterior, site), _of_latent(seen.posterior, site)))
        facts.append(Fact(f"KL of {site}, after training", f"{found.kl:.2f} nats"))
        facts.append(Fact(f"variance of {site} explained by the label", percent(found.label_share)))
        facts.append(Fact(f"active units of {site}", f"{found.active_units} of {len(found.kl_per_dimension)}"))
    if not seen.posterior.points:
        k_hat, bounds = seen.posterior.k_hat, seen.posterior.bounds
        verdicts.append(Verdict("note", seen.posterior.of_the_guide))
        facts.append(Fact("ELBO per example", f"{float(bounds.elbo.mean()):.3f} nats"))
        facts.append(
            Fact("importance-weighted bound per example", f"{float(bounds.importance_weighted.mean()):.3f} nats")
        )
        drawings.append(_k_hat(k_hat.values))
    notes = [
        f"The verdicts and the values without an epoch are computed after training, on {count} noisy examples. The "
        "curves and the values of the first and last epoch are means over the steps of an epoch, during which the "
        "networks change."
    ]
    return Part("Posterior", about, findings=verdicts, facts=facts, notes=notes, drawings=drawings)


def _over_training(seen: SeenRun) -> tuple[list[Fact], list[Drawing]]:
    rows, facts, drawings = seen.rows, [], []
    for site in seen.latents:
        widths = of(rows, {f"posterior of {site}": f"{STANDARD_DEVIATION}{site}", "prior": f"prior_std/{site}"})
        drawings.append(curves(widths, "standard deviation", f"Mean standard deviation of {site} in each epoch."))
        values = widths[f"posterior of {site}"][1]
        facts.append(Fact(f"standard deviation of {site}, first to last epoch", f"{values[0]:.2f} to {values[-1]:.2f}"))
    divergences = of(rows, {f"KL of {site}": f"{_KL}{site}" for site in seen.latents})
    if divergences:
        caption = "KL divergence from the posterior to the prior, KL[q ‖ p], mean over examples."
        drawings.append(curves(divergences, "KL to the prior (nats)", caption))
        facts += [Fact(f"{name}, last epoch", f"{values[-1]:.2f} nats") for name, (_, values) in divergences.items()]
    return facts, drawings


def _level(judged: Judgement, site: str) -> Level:
    found = judged.collapse[site]
    if site in judged.points or (_is_weight(found) and not found.sound):
        return "note"
    return "good" if found.sound else "poor"


def _of_latent(judged: Judgement, site: str) -> str:
    """Say whether the posterior of a latent collapsed, and what this means."""
    found, words = judged.collapse[site], judged.of_latent(site)
    if site in judged.points or found.way is None:
        return words
    if _is_weight(found):
        words += f" The posterior of this scalar latent {_MEANING[found.way]}, which is not a cause for concern;"
    else:
        words += f" It {_MEANING[found.way]};"
    return f"{words} the accuracy above remains valid."


def _is_weight(found: Collapse) -> bool:
    """Whether the latent is a scalar, such as a gate, rather than a rectifying vector."""
    return len(found.kl_per_dimension) == 1


def _k_hat(values: np.ndarray) -> Drawing:
    low, high = _SHOWN_K_HAT
    groups = {"reliable": values[values <= UNRELIABLE], "unreliable": values[values > UNRELIABLE]}
    shown = {f"{name} ({len(some)})": some.clip(low, high) for name, some in groups.items() if len(some)}
    caption = f"Pareto's k-hat of {len(values)} examples. Above {UNRELIABLE}, importance weights are unreliable."
    return histogram(shown, f"k-hat (clipped to [{low:g}, {high:g}])", caption, (low, high))
