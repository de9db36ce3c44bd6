"""Models and priors: their contracts, and the properties of each class."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from infer.contracts import ModelContract, PriorContract, assert_mean_within_four_standard_errors, untested
from pyro import poutine
from torch import Tensor, nn
from torch.nn import functional as F

import vri_pyro.models
from vri_pyro.guides import (
    DiagonalNormal,
    DiracVector,
    Gated,
    Hierarchical,
    LabelCorrection,
    Logits,
    LowRankNormal,
    NoLatents,
    ScalarWeight,
)
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.base import Guide, Prior
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.networks import DiagonalNormalNetwork
from vri_pyro.models import (
    CorrectedCrossEntropy,
    CrossEntropy,
    ForwardCorrection,
    GatedRectification,
    HierarchicalRectification,
    LearnedNormal,
    MaskedGuide,
    MixtureOfNormals,
    PriorNetwork,
    Rectification,
    StandardNormal,
    VampPrior,
    WeightedCrossEntropy,
)
from vri_pyro.utils.errors import UserError

# Every exported model with a guide that fits it, and every exported prior. To test a new one, add it here.
MODELS: dict[type, type] = {
    CrossEntropy: NoLatents,
    Rectification: DiagonalNormal,
    GatedRectification: Gated,
    HierarchicalRectification: Hierarchical,
    WeightedCrossEntropy: ScalarWeight,
    CorrectedCrossEntropy: LabelCorrection,
}
PRIORS: list[type] = [PriorNetwork, StandardNormal, LearnedNormal, MixtureOfNormals]
# Models with required options; each has its own contract below.
WITH_OPTIONS: list[type] = [ForwardCorrection]
# Priors that use the paired guide.
BOUND: list[type] = [VampPrior, MaskedGuide]

for _model, _guide in MODELS.items():
    _name = f"Test{_model.__name__}"
    globals()[_name] = type(_name, (ModelContract,), {"make_model": _model, "make_guide": _guide})
for _prior in PRIORS:
    _name = f"Test{_prior.__name__}"
    globals()[_name] = type(_name, (PriorContract,), {"make_prior": _prior})


class BoundPriorContract(PriorContract):
    """A prior that uses a guide but does not own its parameters."""

    def prior(self) -> nn.Module:
        if not hasattr(self, "guide"):
            self.guide = _small_guide(self.feature_dim, self.num_classes).double()
        prior = super().prior()
        prior.bind(self.guide)  # type: ignore[operator]
        return prior

    def test_is_reparameterised(self) -> None:
        p = self.prior()(self.features())
        assert p.has_rsample
        assert p.rsample().requires_grad

    def test_gradient_reaches_the_guide(self) -> None:
        p = self.prior()(self.features())
        p.log_prob(torch.randn(self.batch, self.num_classes, dtype=torch.float64)).sum().backward()
        assert all(parameter.grad is not None for parameter in self.guide.network.parameters())
        assert not set(map(id, self.guide.parameters())) & set(map(id, self.prior().parameters()))


def _small_guide(feature_dim: int, num_classes: int) -> DiagonalNormal:
    return DiagonalNormal(feature_dim, num_classes, hidden=(8,))


for _prior in BOUND:
    _name = f"Test{_prior.__name__}"
    globals()[_name] = type(_name, (BoundPriorContract,), {"make_prior": _prior})
for _prior in [*PRIORS[1:], *BOUND]:
    _name = f"TestRectificationWith{_prior.__name__}"
    _model = partial(Rectification, prior=_prior)
    globals()[_name] = type(_name, (ModelContract,), {"make_model": _model, "make_guide": _small_guide})
for _prior in BOUND:
    _name = f"TestGatedRectificationWith{_prior.__name__}"
    _model = partial(GatedRectification, prior=_prior)
    _gated = partial(Gated, vector=_small_guide)
    globals()[_name] = type(_name, (ModelContract,), {"make_model": _model, "make_guide": _gated})


class TestUnboundedPriorNetwork(PriorContract):
    make_prior = partial(PriorNetwork, hidden=(8,), log_variance_bounds=None)


class TestPriorNetworkWithoutHiddenLayers(PriorContract):
    make_prior = partial(PriorNetwork, hidden=())


MATRIX = [[0.7, 0.3, 0.0, 0.0], [0.0, 0.7, 0.3, 0.0], [0.0, 0.0, 0.7, 0.3], [0.3, 0.0, 0.0, 0.7]]


class TestForwardCorrection(ModelContract):
    make_model = partial(ForwardCorrection, matrix=MATRIX)
    make_guide = NoLatents


def test_every_exported_class_is_under_contract() -> None:
    assert untested(vri_pyro.models.__all__, MODELS, WITH_OPTIONS, PRIORS, BOUND) == set()


def _output(batch: int = 5, features: int = 6, classes: int = 4) -> ClassifierOutput:
    return ClassifierOutput(torch.randn(batch, classes), torch.randn(batch, features))


LINKS: dict[str, tuple[nn.Module | None, Callable[[Tensor], Tensor]]] = {
    "sigmoid by default": (None, lambda v: 1 / (1 + (-v).exp())),
    "Sigmoid": (nn.Sigmoid(), lambda v: 1 / (1 + (-v).exp())),
    "Tanh": (nn.Tanh(), lambda v: 1 - 2 / ((2 * v).exp() + 1)),
    "Softplus": (nn.Softplus(), lambda v: (1 + v.exp()).log()),
    "Identity": (nn.Identity(), lambda v: v),
}


@pytest.mark.parametrize(("link", "formula"), LINKS.values(), ids=LINKS.keys())
def test_rectifier_is_the_link_of_the_latent_and_multiplies_the_logits(
    link: nn.Module | None, formula: Callable[[Tensor], Tensor]
) -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])
    model = Rectification(6, 4, prior=partial(PriorNetwork, hidden=(3,)), link=link)
    trace = poutine.trace(model).get_trace(output, y)
    v = trace.nodes["v"]["value"]
    torch.testing.assert_close(trace.nodes["rectifier"]["value"], formula(v))
    expected = -F.cross_entropy(formula(v) * output.logits, y, reduction="none")
    torch.testing.assert_close(trace.nodes["y"]["fn"].log_prob(y), expected)


def test_rectification_has_a_vector_a_rectifier_and_a_label_per_example() -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])
    trace = poutine.trace(Rectification(6, 4)).get_trace(output, y)
    sites = {name: s for name, s in trace.nodes.items() if s["type"] == "sample" and name != "data"}
    assert list(sites) == ["v", "rectifier", "y"]
    assert [s["is_observed"] for s in sites.values()] == [False, True, True]
    assert sites["v"]["value"].shape == sites["rectifier"]["value"].shape == (5, 4)
    assert sites["v"]["fn"].event_shape == (4,)


def test_prior_of_the_vector_is_the_given_one() -> None:
    class Wide(PriorNetwork):
        def forward(self, features: Tensor) -> dist.Distribution:
            return dist.Normal(features[:, :4], 9.0).to_event(1)

    model, output = Rectification(6, 4, prior=Wide), _output()
    prior = poutine.trace(model).get_trace(output).nodes["v"]["fn"]
    torch.testing.assert_close(prior.mean, output.features[:, :4])


def test_prior_predictive_of_cross_entropy_has_the_softmax_probabilities() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0]).expand(20_000, 3)
    labels = CrossEntropy(2, 3)(ClassifierOutput(logits, torch.zeros(20_000, 2)))
    assert_mean_within_four_standard_errors(F.one_hot(labels, 3).double(), logits[0].softmax(-1))


def test_prior_predictive_of_rectification_is_flatter_than_softmax() -> None:
    # A rectifier in (0, 1) shrinks the logits; if it were ignored, the frequency would be the softmax's.
    logits = torch.tensor([3.0, 0.0, 0.0]).expand(5_000, 3)
    labels = Rectification(2, 3)(ClassifierOutput(logits, torch.zeros(5_000, 2)))
    frequency = (labels == 0).double().mean()
    assert 0.4 < frequency < logits[0].softmax(-1)[0] - 0.1


@pytest.mark.parametrize("bounds", [(-2.0, 2.0), (-9.0, -8.5), (0.0, 1e-3)])
def test_bounded_log_variance_stays_in_its_interval_whatever_the_features(bounds: tuple[float, float]) -> None:
    prior = PriorNetwork(6, 4, hidden=(8,), log_variance_bounds=bounds)
    _blow_up(prior.network)
    log_variance = prior(1e6 * torch.randn(50, 6)).variance.log()
    low, high = bounds
    assert ((log_variance >= low - 1e-9) & (log_variance <= high + 1e-9)).all()
    assert log_variance.min() < low + 0.01 * (high - low)
    assert log_variance.max() > high - 0.01 * (high - low)


def test_log_variance_of_the_prior_is_bounded_by_default() -> None:
    features = torch.randn(50, 6)
    bounded, unbounded = PriorNetwork(6, 4, hidden=(8,)), PriorNetwork(6, 4, hidden=(8,), log_variance_bounds=None)
    for prior in (bounded, unbounded):
        _blow_up(prior.network)
    assert bounded(features).variance.log().abs().max() <= 2.0 + 1e-9
    assert unbounded(features).variance.log().abs().max() > 10.0


def _blow_up(network: DiagonalNormalNetwork) -> None:
    with torch.no_grad():
        network.log_variance.weight.mul_(1e2)


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, -2.0), (0.0, float("nan"))])
def test_empty_bounds_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=r"log_variance_bounds is \(.*\); expected \(low, high\) with low < high"):
        PriorNetwork(6, 4, log_variance_bounds=bounds)


def test_layers_of_the_prior_network_are_as_wide_as_the_papers() -> None:
    assert _widths(PriorNetwork(64, 10)) == [(64, 1024), (1024, 512), (512, 10), (512, 10)]


def _widths(module: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def test_mean_and_variance_of_the_network_are_separate_functions_of_the_last_layer() -> None:
    network = DiagonalNormalNetwork(3, 2, hidden=(5,))
    x = torch.randn(4, 3)
    hidden = (x @ network.body[0].weight.T + network.body[0].bias).tanh()
    normal = network(x)
    torch.testing.assert_close(normal.mean, hidden @ network.location.weight.T + network.location.bias)
    torch.testing.assert_close(
        normal.variance.log(), hidden @ network.log_variance.weight.T + network.log_variance.bias
    )


@pytest.mark.parametrize("kind", PRIORS)
def test_exported_prior_is_a_prior(kind: type) -> None:
    assert issubclass(kind, Prior)


def test_learned_and_standard_normal_are_the_same_for_all_examples() -> None:
    for prior in (StandardNormal(6, 4, scale=2.0), LearnedNormal(6, 4)):
        p = prior(torch.randn(5, 6))
        assert (p.mean == p.mean[0]).all()
        assert (p.variance == p.variance[0]).all()
    assert (StandardNormal(6, 4, scale=2.0)(torch.randn(5, 6)).variance == 4.0).all()


def test_mixture_is_the_sum_of_its_components() -> None:
    prior = MixtureOfNormals(6, 4, components=3)
    with torch.no_grad():
        prior.log_weights.copy_(torch.tensor([0.0, 1.0, -1.0]))
    v = torch.randn(5, 4)
    scale = (0.5 * (-2 + 4 * prior.log_variances.sigmoid())).exp()
    parts = dist.Normal(prior.locations, scale).to_event(1).log_prob(v[:, None])
    expected = (parts + prior.log_weights.log_softmax(-1)).logsumexp(-1)
    torch.testing.assert_close(prior(torch.randn(5, 6)).log_prob(v), expected)


def test_vamp_prior_is_the_mean_of_the_posteriors_at_its_inputs() -> None:
    guide, prior = _small_guide(6, 4), VampPrior(6, 4, components=3)
    prior.bind(guide)
    v = torch.randn(5, 4)
    expected = guide.distribution(prior.pseudo_inputs).log_prob(v[:, None]).logsumexp(-1) - torch.tensor(3.0).log()
    torch.testing.assert_close(prior(torch.randn(5, 6)).log_prob(v), expected)


def test_vamp_prior_accepts_another_guide() -> None:
    prior = _bound_vamp(_small_guide(6, 4))
    narrow = DiagonalNormal(6, 4, hidden=(5,), inputs=[Logits])
    prior.bind(narrow)
    assert prior.pseudo_inputs.shape == (10, 4)
    assert prior(torch.randn(5, 6)).sample().shape == (5, 4)


def test_masked_guide_is_the_guide_with_zeros_for_the_label() -> None:
    guide, prior, features = _small_guide(6, 4), MaskedGuide(6, 4), torch.randn(5, 6)
    prior.bind(guide)
    expected = guide.distribution(torch.cat([features, torch.zeros(5, 64)], -1))
    torch.testing.assert_close(prior(features).mean, expected.mean)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: StandardNormal(6, 4, scale=0.0), "scale is 0.0"),
        (lambda: MixtureOfNormals(6, 4, components=1), "components is 1"),
        (lambda: VampPrior(6, 4, components=1), "components is 1"),
        (lambda: VampPrior(6, 4)(torch.randn(5, 6)), "VampPrior has no guide yet; call"),
        (lambda: MaskedGuide(6, 4)(torch.randn(5, 6)), "MaskedGuide has no guide yet; call"),
        (lambda: VampPrior(6, 4).bind(NoLatents(6, 4)), "NoLatents has no attributes distribution and inputs"),
        (lambda: MaskedGuide(6, 4).bind(NoLatents(6, 4)), "NoLatents has no method posterior"),
        (lambda: _bound_vamp(DiracVector(6, 4, hidden=()))(torch.randn(5, 6)), "needs a guide with a diagonal normal"),
        (
            lambda: _bound_vamp(LowRankNormal(6, 4, hidden=()))(torch.randn(5, 6)),
            "needs a guide with a diagonal normal",
        ),
    ],
)
def test_invalid_options_and_guides_of_a_prior_are_refused(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make()


def _bound_vamp(guide: Guide) -> VampPrior:
    prior = VampPrior(6, 4)
    prior.bind(guide)
    return prior


def test_gate_scales_the_likelihood_by_normalised_weights() -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])
    trace = poutine.trace(WeightedCrossEntropy(6, 4)).get_trace(output, y)
    gate = trace.nodes["gate"]["value"]
    assert gate.shape == (5,)
    weight = gate.sigmoid() / gate.sigmoid().mean()
    torch.testing.assert_close(trace.nodes["weight"]["value"], weight)
    torch.testing.assert_close(trace.nodes["y"]["scale"], weight)
    terms = RectificationELBO().terms(WeightedCrossEntropy(6, 4), _OpenGate(), output, y)
    torch.testing.assert_close(terms.log_likelihood, -F.cross_entropy(output.logits, y, reduction="none"))


class _OpenGate(Guide):
    """Equal gates, so that all normalised weights are 1."""

    def forward(self, output: ClassifierOutput, y: Tensor) -> None:
        with pyro.plate("data", len(y)):
            pyro.sample("gate", dist.Normal(3.0 * torch.ones(len(y)), 1e-9))


def test_gate_switches_an_example_off() -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])
    output.logits.requires_grad_()

    class Shut(_OpenGate):
        def forward(self, output: ClassifierOutput, y: Tensor) -> None:
            with pyro.plate("data", len(y)):
                pyro.sample("gate", dist.Normal(torch.tensor([-60.0, 1.0, 1.0, 1.0, 1.0]), 1e-9))

    RectificationELBO().terms(WeightedCrossEntropy(6, 4), Shut(), output, y).loss(0.0).backward()
    assert output.logits.grad is not None
    assert output.logits.grad[0].abs().max() < 1e-20
    torch.testing.assert_close(output.logits.grad[1:], (output.logits.softmax(-1) - F.one_hot(y, 4))[1:].detach() / 4)


def test_corrected_cross_entropy_is_the_cross_entropy_against_the_soft_label() -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])
    model, guide = CorrectedCrossEntropy(6, 4), LabelCorrection(6, 4, hidden=(8,))
    soft = guide(output, y)
    terms = RectificationELBO().terms(model, guide, output, y)
    torch.testing.assert_close(terms.log_likelihood, -F.cross_entropy(output.logits, soft, reduction="none"))
    torch.testing.assert_close(terms.loss(kl_weight=0.0), F.cross_entropy(output.logits, soft))


def test_soft_label_that_is_the_given_one_leaves_the_cross_entropy() -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])

    def believing(output: ClassifierOutput, y: Tensor) -> None:
        with pyro.plate("data", len(y)):
            pyro.sample("soft_label", dist.Delta(F.one_hot(y, 4).double(), event_dim=1))

    terms = RectificationELBO().terms(CorrectedCrossEntropy(6, 4), believing, output, y)
    torch.testing.assert_close(terms.loss(kl_weight=0.0), F.cross_entropy(output.logits, y))


def test_forward_correction_gives_labels_by_the_matrix_rows_of_the_true_class() -> None:
    output, y = _output(), torch.tensor([0, 1, 2, 3, 0])
    model = ForwardCorrection(6, 4, MATRIX)
    terms = RectificationELBO().terms(model, NoLatents(6, 4), output, y)
    expected = (output.logits.softmax(-1) @ torch.tensor(MATRIX)).gather(1, y[:, None]).log().squeeze(-1)
    torch.testing.assert_close(terms.log_likelihood, expected)
    assert "transition" in model.state_dict()


def test_forward_correction_reads_its_matrix_from_a_file_and_refuses_an_invalid_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.array(MATRIX))
    torch.testing.assert_close(ForwardCorrection(6, 4, tmp_path / "matrix.npy").transition, torch.tensor(MATRIX))
    with pytest.raises(UserError):
        ForwardCorrection(6, 3, MATRIX)
    with pytest.raises(UserError, match="must be non-negative"):
        ForwardCorrection(6, 2, [[1.2, -0.2], [0.0, 1.0]])
