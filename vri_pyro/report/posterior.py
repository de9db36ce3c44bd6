"""The part of a page about the posterior of the rectifying vector."""

from __future__ import annotations

from vri_pyro.report.figures import curves
from vri_pyro.report.part import Drawing, Fact, Part
from vri_pyro.report.seen import SeenRun
from vri_pyro.report.training import of

_STANDARD_DEVIATION, _KL = "posterior_std/", "kl/"


def posterior(seen: SeenRun) -> Part | None:
    """How wide the posterior of each latent is, and how far from its prior; None where the method has no latent.

    What judges it, such as a verdict on collapse, goes into this part's ``verdicts``, its figures into ``facts`` and
    ``drawings``.
    """
    rows = seen.rows
    names = list(dict.fromkeys(key for row in rows for key in row))
    sites = [key.removeprefix(_STANDARD_DEVIATION) for key in names if key.startswith(_STANDARD_DEVIATION)]
    if not sites:
        return None
    drawings: list[Drawing] = []
    facts: list[Fact] = []
    for site in sites:
        widths = of(rows, {f"posterior of {site}": f"{_STANDARD_DEVIATION}{site}", "prior": f"prior_std/{site}"})
        drawings.append(curves(widths, "standard deviation", f"Standard deviation of {site}, mean over examples."))
        values = widths[f"posterior of {site}"][1]
        facts.append(Fact(f"standard deviation of {site}, first epoch to last", f"{values[0]:.2f} to {values[-1]:.2f}"))
    divergences = of(rows, {f"KL of {site}": f"{_KL}{site}" for site in sites})
    if divergences:
        drawings.append(curves(divergences, "KL to the prior (nats)", "KL[q ‖ p], mean over examples."))
        facts += [Fact(f"{name}, last epoch", f"{values[-1]:.2f} nats") for name, (_, values) in divergences.items()]
    about = "q(v | x, y): which rectification of an example's logits training believes in, and how sure it is."
    return Part("Posterior", about, facts=facts, drawings=drawings)
