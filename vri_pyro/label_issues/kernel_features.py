"""Features of Gaussian kernels, with which logistic regressions become non-linear."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_COMPONENTS = 200
_NARROWER = (1.0, 4.0, 16.0)  # inverse squares of the kernels' widths, in units of that of the widest
_VARIANCE = 0.3  # of a component, beside standardised features; with more, heads need stronger priors


def designs(features: np.ndarray, most: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the features themselves, and then features and components of ever narrower Gaussian kernels.

    The squared width of the widest kernel is the number of columns: half the mean squared distance of two examples.

    Args:
        features: standardised features, [n, D].
        most: largest number of elements of an array that is yielded; there are no kernels beyond it.
        seed: seed of the examples from which the kernels are computed.

    Reference: Williams & Seeger, Using the Nyström method to speed up kernel machines, NeurIPS 2000.
    """
    yield features
    components = min(_COMPONENTS, len(features))
    if len(features) * (features.shape[1] + components) > most:
        return
    from sklearn.kernel_approximation import Nystroem  # slow to import

    for narrower in _NARROWER:
        kernel = Nystroem(gamma=narrower / (2 * features.shape[1]), n_components=components, random_state=seed % 2**32)
        part = kernel.fit_transform(features)
        part -= part.mean(0)
        scale = np.sqrt(part.var(0).mean() / _VARIANCE)
        if not scale > 0:
            return
        yield np.hstack([features, part / scale])
