"""The evidence lower bound, kept in its terms and per datum, so that each term can be weighted where it acts.

``RectificationELBO`` is an :class:`~pyro.infer.elbo.ELBO` of Pyro's: it traces a guide, replays the model against it
and can drive :class:`pyro.infer.SVI`. What it adds is :meth:`RectificationELBO.terms`, the bound before it is summed.
"""

from __future__ import annotations

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
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vri_pyro.utils.errors import UserError

Estimator = Literal["analytic", "monte carlo"]
PARTICLES = "num_particles_vectorized"  # Pyro's name for its plate over particles


@dataclass
class ELBOTerms:
    """One evaluation of the bound, term by term.

    Every term carries the scales and masks of its site, so ``elbo()`` is what Pyro's estimators return.

    Attributes:
        log_likelihood: E_q[log p(y | x, v)] per datum, [batch], averaged over particles.
        kl: KL[q ‖ p] by latent site: [batch] for a site in the data plate, [] for one outside it.
        estimator: how each site's KL was computed.
        global_log_likelihood: observed sites outside the data plate, [].
        posterior, prior: the distributions of each latent site, for diagnostics.
        plate_size: full size of the data plate; a per-datum loss is the bound divided by it.
    """

    log_likelihood: Tensor
    kl: dict[str, Tensor]
    estimator: dict[str, Estimator]
    global_log_likelihood: Tensor
    plate_size: int
    posterior: dict[str, Any] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)

    def total_kl(self) -> Tensor:
        """KL summed over sites and data, []."""
        zero = self.log_likelihood.new_zeros(())
        return sum((kl.sum() for kl in self.kl.values()), zero)

    def elbo(self, kl_weight: float = 1.0) -> Tensor:
        """The bound summed over data, []; ``kl_weight`` multiplies its KL terms (λ of the paper's eq. 6)."""
        log_likelihood = self.log_likelihood.sum() + self.global_log_likelihood
        return log_likelihood - kl_weight * self.total_kl() if kl_weight else log_likelihood

    def loss(self, kl_weight: float = 1.0) -> Tensor:
        """The negative bound per datum, [].

        With subsampling the sites are scaled up to the full data, so the divisor is the plate's full size: the
        loss then estimates the same mean whatever the batch is, and a step size means the same. A latent outside the
        plate counts once in it: its model must give the plate the full size, ``pyro.plate("data", N, subsample=...)``,
        or the batch stands for all data and the latent's KL weighs too much.
        """
        return -self.elbo(kl_weight) / self.plate_size

    def mean_kl(self) -> Tensor:
        """KL per datum in nats, []."""
        return self.total_kl() / self.plate_size


class RectificationELBO(ELBO):
    """ELBO with per-datum terms, vectorised particles, closed-form KLs where registered, and a weight on the KL.

    A latent site's KL is computed in closed form when PyTorch or Pyro registers one for the pair of distributions
    and guide and model give the site the same scale and mask; by Monte Carlo at the drawn values otherwise.
    :attr:`ELBOTerms.estimator` says which. As with ``TraceMeanField_ELBO``, the closed form is right when in the
    model no parent of a latent z is a descendant of z in the guide. All latents must be reparameterised.
    Nothing in here waits for the device.

    Args:
        num_particles: k, samples of the guide per datum, drawn in one vectorised pass.
        kl_weight: weight of the KL in :meth:`loss` and its relatives; 1 gives the bound itself.
        data_plate: name of the plate over data, by which terms are kept apart.
        max_plate_nesting: number of nested plates in model and guide, found by running them once when omitted.

    Raises:
        UserError: when model and guide disagree in a site or its shape, a latent is not reparameterised, or there
            is no data plate.

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
            raise UserError(f"num_particles is {num_particles}; draw at least one sample per datum")
        super().__init__(num_particles=num_particles, max_plate_nesting=max_plate_nesting, vectorize_particles=True)
        self.kl_weight = kl_weight
        self.data_plate = data_plate
        self._particles: Any = None

    def terms(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> ELBOTerms:
        """Run guide and model once on ``args`` and return the bound's terms."""
        model_trace, guide_trace = next(self._get_traces(model, guide, args, kwargs))
        return _terms_of(model_trace, guide_trace, self.data_plate)

    def differentiable_loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """The negative weighted bound summed over data, [], as Pyro's estimators have it."""
        return -self.terms(model, guide, *args, **kwargs).elbo(self.kl_weight)

    def loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """As :meth:`differentiable_loss`, without a graph; a tensor, which ``pyro.infer.SVI`` takes as well."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs)

    def loss_and_grads(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """As :meth:`loss`, and adds the gradient to ``.grad`` of every parameter involved."""
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
        # Pyro makes this plate anew for guide and model on every call; made once, a step's share of Pyro is under 1 ms.
        if self.num_particles == 1:
            return fn
        if self._particles is None:
            self._particles = pyro.plate(PARTICLES, self.num_particles, dim=-self.max_plate_nesting)
        return self._particles(fn)

    def _guess_max_plate_nesting(self, model: Callable, guide: Callable, args: tuple, kwargs: dict) -> None:
        # The guess runs model and guide once; that must move neither the run's random stream nor their buffers.
        cuda = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        buffers = [b for part in (model, guide) if isinstance(part, nn.Module) for b in part.buffers()]
        kept = [b.clone() for b in buffers]
        with torch.random.fork_rng(devices=cuda), torch.no_grad():
            model_trace, guide_trace = self._get_trace(model, guide, args, kwargs)
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)
        _check_shapes(model_trace, guide_trace)
        depths = [
            -frame.dim
            for trace in (model_trace, guide_trace)
            for site in trace.nodes.values()
            for frame in site.get("cond_indep_stack", ())
            if frame.vectorized
        ]
        self.max_plate_nesting = max(depths, default=0) + (self.num_particles > 1)


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
            f"observe the labels inside pyro.plate('{data_plate}', ...) or name another data_plate"
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
    """The sites that carry probability: no subsampling indices, no deterministic values."""
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not site_is_subsample(site) and not is_deterministic(site)
    }


def is_deterministic(site: Any) -> bool:
    """Whether a site only records a value: of ``pyro.deterministic``, and where ``poutine.reparam`` took a latent out.

    Both are an observed point whose density is masked out.
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
            "use one with rsample (its gradient could not reach the guide otherwise)"
        )
    if _same(guide_site["scale"], model_site["scale"]) and _same(guide_site["mask"], model_site["mask"]):
        try:
            value = kl_divergence(q, p)
            if not isinstance(value, Tensor):  # Pyro's answer for a distribution masked out altogether
                value = guide_site["value"].new_full((), value)
            value = value.expand(q.batch_shape)
            return scale_and_mask(value, guide_site["scale"], guide_site["mask"]), "analytic"
        except NotImplementedError:
            pass
    return _log_prob(guide_site) - _log_prob(model_site), "monte carlo"


def _same(a: Any, b: Any) -> bool:
    """Whether two scales or masks are known to be equal without waiting for the device."""
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)


def _frame(site: dict, plate: str) -> Any:
    return next((f for f in site["cond_indep_stack"] if f.name == plate and f.vectorized), None)


def _per_datum(value: Tensor, site: dict, data_plate: str) -> Tensor:
    """Average a site's term over particles and sum it over every other dimension but the data plate's."""
    data, particles = _frame(site, data_plate), _frame(site, PARTICLES)
    kept = data.dim if data is not None else None
    if particles is not None and value.dim() >= -particles.dim:
        value = value.mean(particles.dim, keepdim=True)
    others = [d for d in range(-value.dim(), 0) if d != kept]
    return value.sum(others) if others else value


@contextmanager
def _plate_mismatch_explained(part: str) -> Iterator[None]:
    """Add the remedy to Pyro's complaint about a site that does not fit its plates."""
    try:
        yield
    except ValueError as error:
        complaint = str(error).splitlines()[0] if str(error) else ""
        if not complaint.startswith("Shape mismatch inside plate"):
            raise
        raise UserError(f"in the {part}: {complaint}; a vector for each datum needs .to_event(1)") from error


def _check_shapes(model_trace: Any, guide_trace: Any, cause: Exception | None = None) -> None:
    """Raise when latents of guide and model differ in name or shape; a broken model run has only its first sites."""
    model_sites, guide_sites = stochastic(model_trace), stochastic(guide_trace)
    for name in guide_sites.keys() & model_sites.keys():
        q, p = guide_sites[name]["fn"], model_sites[name]["fn"]
        if q.shape() != p.shape():
            raise UserError(
                f"latent site '{name}' has shape {list(q.shape())} in the guide but {list(p.shape())} in the model; "
                "give both the same classes and plates"
            ) from cause
        plates = [sorted(f.name for f in sites[name]["cond_indep_stack"]) for sites in (guide_sites, model_sites)]
        if plates[0] != plates[1]:
            raise UserError(
                f"latent site '{name}' is inside the plates {plates[0]} in the guide but {plates[1]} in the model; "
                "give both the same plates"
            ) from cause
        if q.event_dim != p.event_dim:
            raise UserError(
                f"latent site '{name}' of shape {list(q.shape())} has {q.event_dim} event dimensions in the guide but "
                f"{p.event_dim} in the model; give both the same plates and the same to_event"
            ) from cause
    if cause is not None:
        return
    latents = {name for name, site in model_sites.items() if not site["is_observed"]}
    drawn = {name for name, site in guide_sites.items() if not site["infer"].get("is_auxiliary")}
    if latents != drawn:
        raise UserError(
            f"the model's latent sites {sorted(latents)} are not the guide's {sorted(drawn)}; "
            "every latent of the model needs one site of the same name in the guide, and no other"
        )
