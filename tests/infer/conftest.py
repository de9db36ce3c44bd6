"""The engine is tested in double precision, with Pyro's validation on."""

from __future__ import annotations

from collections.abc import Iterator

import pyro
import pytest
import torch

# PyTorch does not implement Dirichlet draws on the device "meta", which the device tests need.
_META = torch.library.Library("aten", "IMPL", "Meta")
_META.impl("_sample_dirichlet", lambda concentration, generator=None: torch.empty_like(concentration))
_META.impl("_dirichlet_grad", lambda x, concentration, total: torch.empty_like(x))


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def _validation() -> Iterator[None]:
    with pyro.validation_enabled(True):
        yield
