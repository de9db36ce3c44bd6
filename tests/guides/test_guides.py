"""Guides: their contracts, and the properties of each guide."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from infer.contracts import GuideContract, untested
from pyro import poutine
from torch import nn

import vri_pyro.guides
from vri_pyro.guides import (
    DiagonalNormal,
    DiracVector,
    Features,
    Gated,
    Hierarchical,
    LabelCorrection,
    LabelEmbedding,
    LabelOneHot,
    Logits,
    Loss,
    LowRankNormal,
    NoLatents,
    NormalisingFlow,
    ScalarWeight,
)
from vri_pyro.interfaces.base import Guide
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.models import (
    CorrectedCrossEntropy,
    CrossEntropy,
    GatedRectification,
    HierarchicalRectification,
    Rectification,
    WeightedCrossEntropy,
)
from vri_pyro.utils.errors import UserError

# Every exported guide with a model that it fits. To test a new guide, add it here.
GUIDES: dict[type, type] = {
    DiagonalNormal: Rectification,
    LowRankNormal: Rectification,
    NormalisingFlow: Rectification,
    DiracVector: Rectification,
    Gated: GatedRectification,
    Hierarchical: HierarchicalRectification,
    ScalarWeight: WeightedCrossEntropy,
    LabelCorrection: CorrectedCrossEntropy,
    NoLatents: CrossEntropy,
}
INPUTS: list[type] = [Features, Logits, LabelEmbedding, LabelOneHot, Loss]

for _guide, _model in GUIDES.items():
    _name = f"Test{_guide.__name__}"
    globals()[_name] = type(_name, (GuideContract,), {"make_guide": _guide, "make_model": _model})


class TestSmallDiagonalNormal(GuideContract):
    make_guide = partial(DiagonalNormal, hidden=(), inputs=[Features, partial(LabelEmbedding, dim=1)])
    make_model = Rectification


def test_every_exported_class_is_under_contract() -> None:
    assert untested(vri_pyro.guides.__all__, GUIDES, INPUTS) == set()


@pytest.mark.parametrize("kind", GUIDES)
def test_exported_guide_is_a_guide(kind: type) -> None:
    assert issubclass(kind, Guide)


def _data() -> tuple[ClassifierOutput, torch.Tensor]:
    return ClassifierOutput(torch.randn(5, 4), torch.randn(5, 6)), torch.tensor([0, 1, 2, 3, 0])


def test_diagonal_normal_has_one_vector_per_example() -> None:
    trace = poutine.trace(DiagonalNormal(6, 4)).get_trace(*_data())
    site = trace.nodes["v"]
    assert [name for name, s in trace.nodes.items() if s["type"] == "sample"] == ["data", "v"]
    assert site["fn"].batch_shape == (5,)
    assert site["fn"].event_shape == (4,)


def test_diagonal_normal_depends_on_the_label_and_on_the_features() -> None:
    guide, (output, y) = DiagonalNormal(6, 4), _data()

    def location(output: ClassifierOutput, y: torch.Tensor) -> torch.Tensor:
        return poutine.trace(guide).get_trace(output, y).nodes["v"]["fn"].mean

    there = location(output, y)
    assert ((location(output, (y + 1) % 4) - there).abs().amax(-1) > 0).all()
    assert ((location(output._replace(features=output.features + 1), y) - there).abs().amax(-1) > 0).all()
    assert torch.equal(location(output._replace(logits=output.logits + 1), y), there)


def test_layers_of_the_meta_network_are_as_wide_as_the_papers() -> None:
    guide = DiagonalNormal(64, 10)
    widths = [(m.in_features, m.out_features) for m in guide.modules() if isinstance(m, nn.Linear)]
    assert widths == [(64 + 64, 1024), (1024, 512), (512, 10), (512, 10)]
    (embedding,) = (m for m in guide.modules() if isinstance(m, nn.Embedding))
    assert (embedding.num_embeddings, embedding.embedding_dim) == (10, 64)


def test_no_latents_samples_nothing() -> None:
    trace = poutine.trace(NoLatents(6, 4)).get_trace(*_data())
    assert not [name for name, s in trace.nodes.items() if s["type"] == "sample"]
    assert not list(NoLatents(6, 4).parameters())


EVERY_INPUT = [Features, Logits, LabelEmbedding, LabelOneHot, Loss]


class TestDiagonalNormalThatSeesEverything(GuideContract):
    make_guide = partial(DiagonalNormal, hidden=(8,), inputs=EVERY_INPUT)
    make_model = Rectification


class TestFlowOfThree(GuideContract):
    make_guide = partial(NormalisingFlow, hidden=(8,), transforms=3)
    make_model = Rectification


@pytest.mark.parametrize("part", EVERY_INPUT)
def test_inputs_have_their_width_and_are_zero_without_a_label(part: type) -> None:
    output, y = _data()
    made = part(6, 4)
    assert made(output, y).shape == (5, made.width)
    masked = made(output, None)
    assert masked.shape == (5, made.width)
    if part not in (Features, Logits):
        assert (masked == 0).all()
        assert (made(output, y) != 0).any()


def test_inputs_are_concatenated_in_their_order() -> None:
    output, y = _data()
    guide = DiagonalNormal(6, 4, hidden=(), inputs=[LabelOneHot, Loss, Features])
    seen = guide.inputs(output, y)
    assert seen.shape == (5, 4 + 1 + 6)
    torch.testing.assert_close(seen[:, :4].argmax(-1), y)
    torch.testing.assert_close(seen[:, 4], nn.functional.cross_entropy(output.logits, y, reduction="none"))
    torch.testing.assert_close(seen[:, 5:], output.features)


def test_no_gradient_passes_through_logits_and_loss() -> None:
    output, y = _data()
    output.logits.requires_grad_()
    assert not DiagonalNormal(6, 4, inputs=[Logits, Loss, LabelOneHot]).inputs(output, y).requires_grad


def test_low_rank_normal_has_the_covariance_of_its_parts() -> None:
    q = LowRankNormal(6, 4, rank=3, hidden=(8,)).posterior(*_data())
    expected = q.cov_factor @ q.cov_factor.mT + q.cov_diag.diag_embed()
    torch.testing.assert_close(q.covariance_matrix, expected)
    assert q.cov_factor.shape == (5, 4, 3)
    assert (q.covariance_matrix.diagonal(dim1=-2, dim2=-1) > q.cov_diag).all()


def test_flow_has_the_density_of_its_samples() -> None:
    torch.manual_seed(0)
    q = NormalisingFlow(6, 2, hidden=(8,)).double().posterior(*_two_classes())
    grid = torch.cartesian_prod(*[torch.linspace(-9, 9, 301, dtype=torch.float64)] * 2)[:, None].expand(-1, 3, -1)
    density = q.log_prob(grid).exp()
    cell = (18 / 300) ** 2
    torch.testing.assert_close(density.sum(0) * cell, torch.ones(3, dtype=torch.float64), rtol=1e-3, atol=1e-3)
    draws = q.sample((20_000,))
    mean = (density[..., None] * grid).sum(0) * cell
    assert (draws.mean(0) - mean).abs().max() < 4 * draws.std(0).max() / 20_000**0.5 + 2e-3


def _two_classes() -> tuple[ClassifierOutput, torch.Tensor]:
    logits, features = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    return ClassifierOutput(logits, features), torch.tensor([0, 1, 0])


def test_dirac_vector_is_the_same_at_every_draw() -> None:
    q = DiracVector(6, 4, hidden=(8,)).posterior(*_data())
    assert torch.equal(q.rsample(), q.rsample())
    assert q.event_shape == (4,)


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        (LowRankNormal, {"rank": 0}, "rank is 0; expected a value >= 1"),
        (NormalisingFlow, {"transforms": 0}, "transforms is 0; expected a value >= 1"),
        (DiagonalNormal, {"inputs": []}, "the inputs of a guide are empty; expected at least one"),
    ],
)
def test_impossible_options_are_named(kind: type, options: dict, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        kind(6, 4, **options)


def test_label_correction_gives_a_distribution_over_classes_from_features_and_label() -> None:
    guide, (output, y) = LabelCorrection(6, 4), _data()
    soft = guide(output, y)
    assert soft.shape == (5, 4)
    torch.testing.assert_close(soft.sum(-1), torch.ones(5))
    assert (soft > 0).all()
    assert ((guide(output, (y + 1) % 4) - soft).abs().amax(-1) > 0).all()
    assert ((guide(output._replace(features=output.features + 1), y) - soft).abs().amax(-1) > 0).all()
    assert torch.equal(guide(output._replace(logits=output.logits + 1), y), soft)


def test_layers_of_the_label_correction_network_are_as_wide_as_the_authors() -> None:
    widths = [(m.in_features, m.out_features) for m in LabelCorrection(64, 10).modules() if isinstance(m, nn.Linear)]
    assert widths == [(64 + 64, 128), (128, 128), (128, 10)]


@pytest.mark.parametrize("dirac", [True, False])
def test_activation_of_the_scalar_weight_is_an_option(dirac: bool) -> None:
    def activations(**options: object) -> list[type]:
        kinds = [type(module) for module in ScalarWeight(6, 4, dirac=dirac, **options).modules()]  # type: ignore[arg-type]
        return [kind for kind in kinds if kind in (nn.Tanh, nn.ReLU)]

    assert activations() == [nn.Tanh]
    assert activations(hidden=(3, 2), activation=nn.ReLU) == [nn.ReLU, nn.ReLU]


def test_scalar_weight_with_relu_is_the_meta_weight_network() -> None:
    guide, (output, y) = ScalarWeight(6, 4, hidden=(100,), activation=nn.ReLU), _data()
    first, last = (m for m in guide.modules() if isinstance(m, nn.Linear))
    assert (first.in_features, first.out_features, last.out_features) == (1, 100, 1)
    trace = poutine.trace(WeightedCrossEntropy(6, 4)).get_trace
    with poutine.replay(trace=poutine.trace(guide).get_trace(output, y)):
        weight = trace(output, y).nodes["weight"]["value"]
    loss = nn.functional.cross_entropy(output.logits, y, reduction="none").unsqueeze(-1)
    expected = last(first(loss).relu()).sigmoid().squeeze(-1)
    torch.testing.assert_close(weight / len(y), expected / expected.sum())
