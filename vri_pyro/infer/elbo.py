"""Evidence lower bound (ELBO) with separate terms per example and latent site, so that each term can be weighted.

:class:`RectificationELBO` derives from Pyro's :class:`~pyro.infer.elbo.ELBO`: it traces the guide, replays the model
against it and can be the loss of :class:`pyro.infer.SVI`. In addition, :meth:`RectificationELBO.terms` returns the
terms of the bound before they are summed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.elbo import ELBO
from pyro.infer.inspect import get_dependencies
from pyro.infer.util import is_validation_enabled
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from pyro.util import check_if_enumerated, check_model_guide_match, check_site_shape
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vri_pyro.utils.errors import UserError

Estimator = Literal["analytic", "monte carlo"]
PARTICLES = "num_particles_vectorized"  # the name that Pyro gives to its plate over particles


@dataclass
class ELBOTerms:
    """The terms of one ELBO evaluation.

    Every term includes the scale and the mask of its site, so :meth:`elbo` is the bound that Pyro's estimators compute.

    Attributes:
        log_likelihood: E_q[log p(y | x, v)] per example, [batch], averaged over particles.
        kl: KL[q ‖ p] by latent site: [batch] for a site in the data plate, [] for a site outside it.
        estimator: how the KL was computed, by latent site: "analytic" or "monte carlo".
        global_log_likelihood: log-likelihood of the observed sites outside the data plate, [].
        plate_size: N, the full size of the data plate. A loss per example is a sum over examples divided by N.
        posterior, prior: distributions of guide and model by latent site, for diagnostics.
    """

    log_likelihood: Tensor
    kl: dict[str, Tensor]
    estimator: dict[str, Estimator]
    global_log_likelihood: Tensor
    plate_size: int
    posterior: dict[str, Any] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)

    def total_kl(self) -> Tensor:
        """KL summed over sites and examples, []."""
        zero = self.log_likelihood.new_zeros(())
        return sum((kl.sum() for kl in self.kl.values()), zero)

    def elbo(self, kl_weight: float = 1.0) -> Tensor:
        """The ELBO summed over examples, []; ``kl_weight`` multiplies its KL terms (λ in eq. 6 of the paper)."""
        log_likelihood = self.log_likelihood.sum() + self.global_log_likelihood
        return log_likelihood - kl_weight * self.total_kl() if kl_weight else log_likelihood

    def loss(self, kl_weight: float = 1.0) -> Tensor:
        """The negative ELBO per example, [].

        With subsampling, Pyro scales the sites up to the full data set, so the bound is divided by the full size of
        the plate. The loss of every batch then estimates the same mean over the data set, so a learning rate has the
        same effect at every batch size.

        A latent outside the data plate counts once in the full data set. Its model must declare the full size of the
        plate, ``pyro.plate("data", N, subsample=...)``. Otherwise the batch is treated as the full data set, and the
        KL of the latent is weighted too strongly.
        """
        return -self.elbo(kl_weight) / self.plate_size

    def mean_kl(self) -> Tensor:
        """KL per example in nats, []."""
        return self.total_kl() / self.plate_size


class MeanFieldWarning(UserWarning):
    """Latents depend on each other in opposite orders in model and guide, so an analytic KL is wrong."""


class RectificationELBO(ELBO):
    """ELBO with terms per example, vectorised particles, analytic KLs where available, and a weight on the KL.

    The KL of a latent site is analytic if PyTorch or Pyro registers a closed form for the two distributions and if
    guide and model give the site the same scale and mask. Otherwise it is a Monte Carlo estimate at the sampled values.
    :attr:`ELBOTerms.estimator` records which one was used. As in ``TraceMeanField_ELBO``, the analytic KL is correct
    if no parent of a latent z in the model is a descendant of z in the guide. This holds if model and guide sample the
    latents in the same order; the first evaluation warns if they do not. All latents must be reparameterised. No
    evaluation synchronises host and device.

    With Pyro's validation on, every evaluation makes the checks of Pyro's own estimators: plates, shapes of sites, and
    sites marked for enumeration, which this class does not enumerate.

    Args:
        num_particles: k, number of guide samples per example, drawn in one vectorised pass.
        kl_weight: weight of the KL in :meth:`loss`, :meth:`differentiable_loss` and :meth:`loss_and_grads`; 1 gives
            the ELBO.
        data_plate: name of the plate over the data; terms are not summed over this plate.
        max_plate_nesting: maximal number of nested plates in model and guide. If omitted, it is found by running both
            once.

    Raises:
        UserError: ``num_particles`` is below 1. Evaluating the ELBO raises it as well if model and guide differ in a
            site or its shape, if a latent is not reparameterised, or if nothing is observed in the data plate.

    Reference:
        Sun et al. (2025), eq. 3 and A3; Ranganath et al. (2014), black box variational inference.
    """

    def __init__(
        self,
        num_particles: int = 1,
        kl_weight: float = 1.0,
        data_plate: str = "data",
        max_plate_nesting: float = float("inf"),
    ) -> None:
        if num_particles < 1:
            raise UserError(f"num_particles is {num_particles}; expected a value >= 1")
        super().__init__(num_particles=num_particles, max_plate_nesting=max_plate_nesting, vectorize_particles=True)
        self.kl_weight = kl_weight
        self.data_plate = data_plate
        self._particles: Any = None
        self._mean_field_checked = False

    def terms(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> ELBOTerms:
        """Run guide and model once on ``args`` and return the terms of the ELBO."""
        model_trace, guide_trace = next(self._get_traces(model, guide, args, kwargs))
        if not self._mean_field_checked or is_validation_enabled():
            if not _same_order(model_trace, guide_trace):
                _check_mean_field(model, guide, args, kwargs)
            self._mean_field_checked = True
        if is_validation_enabled():
            _validate(model_trace, guide_trace, self.max_plate_nesting)
        return _terms_of(model_trace, guide_trace, self.data_plate)

    def differentiable_loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """Return the negative ELBO summed over examples, [], as Pyro's estimators do; the KL is weighted."""
        return -self.terms(model, guide, *args, **kwargs).elbo(self.kl_weight)

    def loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """Return :meth:`differentiable_loss` without a graph, as a tensor, which ``pyro.infer.SVI`` accepts."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs)

    def loss_and_grads(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """Return :meth:`loss` and add its gradient to the ``.grad`` of every parameter involved."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return loss.detach()

    def _get_trace(self, model: Callable, guide: Callable, args: tuple, kwargs: dict) -> tuple:
        with _plate_mismatch_explained("guide"):
            guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        recorder = poutine.trace(poutine.replay(model, trace=guide_trace))
        try:
            with _plate_mismatch_explained("model"):
                model_trace = recorder.get_trace(*args, **kwargs)
        except (RuntimeError, ValueError) as error:
            _check_shapes(recorder.msngr.trace, guide_trace, cause=error)
            raise
        return model_trace, guide_trace

    def _vectorized_num_particles(self, fn: Callable) -> Callable:
        # Pyro builds this plate on every call, once for the guide and once for the model. Building it only once keeps
        # Pyro's overhead per step below 1 ms.
        if self.num_particles == 1:
            return fn
        if self._particles is None:
            self._particles = pyro.plate(PARTICLES, self.num_particles, dim=-self.max_plate_nesting)
        return self._particles(fn)

    def _guess_max_plate_nesting(self, model: Callable, guide: Callable, args: tuple, kwargs: dict) -> None:
        with _unchanged(model, guide), torch.no_grad():
            model_trace, guide_trace = self._get_trace(model, guide, args, kwargs)
        _check_shapes(model_trace, guide_trace)
        depths = [
            -frame.dim
            for trace in (model_trace, guide_trace)
            for site in trace.nodes.values()
            for frame in site.get("cond_indep_stack", ())
            if frame.vectorized
        ]
        self.max_plate_nesting = max(depths, default=0) + (self.num_particles > 1)


@contextmanager
def _unchanged(*parts: Callable) -> Iterator[None]:
    """Restore the random state, and the buffers of ``parts``, on exit."""
    cuda = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    buffers = [b for part in parts if isinstance(part, nn.Module) for b in part.buffers()]
    kept = [b.clone() for b in buffers]
    try:
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)


def _same_order(model_trace: Any, guide_trace: Any) -> bool:
    """Whether model and guide sample their latents in the same order, which implies the mean-field condition."""
    ours, theirs = stochastic(model_trace), stochastic(guide_trace)
    return [name for name in ours if name in theirs] == [name for name in theirs if name in ours]


def _check_mean_field(model: Callable, guide: Callable, args: tuple, kwargs: dict) -> None:
    """Warn if a parent of a latent z in the model is a descendant of z in the guide: its analytic KL is wrong.

    Pyro's ``TraceMeanField_ELBO`` documents this condition, and warns about any difference in the order of latents.
    """
    try:
        with _unchanged(model, guide):
            parents, upstream = (get_dependencies(part, args, kwargs)["prior_dependencies"] for part in (model, guide))
    except Exception:  # Pyro's analysis does not support every operation; a valid model must not fail because of it
        return

    def follows(name: str, other: str) -> bool:
        """Whether ``name`` is a descendant of ``other`` in the guide."""
        direct = upstream[name].keys() - {name}
        return other in direct or any(follows(between, other) for between in direct)

    wrong = [(z, p) for z in upstream if z in parents for p in parents[z] if p != z and p in upstream and follows(p, z)]
    for z, p in wrong[:1]:
        warnings.warn(
            f"latent '{z}' depends on '{p}' in the model, but '{p}' depends on '{z}' in the guide, so an analytic KL "
            "is wrong; sample them in the same order in both",
            MeanFieldWarning,
            stacklevel=4,
        )


def _validate(model_trace: Any, guide_trace: Any, max_plate_nesting: float) -> None:
    """Make the checks that Pyro's estimators make when validation is on."""
    _check_shapes(model_trace, guide_trace)
    check_model_guide_match(model_trace, guide_trace, max_plate_nesting)
    check_if_enumerated(guide_trace)
    for trace in (prune_subsample_sites(model_trace), prune_subsample_sites(guide_trace)):
        trace.compute_log_prob()
        for site in trace.nodes.values():
            if site["type"] == "sample":
                check_site_shape(site, max_plate_nesting)


def _terms_of(model_trace: Any, guide_trace: Any, data_plate: str) -> ELBOTerms:
    _check_shapes(model_trace, guide_trace)
    zero: Any = 0.0
    log_likelihood, global_log_likelihood, plate_size = None, zero, None
    kl: dict[str, Tensor] = {}
    estimator: dict[str, Estimator] = {}
    posterior, prior = {}, {}

    for name, site in stochastic(model_trace).items():
        if site["is_observed"]:
            term = _per_datum(_log_prob(site), site, data_plate)
            frame = _frame(site, data_plate)
            if frame is None:
                global_log_likelihood = global_log_likelihood + term
            else:
                plate_size = frame.full_size or frame.size
                log_likelihood = term if log_likelihood is None else log_likelihood + term
        else:
            guide_site = guide_trace.nodes[name]
            value, estimator[name] = _kl(name, guide_site, site)
            kl[name] = _per_datum(value, guide_site, data_plate)
            posterior[name], prior[name] = guide_site["fn"], site["fn"]

    for name, site in stochastic(guide_trace).items():
        if site["infer"].get("is_auxiliary") and name not in model_trace.nodes:
            kl[name] = _per_datum(_log_prob(site), site, data_plate)
            estimator[name] = "monte carlo"

    if log_likelihood is None or plate_size is None:
        plates = sorted({f.name for s in model_trace.nodes.values() for f in s.get("cond_indep_stack", ())})
        raise UserError(
            f"the model observes nothing inside a plate named '{data_plate}' "
            f"(its plates: {', '.join(plates) or 'none'}); "
            f"observe the labels inside pyro.plate('{data_plate}', ...) or set data_plate to the name of their plate"
        )
    return ELBOTerms(
        log_likelihood=log_likelihood,
        kl=kl,
        estimator=estimator,
        global_log_likelihood=log_likelihood.new_zeros(()) + global_log_likelihood,
        plate_size=plate_size,
        posterior=posterior,
        prior=prior,
    )


def stochastic(trace: Any) -> dict[str, dict]:
    """Sample sites of a trace by name, without subsampling indices and deterministic values."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site) and not is_deterministic(site)
    }


def is_deterministic(site: Any) -> bool:
    """Whether a site only records a value: ``pyro.deterministic``, or a latent replaced by ``poutine.reparam``.

    Both are observed ``Delta`` sites whose log density is masked out.
    """
    fn = site["fn"]
    masked = isinstance(fn, dist.MaskedDistribution) and fn._mask is False
    return bool(site["infer"].get("_deterministic")) or (masked and isinstance(fn.base_dist, dist.Delta))


def _log_prob(site: dict) -> Tensor:
    log_prob = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(log_prob, site["scale"], site["mask"])


def _kl(name: str, guide_site: dict, model_site: dict) -> tuple[Tensor, Estimator]:
    q, p = guide_site["fn"], model_site["fn"]
    if not q.has_rsample:
        kind = type(getattr(q, "base_dist", q)).__name__
        raise UserError(
            f"latent site '{name}' has the guide distribution {kind}, which is not reparameterised; "
            "use a distribution with rsample, so that gradients reach the guide"
        )
    if _same(guide_site["scale"], model_site["scale"]) and _same(guide_site["mask"], model_site["mask"]):
        try:
            value = kl_divergence(q, p)
            if not isinstance(value, Tensor):  # Pyro returns a number if the distribution is fully masked
                value = guide_site["value"].new_full((), value)
            value = value.expand(q.batch_shape)
            return scale_and_mask(value, guide_site["scale"], guide_site["mask"]), "analytic"
        except NotImplementedError:
            pass
    return _log_prob(guide_site) - _log_prob(model_site), "monte carlo"


def _same(a: Any, b: Any) -> bool:
    """Whether two scales or masks are known to be equal without synchronising host and device."""
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)


def _frame(site: dict, plate: str) -> Any:
    return next((f for f in site["cond_indep_stack"] if f.name == plate and f.vectorized), None)


def _per_datum(value: Tensor, site: dict, data_plate: str) -> Tensor:
    """Average a site's term over particles, and sum it over all remaining dimensions except the data plate's."""
    data, particles = _frame(site, data_plate), _frame(site, PARTICLES)
    kept = data.dim if data is not None else None
    if particles is not None and value.dim() >= -particles.dim:
        value = value.mean(particles.dim, keepdim=True)
    others = [d for d in range(-value.dim(), 0) if d != kept]
    return value.sum(others) if others else value


@contextmanager
def _plate_mismatch_explained(part: str) -> Iterator[None]:
    """Add the remedy to Pyro's error about a site whose shape does not match its plates."""
    try:
        yield
    except ValueError as error:
        message = str(error).splitlines()[0] if str(error) else ""
        if not message.startswith("Shape mismatch inside plate"):
            raise
        raise UserError(f"in the {part}: {message}; declare one vector per example with .to_event(1)") from error


def _check_shapes(model_trace: Any, guide_trace: Any, cause: Exception | None = None) -> None:
    """Raise if the latents of guide and model differ in name, shape or plates.

    Args:
        model_trace, guide_trace: the traces to compare.
        cause: the exception that stopped the model, if any. The model's trace is then incomplete, so names are not
            compared.
    """
    model_sites, guide_sites = stochastic(model_trace), stochastic(guide_trace)
    for name in guide_sites.keys() & model_sites.keys():
        q, p = guide_sites[name]["fn"], model_sites[name]["fn"]
        if q.shape() != p.shape():
            raise UserError(
                f"latent site '{name}' has shape {list(q.shape())} in the guide but {list(p.shape())} in the model; "
                "use the same number of classes and the same plates in both"
            ) from cause
        plates = [sorted(f.name for f in sites[name]["cond_indep_stack"]) for sites in (guide_sites, model_sites)]
        if plates[0] != plates[1]:
            raise UserError(
                f"latent site '{name}' is inside the plates {plates[0]} in the guide but {plates[1]} in the model; "
                "use the same plates in both"
            ) from cause
        if q.event_dim != p.event_dim:
            raise UserError(
                f"latent site '{name}' of shape {list(q.shape())} has {q.event_dim} event dimensions in the guide but "
                f"{p.event_dim} in the model; use the same plates and the same to_event in both"
            ) from cause
    if cause is not None:
        return
    latents = {name for name, site in model_sites.items() if not site["is_observed"]}
    drawn = {name for name, site in guide_sites.items() if not site["infer"].get("is_auxiliary")}
    if latents != drawn:
        raise UserError(
            f"the model's latent sites {sorted(latents)} differ from the guide's {sorted(drawn)}; "
            "the guide must sample one site of the same name for each latent of the model, and no others"
        )
