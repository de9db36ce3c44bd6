"""The joint posterior of noisy labels: how many are wrong, which, and how they came about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from vri_pyro.data import generator_for
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.label_issues.agreement import agreeing_with_rate, doubted_rates, rates_of_part
from vri_pyro.label_issues.label_sampler import Candidates, Indexed, LabelSampler, TrustedCandidates
from vri_pyro.label_issues.open_set_posterior import OpenSetPosterior
from vri_pyro.label_issues.transition_posterior import TransitionPosterior
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_number

LEARNED_FROM = 20_000  # noisy labels from which the shared unknowns are learned
_DOUBT = 0.3  # standard deviation of the shift of the log odds
_TAUGHT = 100.0  # noisy labels that the recalibration is learned from, at most, in weight
_SWEEPS = 400  # least number of sweeps from which draws are taken
_MANY = 0.05  # share of examples of no class that is worth a sentence
_KEPT = 20_000_000  # maximum number of entries of all draws of T


@dataclass(frozen=True)
class JointPosterior:
    """Posterior of the true classes of N noisy labels and of the noise that made them.

    All properties are functions of the same draws, so they agree: the mean of ``wrong`` is the mean noise rate.

    Attributes:
        transition: draws of the transition matrix and of the noise rate.
        classes: candidate classes of each example, the given label first, int64 [N, m].
        probabilities: posterior probabilities of the candidates, [N, m], for an example that is of some class.
        none: probability that the example is of no class, [N].
        num_classes: number of classes K.
    """

    transition: TransitionPosterior
    classes: np.ndarray
    probabilities: np.ndarray
    none: np.ndarray
    num_classes: int

    @property
    def wrong(self) -> np.ndarray:
        """Probability that the given label is wrong, [N]."""
        return np.asarray(1 - (1 - self.none) * self.probabilities[:, 0].clip(0, 1))

    @property
    def noise_rate(self) -> float:
        """Posterior mean of the share of wrong labels: the mean of :attr:`wrong`."""
        return float(self.wrong.mean())

    @property
    def foreign(self) -> str | None:
        """A sentence on examples of no class; None if there are hardly any."""
        if (share := float(self.none.mean())) < _MANY:
            return None
        return (
            f"An estimated {share:.0%} of the examples seem to belong to none of the classes: they are unlike the "
            "trusted ones. If all belong to a class, the trusted examples are not a random sample."
        )

    @property
    def suggested(self) -> np.ndarray:
        """Most probable class, int64 [N]; -1 if no class is the most probable."""
        best = self.probabilities.argmax(1)
        rows = np.arange(len(best))
        found = self.classes[rows, best]
        return np.where(self.none > (1 - self.none) * self.probabilities[rows, best], NO_CLASS, found)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of :attr:`suggested`, [N]."""
        return np.asarray(np.maximum(self.none, (1 - self.none) * self.probabilities.max(1)))

    @property
    def uncertainty(self) -> np.ndarray:
        """Entropy of the class, divided by its maximum, from 0 (certain) to 1, [N]."""
        p = np.concatenate([(1 - self.none)[:, None] * self.probabilities, self.none[:, None]], axis=1).clip(1e-300)
        outcomes = self.num_classes + bool(self.none.any())
        return np.asarray((-(p * np.log(p)).sum(1) / np.log(outcomes)).clip(0, 1))

    def flags(self, missed: float = 1.0, in_vain: float = 1.0) -> np.ndarray:
        """Flag labels so that the expected loss is smallest, bool [N].

        A label is flagged if P(wrong) · missed > P(right) · in_vain.

        Args:
            missed: loss of a wrong label that is not flagged.
            in_vain: loss of a correct label that is flagged, and checked in vain.

        Raises:
            UserError: a loss is not positive.
        """
        check_losses(missed, in_vain)
        return np.asarray(self.wrong * missed > (1 - self.wrong) * in_vain)

    def dense(self) -> Tensor:
        """Return the posterior over the K classes and, last, "none of the classes", float64 [N, K + 1]."""
        found = np.zeros((len(self.classes), self.num_classes + 1))
        np.put_along_axis(found, self.classes, (1 - self.none)[:, None] * self.probabilities, 1)
        found[:, -1] = self.none
        return torch.from_numpy(found)


def agreeing_posterior(
    found: TransitionPosterior,
    classes: np.ndarray,
    probabilities: np.ndarray,
    none: np.ndarray,
    num_classes: int,
    seed: int,
    judged: np.ndarray | None = None,
    unseen: tuple[np.ndarray, float] | None = None,
) -> JointPosterior:
    """Join draws of the noise and probabilities of classes, computed one after the other, so that they agree.

    See :func:`~vri_pyro.label_issues.agreement.doubted_rates` and
    :func:`~vri_pyro.label_issues.agreement.agreeing_with_rate`.

    Args:
        found: draws of the transition matrix and of the noise rate.
        classes, probabilities, none, num_classes: see :class:`JointPosterior`.
        seed: random seed.
        judged: as for :func:`joint_posterior`.
        unseen: whether a label was kept out of training, bool [N], and the noise rate of these labels alone. Their log
            odds are shifted by a number of their own, because nothing has made the classifier agree with them.
    """
    right = probabilities[:, 0]
    rates = doubted_rates(right, none, found.noise_rate.numpy(), generator_for(seed, "doubt"))
    if judged is not None:
        rates = rates_of_part(right, none, rates, judged)
        classes, probabilities, none = classes[judged], probabilities[judged], none[judged]
    parts: list[tuple[np.ndarray, float]] = [(np.ones(len(none), dtype=bool), rates.mean())]
    if unseen is not None:
        kept_out, rate = unseen
        others = (len(kept_out) * rates.mean() - kept_out.sum() * rate) / (~kept_out).sum()
        parts = [(kept_out, rate), (~kept_out, others.clip(0, 1))]
    agreeing = np.empty(probabilities.shape)
    for part, of_part in parts:
        agreeing[part] = agreeing_with_rate(probabilities[part], none[part], of_part)
    return JointPosterior(found._replace(noise_rate=torch.from_numpy(rates)), classes, agreeing, none, num_classes)


def check_losses(missed: float, in_vain: float) -> None:
    """Raise a UserError unless both losses of :meth:`JointPosterior.flags` are positive and finite."""
    for name, loss in (("missed", missed), ("in_vain", in_vain)):
        check_number(name, loss, above=0, remedy=", such as 1")


def joint_posterior(
    noisy: Candidates,
    num_classes: int,
    trusted: Candidates | None = None,
    trusted_given: np.ndarray | None = None,
    open_set: OpenSetPosterior | None = None,
    judged: np.ndarray | None = None,
    draws: int = 200,
    seed: int = 0,
    taught: float | None = _TAUGHT,
    doubt: float = _DOUBT,
    progress: Callable[[float], None] | None = None,
    pairs: tuple[np.ndarray, np.ndarray] | None = None,
) -> JointPosterior:
    """Sample noise rate, transition matrix and true classes from their joint posterior.

    The model is that of :class:`~vri_pyro.label_issues.label_sampler.LabelSampler`. It is only approximately right, and
    thousands of noisy labels would make it more certain of how good the classifier is than it has a right to be. The
    recalibration is therefore learned from noisy labels whose weights add up to at most ``taught``, and from the
    trusted examples at full weight; the noise is learned from all labels. In addition, each draw shifts the log odds of
    all labels by the same δ ~ Normal(0, ``doubt``), an error of the model that the data cannot reveal. Labels without
    doubt are not affected. Both are approximations to what is not modelled: with ``taught=None`` and ``doubt=0`` the
    draws are from the exact posterior of the model.

    Args:
        noisy: candidates of the N noisy examples, predicted out of sample.
        num_classes: number of classes K >= 2.
        trusted: candidates of trusted examples, predicted out of sample, with the true class first; a random
            sample, or one for each class. None if there are none.
        trusted_given: their earlier, noisy labels, int64 [M], -1 where unknown.
        open_set: posterior of the examples that are of no class, with as many draws; None if all are of some class.
        judged: whether an example is one of those that the result is about, bool [N]; the labels of the others only
            show how the noise is. None for all.
        draws: number of draws.
        seed: random seed.
        taught: sum of the weights of the noisy labels that the recalibration is learned from, at most; None for all.
        doubt: standard deviation of the shift of the log odds that a label is right.
        progress: function that is called with the share of the sampling that is done, from 0 to 1.
        pairs: true classes and noisy labels of further examples, int64 [P] each, of which there are no
            candidates or whose label is unknown in ``trusted_given``. They are observations of the noise alone.

    Raises:
        UserError: there are no examples, fewer than two classes, or no draws.

    Reference: Dawid & Skene (1979) for the latent class; Miller & Dunson (2019) for weights below one;
        Kennedy & O'Hagan (2001) for an error of the model.
    """
    size = len(noisy.p)
    if size == 0 or num_classes < 2:
        raise UserError(f"there are {size} examples of {num_classes} classes; expected at least one and two classes")
    if draws < 1:
        raise UserError(f"draws is {draws}; expected an integer >= 1")
    if open_set is not None and len(open_set.drawn) < draws:
        raise UserError(f"draws is {draws} but open_set has {len(open_set.drawn)} draws; make as many")
    generator = generator_for(seed, "joint posterior")
    judged = np.ones(size, dtype=bool) if judged is None else judged
    none = np.zeros(size) if open_set is None else open_set.mean()
    inside = np.flatnonzero(generator.random(size) >= none)
    if len(inside) > LEARNED_FROM:
        inside = np.sort(generator.permutation(inside)[:LEARNED_FROM])
    sampler = LabelSampler(
        noisy.at(inside),
        _trusted(noisy, trusted, trusted_given, num_classes),
        num_classes,
        1.0 if taught is None else taught / (taught + len(inside)),
        generator,
        pairs,
    )
    burn_in = sampler.burn_in
    kept_every = max(1, -(-draws * num_classes**2 // _KEPT))
    indexed = Indexed.of(noisy, num_classes)
    total, rates, matrices = np.zeros(noisy.p.shape, dtype=np.float32), [], []
    between = max(1, -(-_SWEEPS // draws))
    sweeps = draws * between
    shifts = doubt * ndtri((generator.permutation(sweeps) + 0.5) / sweeps)
    for sweep in range(-burn_in, sweeps):
        sampler.sweep(adapt=sweep < 0)
        if sweep >= 0:
            p = _shifted(sampler.posterior(indexed), shifts[sweep])
            total += p
        if sweep >= 0 and sweep % between == between - 1:
            draw = sweep // between
            foreign = none if open_set is None else open_set.of_draw(draw)
            right = (generator.random(size) < p[:, 0]) & (generator.random(size) >= foreign)
            rates.append(1 - right[judged].mean())
            if draw % kept_every == 0:
                matrices.append(sampler.transition())
        if progress is not None:
            progress((sweep + burn_in + 1) / (burn_in + sweeps))
    found = TransitionPosterior(torch.from_numpy(np.array(matrices)), torch.from_numpy(np.array(rates)))
    return JointPosterior(found, noisy.classes[judged], total[judged] / sweeps, none[judged], num_classes)


def _shifted(p: np.ndarray, shift: float) -> np.ndarray:
    """Shift the log odds of the first candidate, [n, m]."""
    odds = p.copy()
    odds[:, 0] *= np.exp(shift)
    return np.asarray(odds / odds.sum(1, keepdims=True))


def _trusted(
    noisy: Candidates, trusted: Candidates | None, given: np.ndarray | None, num_classes: int
) -> TrustedCandidates:
    if trusted is None or not len(trusted.p):
        return TrustedCandidates(noisy.at(slice(0)), np.zeros(0, dtype=np.int64), np.ones(num_classes))
    count = len(trusted.p)
    # Trusted examples are often drawn class by class: how much more often than in the noisy ones is corrected for.
    expected = np.bincount(noisy.classes.ravel(), noisy.p.ravel(), num_classes) / len(noisy.p)
    share = np.bincount(trusted.classes[:, 0], minlength=num_classes) / count
    return TrustedCandidates(
        trusted, np.full(count, -1) if given is None else given, share / np.maximum(expected, 1e-9)
    )
