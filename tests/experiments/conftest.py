"""Pages and scripts are tested for what they show, not for the accuracy of the noise rate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _short_chains() -> Iterator[None]:
    """Shorten the sampler of the noise rate, whose accuracy is tested in tests/label_issues."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vri_pyro.label_issues.two_observers._SWEEPS", 10)
        patch.setattr("vri_pyro.label_issues.two_observers._BETWEEN", 2)
        yield
