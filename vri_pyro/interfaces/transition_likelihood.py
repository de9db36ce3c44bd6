"""Likelihood and posterior of labels under a transition matrix, and its estimate from a clean set."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vri_pyro.utils.errors import UserError

# log T of a zero entry: below any logit, but finite, because a label may have probability 0 under every class.
_LEAST_LOG = -1e4
_FEW = 32  # classes up to which log space is not slower
_STRENGTHS = torch.logspace(0, 4, 25, dtype=torch.float64)  # of an estimate of T, in labels per class
_SPREAD = 0.01  # labels per class that are spread over all entries, so that none is impossible


def noisy_log_probabilities(logits: Tensor, transition: Tensor) -> Tensor:
    """Log-probabilities of the given label by forward correction: log p(ỹ | x) = log Σ_c softmax(F(x))_c T[c, ỹ].

    Args:
        logits: logits of the true class, [..., K].
        transition: T[c, k], the probability that an example of class c has the given label k, [..., K, K].

    Returns:
        log-probabilities of the given label, [..., K]. They are computed in log space, so that a label of
        vanishing probability still has a gradient. Without gradients, a matrix product is faster for many classes.

    Reference: Patrini et al., Making deep neural networks robust to label noise: a loss correction approach, CVPR 2017.
    """
    shared = transition.dim() == 2 or transition.shape[-3] == 1  # one matrix for all examples
    if shared and transition.shape[-1] > _FEW and not torch.is_grad_enabled():
        matrix = transition if transition.dim() == 2 else transition.squeeze(-3)
        return (logits.softmax(-1) @ matrix).log().clamp_min(_LEAST_LOG)
    return torch.logsumexp(logits.log_softmax(-1).unsqueeze(-1) + log_transition(transition), dim=-2)


def clean_posterior(logits: Tensor, transition: Tensor, y: Tensor) -> Tensor:
    """Posterior of the true class given the label: p(c | x, y) ∝ softmax(F(x))_c T[c, y].

    Args:
        logits: logits of the true class, [batch, K].
        transition: T, [K, K].
        y: the given labels, int64 [batch].

    Returns:
        probabilities, [batch, K]. If T[c, y] is 0 for every class c, they are the classifier's prediction.
    """
    return (logits.log_softmax(-1) + log_transition(transition).mT[y]).softmax(-1)


def updated_concentration(
    concentration: Tensor, prior: Tensor, logits: Tensor, y: Tensor, weight: float, rate: float
) -> Tensor:
    """Take a natural-gradient step of the Dirichlet posteriors of the rows of T on the ELBO.

    Args:
        concentration: concentrations of q(T), [K, K].
        prior: concentrations of the prior, [K, K].
        logits: logits of the true class, [batch, K].
        y: the given labels, int64 [batch].
        weight: number of labels that each label of the batch counts as, such as N / batch.
        rate: ρ, step size in (0, 1].

    Returns:
        the new concentrations, [K, K]: a fraction ρ of the way from the old ones to those of the prior plus the
        expected counts of (true, given) labels, which would be optimal if all data were like the batch.

    Reference: Hoffman et al., Stochastic variational inference, JMLR 2013, eq. 33-34.
    """
    expected_log = concentration.digamma() - concentration.sum(-1, keepdim=True).digamma()
    true = clean_posterior(logits, expected_log.exp(), y)
    counts = torch.zeros_like(concentration).index_add_(1, y, true.mT)
    return concentration.lerp(prior + weight * counts, rate)


def predicted_counts(logits: Tensor, y: Tensor) -> Tensor:
    """Count the pairs of predicted class and given label.

    Where the classifier predicts the true class more often than the label does, the counts show how labels are
    corrupted, without a label that is known to be right.

    Args:
        logits: logits of a classifier, [n, K].
        y: the given labels, int64 [n].

    Returns:
        counts of (predicted class, given label), [K, K].

    Reference: confusions of predicted and given labels: Northcutt et al., Confident learning, JAIR 2021, without their
        thresholds.
    """
    classes = logits.shape[-1]
    pairs = logits.argmax(-1) * classes + y
    return pairs.bincount(minlength=classes**2).reshape(classes, classes).to(logits)


def log_transition(transition: Tensor) -> Tensor:
    """Return log T, finite also where T is 0."""
    return transition.log().clamp_min(_LEAST_LOG)


def glc_estimate(logits: Tensor, y: Tensor) -> Tensor:
    """GLC's estimate T̂ of the transition matrix, from the predictions on the clean set.

    T̂[c, ·] is the mean of softmax(F(x)) over the clean examples of class c, where F was trained on noisy labels. For a
    class without clean examples it is the row of the identity, that is, its labels are assumed to be right: without
    evidence on the class, nothing is corrected, as in plain cross entropy. The authors' code takes the mean of no
    examples, which is NaN. Every label may come from that class, so the loss of every noisy example would be NaN.

    Args:
        logits: logits of a classifier trained on noisy labels, for the clean examples, [m, K].
        y: their true labels, int64 [m], at least one.

    Returns:
        T̂, [K, K]; its rows sum to one.

    Raises:
        UserError: there is no clean example.

    Reference: Hendrycks et al., Using trusted data to train deep networks on labels corrupted by severe noise,
        NeurIPS 2018.
    """
    if len(y) == 0:
        raise UserError("there are no clean examples to estimate a transition matrix from; provide some for each class")
    members = F.one_hot(y, logits.shape[-1]).to(logits)
    counts = members.sum(0).unsqueeze(-1)
    means = members.mT @ logits.softmax(-1) / counts.clamp_min(1)
    return torch.where(counts > 0, means, torch.eye(len(counts), dtype=means.dtype, device=means.device))


def estimate_with_pairs(estimate: Tensor, pair_counts: Tensor) -> Tensor:
    """Correct an estimate of the transition matrix by verified pairs: the posterior mean of T given the pairs.

    The prior of a row is Dirichlet(s · T̂_c + 0.01 / K). The pairs decide how many labels the estimate counts as: s has
    a log-uniform prior from 1 to 10,000 and is summed out. Where T̂ predicts the pairs well, it changes little. Where it
    does not, for instance because it includes the confusions of the classifier, the frequencies of the pairs take over.

    Args:
        estimate: T̂, such as :func:`glc_estimate`, [K, K].
        pair_counts: number of pairs by verified class (row) and label as given (column), [K, K].

    Returns:
        T, [K, K], of the dtype of ``estimate``; its rows sum to one.
    """
    counts = pair_counts.to(estimate.device, torch.float64)
    prior = _STRENGTHS.to(counts.device).reshape(-1, 1, 1) * estimate.double() + _SPREAD / len(counts)
    posterior = prior + counts
    entries = posterior.lgamma() - prior.lgamma()
    rows = prior.sum(-1).lgamma() - posterior.sum(-1).lgamma()
    weights = (entries.sum((-2, -1)) + rows.sum(-1)).softmax(0)
    means = posterior / posterior.sum(-1, keepdim=True)
    return torch.einsum("s,sck->ck", weights, means).to(estimate.dtype)
