"""Guides: their contracts, and what each promises beyond them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from pyro import poutine
from torch import nn

import vri_pyro.guides
from vri_pyro.classifier import ClassifierOutput
from vri_pyro.guides import DiagonalNormal, NoLatents
from vri_pyro.models import CrossEntropy, Rectification
from vri_pyro.pairs import Guide

from .contracts import GuideContract, untested

# Every exported guide with a model for it. A new one is tested by naming it here.
GUIDES: dict[type, type] = {DiagonalNormal: Rectification, NoLatents: CrossEntropy}

for _guide, _model in GUIDES.items():
    _name = f"Test{_guide.__name__}"
    globals()[_name] = type(_name, (GuideContract,), {"make_guide": _guide, "make_model": _model})


class TestSmallDiagonalNormal(GuideContract):
    make_guide = partial(DiagonalNormal, hidden=(), embedding_dim=1)
    make_model = Rectification


def test_every_exported_class_is_under_contract() -> None:
    assert untested(vri_pyro.guides.__all__, GUIDES) == set()


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
    assert widths == [(64 + guide.embedding.embedding_dim, 1024), (1024, 512), (512, 10), (512, 10)]
    assert guide.embedding.num_embeddings == 10


def test_no_latents_samples_nothing() -> None:
    trace = poutine.trace(NoLatents(6, 4)).get_trace(*_data())
    assert not [name for name, s in trace.nodes.items() if s["type"] == "sample"]
    assert not list(NoLatents(6, 4).parameters())
