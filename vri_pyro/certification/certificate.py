"""Certify how many labels are wrong from checked ones, with a guarantee that does not need the model to be right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.certification.betting import Interval, betting_interval, upper_bound
from vri_pyro.certification.design import probabilities_of_draws, sampling_weights
from vri_pyro.certification.exact import plain_interval
from vri_pyro.certification.prediction_powered import prediction_powered_interval
from vri_pyro.certification.terms import UNANSWERED, Draws, Terms, terms_of
from vri_pyro.data.validation import NO_CLASS, NOT_CHECKED
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, check_number, counted

_CLOSE = 1e-6


@dataclass(frozen=True, eq=False)
class Population:
    """The noisy labels that a certificate is about.

    Attributes:
        given: given labels, int64 [N], from 0 to K - 1.
        score: probability that each label is wrong, fixed before the first check, [N].
        suggested: most probable class, int64 [N]; -1 for none of the classes. None if there are no suggestions.
        doubt: probability that the suggested class is wrong, [N]; None if there are no suggestions.
    """

    given: np.ndarray
    score: np.ndarray
    suggested: np.ndarray | None = None
    doubt: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Checks:
    """Checked labels: draws with known probabilities, and others.

    Attributes:
        order: positions of the draws in their order, int64 [n].
        round: round of each draw, int64 [n], ascending from 0.
        uniform: share of uniform sampling in each round, see :func:`~vri_pyro.certification.sampling_weights`.
        verified: verified class of each label, int64 [N]; -1 for none of the classes, -2 if there is no answer.
        out: the first round whose draws exclude the label although it was not drawn, int64 [N]; a large number if none.
    """

    order: np.ndarray
    round: np.ndarray
    uniform: tuple[float, ...]
    verified: np.ndarray
    out: np.ndarray

    @classmethod
    def random_sample(cls, size: int, index: np.ndarray, verified: np.ndarray, seed: int = 0) -> Checks:
        """Return the checks of a uniform random sample without replacement.

        Args:
            size: number of labels in the population, N.
            index: positions of the whole sample, answered or not, int64 [n]. Their order may depend on the labels,
                because it is drawn anew.
            verified: their verified classes, int64 [n]; -1 for none of the classes, -2 if there is no answer.
            seed: seed of the order.
        """
        every = np.full(size, NOT_CHECKED)
        every[index] = verified
        order = np.random.default_rng(seed).permutation(np.sort(index))
        return cls(order, np.zeros(len(order), dtype=np.int64), (1.0,), every, np.full(size, 1))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the probability of each draw given the draws before it, [n]."""
        found = np.empty(len(self.order))
        taken = np.zeros(len(self.verified), dtype=bool)
        for number, uniform in enumerate(self.uniform):
            now = self.round == number
            allowed = ~taken & (self.out > number)
            allowed[self.order[now]] = True
            found[now] = probabilities_of_draws(sampling_weights(scores, uniform), allowed, self.order[now])
            taken[self.order[now]] = True
        return found


@dataclass(frozen=True)
class Rate:
    """A certified rate of wrong labels.

    Attributes:
        labels: number of labels that the rate is about.
        drawn: number of draws with an answer.
        wrong: number of wrong labels among them.
        estimate: unbiased estimate of the rate, moved into the interval.
        low, high: the confidence interval.
        unanswered: number of draws without an answer, which count as right in the lower bound and as wrong in the upper
            one.
    """

    labels: int
    drawn: int
    wrong: int
    estimate: float
    low: float
    high: float
    unanswered: int = 0


@dataclass(frozen=True)
class Left:
    """Wrong labels that are left after mending.

    Attributes:
        labels: number of labels that nobody has checked.
        low, high: confidence interval of the number of wrong labels among them.
        accepted: number of suggestions that were accepted without a check.
        threshold: score above which they were accepted; None if none were.
    """

    labels: int
    low: int
    high: int
    accepted: int = 0
    threshold: float | None = None


@dataclass(frozen=True)
class Statement:
    """The statement that at most a share of the labels is wrong.

    Attributes:
        at_most: the share.
        shown: whether it is shown at the certificate's confidence, by the one-sided bound.
        bound: the one-sided upper bound.
    """

    at_most: float
    shown: bool
    bound: float


@dataclass(frozen=True, eq=False)
class Certificate:
    """What checked labels prove about all labels.

    Attributes:
        rate: the rate of wrong labels of the population.
        classes: the rate of each class by its number; each interval has the confidence by itself, not all together.
        left: what is left after the checked labels are mended.
        left_after_suggestions: what is left if suggestions above a threshold are accepted, too; None if not asked for.
        statement: whether at most a given share is wrong; None if not asked for.
        plain: exact interval of the same draws without scores; None unless the draws are a plain random sample and all
            have an answer.
        asymptotic: prediction-powered interval, which is asymptotic; None below two draws, or if one has no answer.
        confidence: coverage probability of every interval.
        anytime: whether the intervals hold at all times together, so that one may stop at will.
        population, checks: the inputs, without rounds of draws that nobody has begun to answer.
        planned: planned number of draws; None for those there are.
    """

    rate: Rate
    classes: dict[int, Rate]
    left: Left
    left_after_suggestions: Left | None
    statement: Statement | None
    plain: Interval | None
    asymptotic: Interval | None
    confidence: float
    anytime: bool
    population: Population = field(repr=False)
    checks: Checks = field(repr=False)
    planned: int | None = None

    @property
    def found(self) -> int:
        """Number of labels that are known to be wrong, drawn or not."""
        verified = self.checks.verified
        return int(((verified != NOT_CHECKED) & (verified != self.population.given)).sum())

    def sentence(self) -> str:
        """Return the certificate in words, with the conditions of its guarantee."""
        rate = self.rate
        words = f"{rate.low:.1%} to {rate.high:.1%} of the {counted(rate.labels, 'label')} are wrong"
        checks = f"from {counted(rate.drawn, 'check')} with {counted(rate.wrong, 'wrong label')}"
        if rate.unanswered:
            checks += f" and {counted(rate.unanswered, 'drawn label')} without an answer"
        valid = "valid at all times, whatever the model is," if self.anytime else "valid whatever the model is,"
        number = "" if self.anytime else ", their number did not depend on the answers,"
        conditions = f"if the labels were drawn at random{number} and the answers are right"
        return f"{words} ({self.confidence:.0%} confidence, {checks}; {valid} {conditions})."

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate and everything from which it can be recomputed, for JSON; see :func:`recomputed`."""
        population, checks = self.population, self.checks
        threshold = self.left_after_suggestions and self.left_after_suggestions.threshold
        return {
            "sentence": self.sentence(),
            "rate": asdict(self.rate),
            "classes": {str(label): asdict(rate) for label, rate in self.classes.items()},
            "left": asdict(self.left),
            "left_after_suggestions": self.left_after_suggestions and asdict(self.left_after_suggestions),
            "statement": self.statement and asdict(self.statement),
            "plain_sampling_exact": self.plain,
            "prediction_powered_asymptotic": self.asymptotic,
            "options": {
                "confidence": self.confidence,
                "anytime": self.anytime,
                "planned": self.planned,
                "at_most": self.statement and self.statement.at_most,
                "threshold": threshold,
            },
            "population": {
                name: None if (values := getattr(population, name)) is None else values.tolist()
                for name in ("given", "score", "suggested", "doubt")
            },
            "checks": {
                **{name: getattr(checks, name).tolist() for name in ("order", "round", "verified", "out")},
                "uniform": list(checks.uniform),
                "probability": checks.probabilities(population.score).tolist(),
            },
        }


def is_certificate(path: Path) -> bool:
    """Return whether a file has a certificate as :meth:`Certificate.as_dict` returned it."""
    return {"sentence", "rate", "options", "population", "checks"} <= set(json.loads(path.read_bytes()))


def recomputed(content: dict[str, Any]) -> Certificate:
    """Compute a certificate again from what :meth:`Certificate.as_dict` returned."""
    arrays: dict[str, Any] = {
        name: None if one is None else np.array(one) for name, one in content["population"].items()
    }
    kept = content["checks"]
    order, number, verified, out = (
        np.array(kept[name], dtype=np.int64) for name in ("order", "round", "verified", "out")
    )
    checks = Checks(order, number, tuple(kept["uniform"]), verified, out)
    return certify(Population(**arrays), checks, **content["options"])


def certify(
    population: Population,
    checks: Checks,
    confidence: float = 0.95,
    anytime: bool = False,
    at_most: float | None = None,
    threshold: float | None = None,
    planned: int | None = None,
) -> Certificate:
    """Certify the rate of wrong labels from checked ones: intervals that cover whatever the scores are.

    Guarantee: the probability that an interval misses is at most 1 - ``confidence``, for every finite population, rate
    and number of checks, if the draws had the stated probabilities and the answers are right. With ``anytime``, this
    holds for all numbers of checks together; without it, the number of draws must not depend on the answers.
    Unanswered draws count as right in the lower bound and as wrong in the upper one, also after the last answer. So an
    answer may be missing because the label is hard, or because the list was left at any point; it must not depend on
    later draws. Rounds after the last one with an answer are left out.

    Args:
        population: the labels.
        checks: the checked labels.
        confidence: coverage probability of each interval, above 0.5.
        anytime: whether the intervals are valid at all times together.
        at_most: a share of wrong labels; the certificate says whether it is shown that at most this share is wrong.
        threshold: score above which suggestions are accepted without a check, for ``left_after_suggestions``. It must
            not depend on the answers.
        planned: planned number of draws, if some are still to come; None for those there are.

    Raises:
        UserError: there is no draw with an answer, an argument is out of range, or there are no suggestions for
            ``threshold``.
    """
    _check(population, checks, confidence, at_most, threshold, planned)
    checks = _begun(checks)
    answered = checks.verified != NOT_CHECKED
    outcome = np.where(answered, checks.verified != population.given, UNANSWERED)
    draws = _draws(population, checks, outcome, population.score)
    terms = terms_of(draws)
    interval = _of_whole_labels(betting_interval(terms, draws.known, confidence, anytime, planned), len(outcome))
    classes = {}
    for label in np.unique(population.given).tolist():
        part = draws.of(population.given == label)
        own = terms_of(part)
        found = betting_interval(own, part.known, confidence, anytime)
        classes[label] = _rate(part, own, _of_whole_labels(found, len(part.outcome)))
    after = None
    if threshold is not None:
        after = _after_suggestions(population, checks, threshold, confidence, anytime, planned)
    statement = None
    if at_most is not None:
        bound = Interval(0.0, upper_bound(terms, draws.known, 1 - confidence, anytime, planned))
        bound = _of_whole_labels(bound, len(outcome))
        statement = Statement(at_most, bound.high <= at_most + 1e-12, bound.high)
    return Certificate(
        rate=_rate(draws, terms, interval),
        classes=classes,
        left=_left(interval, outcome),
        left_after_suggestions=after,
        statement=statement,
        plain=_plain(draws, checks, confidence),
        asymptotic=_asymptotic(draws, checks, confidence),
        confidence=confidence,
        anytime=anytime,
        population=population,
        checks=checks,
        planned=planned,
    )


def _check(
    population: Population,
    checks: Checks,
    confidence: float,
    at_most: float | None,
    threshold: float | None,
    planned: int | None,
) -> None:
    check_number("confidence", confidence, above=0.5, below=1)
    if at_most is not None:
        check_number("at_most", at_most, above=0, below=1)
    if planned is not None:
        check_integer("planned", planned, 1)
    if threshold is not None:
        check_number("threshold", threshold, at_least=0, at_most=1)
    score, size = population.score, len(population.given)
    if score.shape != (size,) or checks.verified.shape != (size,):
        raise UserError(
            f"there are {size} given labels, {len(score)} scores and {len(checks.verified)} verified labels; expected "
            "equal numbers"
        )
    if not ((score >= 0) & (score <= 1)).all():
        raise UserError("a score is not between 0 and 1; expected the probability that each label is wrong")
    if len(np.unique(checks.order)) < len(checks.order):
        raise UserError("a label was drawn twice; draw without replacement")
    if not (checks.verified[checks.order] != NOT_CHECKED).any():
        drawn = len(checks.order)
        raise UserError(
            f"none of the labels drawn at random ({drawn}) has an answer yet; hand in the answers, with "
            "vri-pyro check RUN --answers FILE"
            if drawn
            else "no label of a random sample has been checked; draw some with vri-pyro check --purpose measure, and "
            "hand in their answers"
        )
    for uniform in checks.uniform:
        check_number("uniform", uniform, above=0, at_most=1)


def _begun(checks: Checks) -> Checks:
    """Leave out the rounds of draws after the last round with an answer."""
    rounds = int(checks.round[checks.verified[checks.order] != NOT_CHECKED].max()) + 1
    begun = checks.round < rounds
    return Checks(checks.order[begun], checks.round[begun], checks.uniform[:rounds], checks.verified, checks.out)


def _draws(population: Population, checks: Checks, outcome: np.ndarray, score: np.ndarray) -> Draws:
    """Put together the draws, by the population's scores; ``score`` [N] is the control variate of the outcomes."""
    weight = np.stack([sampling_weights(population.score, uniform) for uniform in checks.uniform])
    return Draws(outcome, score, checks.order, weight, checks.round, checks.out)


def _rate(draws: Draws, terms: Terms, interval: Interval) -> Rate:
    drawn = draws.outcome[draws.order]
    answered = np.flatnonzero(drawn != UNANSWERED)
    last = answered[-1] + 1 if len(answered) else 0
    middle = float((terms.low + terms.high)[:last].mean() / 2) if last else sum(interval) / 2
    return Rate(
        labels=len(draws.outcome),
        drawn=len(answered),
        wrong=int((drawn == 1).sum()),
        estimate=min(max(middle, interval.low), interval.high),
        low=interval.low,
        high=interval.high,
        unanswered=len(drawn) - len(answered),
    )


def _of_whole_labels(interval: Interval, size: int) -> Interval:
    """Shrink an interval to the rates that are a whole number of labels."""
    low, high = np.ceil(interval.low * size - _CLOSE), np.floor(interval.high * size + _CLOSE)
    return Interval(max(0, int(min(low, high))) / size, int(high) / size)


def _left(interval: Interval, outcome: np.ndarray, accepted: int = 0, threshold: float | None = None) -> Left:
    """Subtract what was found, and therefore mended, from the number of wrong labels."""
    size, found, unknown = len(outcome), int((outcome == 1).sum()), int((outcome == UNANSWERED).sum())
    low, high = round(interval.low * size), round(interval.high * size)
    return Left(unknown, max(0, low - found), min(unknown, high - found), accepted, threshold)


def _after_suggestions(
    population: Population, checks: Checks, threshold: float, confidence: float, anytime: bool, planned: int | None
) -> Left:
    """Certify what is left if suggestions above a threshold replace the labels that nobody has checked."""
    suggested, doubt = population.suggested, population.doubt
    if suggested is None or doubt is None:
        raise UserError("threshold is set but there are no suggestions; leave it out")
    accepts = population.score > threshold
    final = np.where(accepts, suggested, population.given)
    answered = checks.verified != NOT_CHECKED
    outcome = np.where(answered, checks.verified != final, UNANSWERED)
    score = np.where(accepts, doubt, population.score)
    draws = _draws(population, checks, outcome, score)
    interval = betting_interval(terms_of(draws), draws.known, confidence, anytime, planned)
    interval = _of_whole_labels(interval, len(outcome))
    return _left(interval, outcome, int((accepts & ~answered).sum()), threshold)


def _plain(draws: Draws, checks: Checks, confidence: float) -> Interval | None:
    """Return the exact interval if all checked labels are one plain random sample."""
    drawn = draws.outcome[draws.order]
    others = (draws.outcome != UNANSWERED).sum() > len(drawn) or (draws.out <= checks.round.max(initial=0)).any()
    if others or set(checks.uniform) != {1.0} or (drawn == UNANSWERED).any():
        return None
    return plain_interval(int(drawn.sum()), len(drawn), len(draws.outcome), confidence)


def _asymptotic(draws: Draws, checks: Checks, confidence: float) -> Interval | None:
    drawn = draws.outcome[draws.order]
    if len(drawn) < 2 or (drawn == UNANSWERED).any() or len(checks.uniform) > 1:
        return None
    probability = None if checks.uniform == (1.0,) else draws.weight[0][draws.order]
    score = draws.score
    return prediction_powered_interval(drawn, score[draws.order], score, confidence, probability)


def names_of(classes: Sequence[str], rates: dict[int, Rate]) -> dict[str, Rate]:
    """Return the rates by the names of the classes, the highest lower bound first."""
    order = sorted(rates, key=lambda label: -rates[label].low)
    return {"(none)" if label == NO_CLASS else classes[label]: rates[label] for label in order}
