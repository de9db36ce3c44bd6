"""Prediction sets: sets of classes that contain the true class with a probability that is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from vri_pyro.calibration.held_out import HeldOut
from vri_pyro.calibration.scores import check_score, conformity_scores
from vri_pyro.calibration.thresholds import OrderedScores, Threshold, labels_needed
from vri_pyro.data import generator_for
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number

OVER_DRAWS = 0.9
_LOGIT_ROUNDING = 1e-5  # of logits in single precision, which differ a little between batches
_ROUNDING = 1e-7
_MOST = 0.5  # share of sets with all classes from which on they say too little


@dataclass(frozen=True, eq=False)
class PredictionSets:
    """Turns predicted probabilities into prediction sets; made by :func:`prediction_sets`.

    Attributes:
        coverage: probability with which a set should contain the true class.
        score: "lac" or "aps"; see :func:`~vri_pyro.calibration.scores.conformity_scores`.
        thresholds: greatest score with which a class belongs to a set, in log-odds, [K]; equal for all classes unless
            there is one threshold per class.
        labels: number of trusted labels that would tell as much about the coverage, for each threshold of a class's own
            or, with one threshold, for all classes.
        by_class: whether the coverage holds for each class.
        pooled: classes with too few labels for a threshold of their own; they share one.
        randomise: whether random numbers make the coverage of ``aps`` exact.
        allow_empty: whether a set may be empty. If not, it contains at least the most probable class, so the coverage
            can be larger than asked for.
        seed: seed of the random numbers.
        held_out: the labels from which the thresholds were computed, in words.
        trusted: whether these labels are trusted.
        full: share of the held-out examples whose set holds all classes.
    """

    coverage: float
    score: str
    thresholds: np.ndarray
    labels: np.ndarray
    by_class: bool
    pooled: tuple[int, ...]
    randomise: bool
    allow_empty: bool
    seed: int
    held_out: str
    trusted: bool
    full: float

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the set of each input.

        A set contains the true class of a new input with at least the probability :attr:`coverage`, if new inputs and
        the held-out examples are exchangeable; for noisy labels asymptotically, and only if the transition matrix is
        right and the labels depend on the input only through the class.

        Args:
            probabilities: class probabilities of new inputs, [N, K], from the same classifier.

        Returns:
            whether each class belongs to the set of each input, bool [N, K].
        """
        return self.for_batches()(probabilities)

    def for_batches(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function like this object for successive batches, which need not be of equal size."""
        generator = generator_for(self.seed, "prediction sets", "new inputs")

        def sets(probabilities: np.ndarray) -> np.ndarray:
            exact = np.asarray(probabilities, dtype=np.float64)
            if exact.ndim != 2 or exact.shape[1] != len(self.thresholds):
                raise UserError(
                    f"probabilities has shape {list(exact.shape)}; expected [N, {len(self.thresholds)}], one column "
                    "per class"
                )
            last = generator.random(len(exact)) if self.randomise else None
            found = _inside(conformity_scores(exact, self.score, last), self.thresholds)
            if not self.allow_empty:
                found[np.arange(len(exact)), exact.argmax(1)] = True
            return found

        return sets

    def band(self, level: float = 0.95) -> tuple[float, float]:
        """Return the range of the coverage over repeated calibrations with as many labels.

        A calibration sees finitely many labels, so its coverage of new inputs differs from that asked for. For n
        trusted labels and scores without ties it has the distribution Beta(r, n + 1 − r), r = ⌈(n + 1) c⌉; for noisy
        labels this is asymptotic, with the number of trusted labels that would tell as much. With thresholds per class
        it is the range of the class with the fewest labels.

        Args:
            level: probability of the range.

        Reference: Vovk, Conditional validity of inductive conformal predictors, ACML 2012.
        """
        count = float(self.labels.min())
        place = (count + 1) * self.coverage
        place = math.ceil(place - _ROUNDING) if self.trusted else place
        if place >= count + 1:
            return 1.0, 1.0
        low, high = beta.ppf([(1 - level) / 2, (1 + level) / 2], place, count + 1 - place)
        return float(low), float(high)

    @property
    def told(self) -> str:
        """Sentences on what is guaranteed, from which labels, and under which assumptions."""
        low, high = self.band()
        sure = "contain" if self.trusted else "asymptotically contain"
        each = ", of each class" if self.by_class else ""
        fewest = " of the class with the fewest" if self.by_class else ""
        worth = f", which say as much about the coverage{fewest} as {self.labels.min():.0f} trusted ones"
        above = "" if self.allow_empty else ", or above"
        holds = "new inputs are like these examples"
        if not self.trusted:
            holds += ", labels depend on the input only through its class, and the transition matrix is right"
        elif not self.by_class:
            holds += ", with classes as frequent"
        return (
            f"The sets {sure} the true class of at least {100 * self.coverage:g}% of new inputs{each}, in the mean "
            f"over calibrations. This one used {self.held_out}{'' if self.trusted else worth}; in 95% of calibrations "
            f"with as many, the coverage is between {low:.1%} and {high:.1%}{above}. It holds if {holds}."
        )

    def warning(self, classes: Sequence[object]) -> str | None:
        """Return sentences on classes without a guarantee of their own, and on sets that exclude nothing.

        Args:
            classes: names of the classes, [K].

        Returns:
            the sentences; None if every class has a threshold of its own, and at most half of the held-out examples
            have a set of all classes.
        """
        return " ".join(filter(None, [self._told_pooled(classes), self._told_full()])) or None

    def _told_full(self) -> str | None:
        if self.full <= _MOST:
            return None
        other = ", use the score 'lac'," if self.score == "aps" else ""
        return (
            f"{self.full:.0%} of the held-out examples have a set of all {len(self.thresholds)} classes, which "
            f"excludes nothing: ask for less coverage{other} or train a better classifier."
        )

    def _told_pooled(self, classes: Sequence[object]) -> str | None:
        if not self.pooled:
            return None
        names = ", ".join(str(classes[number]) for number in self.pooled[:5]) + (", …" if len(self.pooled) > 5 else "")
        one = len(self.pooled) == 1
        which, own = ("1 class has", "its") if one else (f"{len(self.pooled)} classes have", "their")
        share = "they share one, so the coverage holds for them together only"
        if np.isinf(self.thresholds[self.pooled[0]]):
            share = "it belongs to every set" if one else "they belong to every set"
        return f"{which} too few held-out labels for a threshold of {own} own ({names}): {share}."


def prediction_sets(
    held_out: HeldOut,
    coverage: float = 0.9,
    *,
    score: str = "lac",
    by_class: bool = False,
    randomise: bool = False,
    allow_empty: bool = False,
    over_draws: float = OVER_DRAWS,
    seed: int = 0,
) -> PredictionSets:
    """Calibrate prediction sets on labels that were held out of training, by split conformal prediction.

    With trusted labels, the sets of new inputs contain the true class with at least the probability ``coverage``,
    whatever the classifier and for any number of labels, if held-out examples and new inputs are exchangeable.

    With noisy labels, the coverage of the true classes is estimated through the inverse of the transition matrix. The
    probability is then at least ``coverage`` asymptotically, if the labels depend on the input only through the class
    and the matrix is right. For draws from the posterior of the matrix, the threshold is the quantile ``over_draws``
    of the thresholds of the draws, so it is wide enough for this share of the posterior.

    Args:
        held_out: the labels, with the classifier's predictions.
        coverage: probability with which a set should contain the true class, between 0 and 1.
        score: "lac" for the smallest sets on average, "aps" for sets that adapt to the difficulty of an input.
        by_class: compute a threshold for each class, so that the coverage holds for each class, whatever the
            frequencies of the classes. Classes with too few labels share a threshold.
        randomise: use random numbers that make the coverage of ``aps`` exact; without them it is larger.
        allow_empty: allow empty sets, which make the coverage of a very accurate classifier exact.
        over_draws: share of the posterior draws of the transition matrix for which the threshold is wide enough.
        seed: seed of the random numbers.

    Raises:
        UserError: an argument is out of range, or there are too few labels for this coverage.

    Reference: Vovk et al., Algorithmic Learning in a Random World, 2005; Sesia et al., arXiv 2309.05092, Bortolotti et
        al., arXiv 2501.18060, and Penso et al., arXiv 2501.12749, for noisy labels. They add a margin to the level that
        makes the coverage hold for every number of labels; here it holds asymptotically.
    """
    check_number("coverage", coverage, above=0, below=1, remedy=", such as 0.9")
    check_number("over_draws", over_draws, above=0, at_most=1)
    check_score(score)
    if randomise and score != "aps":
        raise UserError(f"randomise is set but the score is {score!r}; random numbers are used by 'aps' only")
    classes = held_out.probabilities.shape[1]
    last = None
    if randomise:
        last = generator_for(seed, "prediction sets", "held-out labels").random(len(held_out.labels))
    scores = conformity_scores(held_out.probabilities, score, last)
    weights = list(held_out.correction_weights())

    def calibrated(group: list[int]) -> Threshold:
        return _threshold(
            scores, held_out.labels, weights if not held_out.trusted else None, group, coverage, over_draws
        )

    found, pooled = [calibrated(list(range(classes)))] * classes, list[int]()
    if by_class:
        found = [calibrated([number]) for number in range(classes)]
        pooled = [number for number, one in enumerate(found) if math.isinf(one.value)]
        shared = calibrated(pooled) if pooled else None
        found = [shared if shared and number in pooled else one for number, one in enumerate(found)]
    if all(math.isinf(one.value) for one in found) or len(pooled) == classes:
        raise UserError(_too_few(held_out, coverage, by_class))
    own = [one.labels for number, one in enumerate(found) if number not in pooled]
    thresholds = np.array([one.value for one in found])
    return PredictionSets(
        coverage=float(coverage),
        score=score,
        thresholds=thresholds,
        labels=np.array(own),
        by_class=by_class,
        pooled=tuple(pooled),
        randomise=randomise,
        allow_empty=allow_empty,
        seed=seed,
        held_out=held_out.described,
        trusted=held_out.trusted,
        full=float(_inside(scores, thresholds).all(1).mean()),
    )


def _inside(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether each class belongs to the set of each input, [N, K], up to the rounding of the classifier's logits."""
    return scores <= thresholds + _LOGIT_ROUNDING * (1 + np.abs(thresholds))


def _threshold(
    scores: np.ndarray,
    labels: np.ndarray,
    weights: list[np.ndarray | None] | None,
    group: list[int],
    coverage: float,
    over_draws: float,
) -> Threshold:
    """Return the threshold of a group of classes; ``weights`` is None for trusted labels."""
    if weights is None:
        rows = np.flatnonzero(np.isin(labels, group))
        return OrderedScores(scores[rows, labels[rows], None]).threshold(np.ones((len(rows), 1)), coverage)
    ordered, nothing = OrderedScores(scores[:, group]), Threshold(math.inf, 0.0)
    found = [nothing if one is None else ordered.threshold(one[:, group], coverage) for one in weights]
    place = math.ceil(over_draws * len(found)) - 1
    return Threshold(sorted(one.value for one in found)[place], float(np.median([one.labels for one in found])))


def _too_few(held_out: HeldOut, coverage: float, by_class: bool) -> str:
    needed, count = labels_needed(coverage), len(held_out.labels)
    per_class = " of a class" if by_class else ""
    if held_out.trusted:
        most = int(np.bincount(held_out.labels).max()) if by_class else count
        return (
            f"prediction sets with coverage {coverage:g} need at least {needed} trusted labels{per_class} held out of "
            f"training, but there are {most}; hold out more, or ask for a coverage of at most {most / (most + 1):.3g}"
        )
    return (
        f"{count} noisy labels and this transition matrix tell less about the coverage{per_class} than {needed} "
        f"trusted labels, which coverage {coverage:g} needs; hold out trusted labels, more noisy ones, or ask for less "
        "coverage"
    )
