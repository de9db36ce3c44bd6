"""Panels of the anatomy: which figures are drawn together, for one run and for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RIGHT, WRONG, TRUTH, THIRD, FOURTH = "#0072B2", "#D55E00", "#000000", "#009E73", "#CC79A7"
SOLID, DASHED, DOTTED = "-", "--", ":"


@dataclass(frozen=True)
class Line:
    """A figure over the epochs.

    Attributes:
        label: name in the legend.
        path: where the figure is in the figures of an epoch, such as "parts.test.loss". Several paths separated by
            "|" are alternatives; the first one that a run has is drawn.
        colour, style: of the line, in the page of one run. A comparison has one colour for each method.
        band: paths of the lower and the upper end of a band.
    """

    label: str
    path: str
    colour: str = TRUTH
    style: str = SOLID
    band: tuple[str, str] | None = None


@dataclass(frozen=True)
class Panel:
    """Lines in one pair of axes.

    Attributes:
        title: what is shown, with its unit.
        lines: for the page of one run.
        compared: at most two of them for a comparison, drawn solid and dashed.
        reference: path of a constant in the figures of the truth, with its name in the legend.
        limits: of the vertical axis; an upper limit of None, or limits of None, are fitted to the values.
    """

    title: str
    lines: Sequence[Line]
    compared: Sequence[Line]
    reference: tuple[str, str] | None = None
    limits: tuple[float, float | None] | None = None


def _apart(label: str, path: str, style: str = SOLID, end: str = "") -> tuple[Line, Line]:
    """Return the lines of right and of wrong labels."""
    return (
        Line(f"right{label}", f"{path}.right{end}", RIGHT, style),
        Line(f"wrong{label}", f"{path}.wrong{end}", WRONG, style),
    )


def _beliefs(which: str, label: str, style: str, quartiles: bool) -> tuple[Line, ...]:
    return tuple(
        Line(
            f"{kind}{label}",
            f"belief.{which}.{kind}.median",
            colour,
            style,
            (f"belief.{which}.{kind}.low", f"belief.{which}.{kind}.high") if quartiles else None,
        )
        for kind, colour in (("right", RIGHT), ("wrong", WRONG))
    )


def _either(figure: str) -> str:
    return f"belief.memory.{figure}|belief.current.{figure}"


_FITTED = (
    Line("wrong, predicted as given", "memorisation.as_given.wrong", WRONG),
    Line("wrong, predicted right", "memorisation.as_true.wrong", WRONG, DASHED),
)
_BELIEVED = (Line("right", _either("right.median")), Line("wrong", _either("wrong.median")))
_WEIGHT, _TRANSITION_WEIGHT = "gates.weight", "gates.transition_weight"
_TERMS = {
    "y": (RIGHT, "label"),
    "y_by_transition": (WRONG, "label through T"),
    "early_learning": (THIRD, "early learning"),
}

PANELS = (
    Panel(
        "Accuracy (%)",
        (
            Line("test set", "parts.test.accuracy", RIGHT),
            Line("validation set", "parts.validation.accuracy", THIRD, DASHED),
        ),
        (Line("test set", "parts.test.accuracy"),),
    ),
    Panel(
        "Memorised and corrected labels (share)",
        (*_FITTED, Line("right, predicted as given", "memorisation.as_given.right", RIGHT)),
        _FITTED,
        limits=(0, 1),
    ),
    Panel(
        "Cross entropy (nats)",
        (
            *_apart("", "memorisation.loss"),
            Line("clean set", "parts.clean.loss", THIRD),
            Line("validation set", "parts.validation.loss", THIRD, DASHED),
        ),
        (Line("clean set", "parts.clean.loss"), Line("validation set", "parts.validation.loss")),
        limits=(0, None),
    ),
    Panel(
        "Error of T (total variation of a row)",
        (
            Line("estimate", "transition.total_variation", RIGHT),
            Line("its worst row", "transition.worst_row", RIGHT, DASHED),
            Line("prior", "transition.prior.total_variation", THIRD, DOTTED),
        ),
        (Line("estimate", "transition.total_variation"), Line("prior", "transition.prior.total_variation")),
        ("identity", "transition.identity.total_variation"),
        (0, None),
    ),
    Panel(
        "Mean diagonal of T",
        (Line("estimate", "transition.diagonal", RIGHT, band=("transition.diagonal_low", "transition.diagonal_high")),),
        (Line("estimate", "transition.diagonal"),),
        ("truth", "transition.diagonal"),
        (0, 1),
    ),
    Panel(
        "Belief that a label is right (median)",
        (*_beliefs("memory", ", running mean", SOLID, True), *_beliefs("current", ", current", DASHED, False)),
        _BELIEVED,
        limits=(0, 1),
    ),
    Panel(
        "AUROC for wrong labels",
        (
            Line("belief, running mean", "belief.memory.auroc", RIGHT),
            Line("belief, current", "belief.current.auroc", RIGHT, DASHED),
            Line("weight of the label", f"{_WEIGHT}.auroc", WRONG),
            Line("weight through T", f"{_TRANSITION_WEIGHT}.auroc", THIRD),
        ),
        (Line("belief", _either("auroc")), Line("weight of the label", f"{_WEIGHT}.auroc")),
        limits=(0.4, 1),
    ),
    Panel(
        "Weights before division by their mean",
        (*_apart("", f"{_WEIGHT}.before"), *_apart(", through T", f"{_TRANSITION_WEIGHT}.before", DASHED)),
        _apart("", f"{_WEIGHT}.before"),
        limits=(0, 1),
    ),
    Panel(
        "Weights after division by their mean",
        (*_apart("", f"{_WEIGHT}.after"), *_apart(", through T", f"{_TRANSITION_WEIGHT}.after", DASHED)),
        _apart("", f"{_WEIGHT}.after"),
        limits=(0, None),
    ),
    Panel(
        "Rectifier π(v)",
        (
            *_apart(", at the label", "rectifier.label", end=".mean"),
            *_apart(", elsewhere", "rectifier.elsewhere", DASHED, ".mean"),
        ),
        _apart(", at the label", "rectifier.label", end=".mean"),
    ),
    Panel(
        "Gradient of the logits, by term (norm)",
        (
            *(Line(f"{told}, right", f"gradients.norm.{term}.right", c) for term, (c, told) in _TERMS.items()),
            *(Line(f"{told}, wrong", f"gradients.norm.{term}.wrong", c, DASHED) for term, (c, told) in _TERMS.items()),
            Line("clean batch", "gradients.clean", TRUTH, DOTTED),
        ),
        (
            Line("label, wrong", "gradients.norm.y.wrong|gradients.norm.y_by_transition.wrong"),
            Line("clean batch", "gradients.clean"),
        ),
        limits=(0, None),
    ),
    Panel(
        "Pull on a logit (sum of all terms)",
        (
            *_apart(", at the given label", "gradients.pull.given"),
            Line("wrong, at the true label", "gradients.pull.true.wrong", WRONG, DASHED),
        ),
        (
            Line("wrong, at the given label", "gradients.pull.given.wrong"),
            Line("wrong, at the true label", "gradients.pull.true.wrong"),
        ),
    ),
)


def pick(figures: Mapping[str, Any], path: str) -> float | None:
    """Return the figure at a path, or at the first alternative that exists; None if there is none."""
    for alternative in path.split("|"):
        found: Any = figures
        for name in alternative.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is not None:
            return float(found)
    return None
