"""Features of Gaussian kernels, with which logistic regressions become non-linear."""

from __future__ import annotations

import numpy as np

COMPONENTS = 200
NARROWER = (1.0, 4.0, 16.0)  # inverse squares of the kernels' widths, in units of that of the widest
_VARIANCE = 0.3  # mean over the components, beside standardised features; with more, heads need stronger priors
_CONSTANT = 1e-6  # spread of components below which they are rounding errors; theirs is 0.01 to 1 where examples differ


def with_kernel(features: np.ndarray, narrower: float, seed: int) -> np.ndarray:
    """Return features and components of a Gaussian kernel beside them, [n, D + m] with m = min(n, 200).

    The squared width of the widest kernel is the number of columns: half the mean squared distance of two examples.

    Args:
        features: standardised features, [n, D].
        narrower: inverse square of the kernel's width, in units of that of the widest.
        seed: seed of the examples from which the kernel is computed.

    Reference: Williams & Seeger, Using the Nyström method to speed up kernel machines, NeurIPS 2000.
    """
    from sklearn.kernel_approximation import Nystroem  # slow to import

    kernel = Nystroem(
        gamma=narrower / (2 * features.shape[1]),
        n_components=min(COMPONENTS, len(features)),
        random_state=seed % 2**32,
    )
    # In single precision, rounding errors become components of their own where examples are alike.
    part = kernel.fit_transform(features.astype(np.float64))
    part -= part.mean(0)
    scale = np.sqrt(part.var(0).mean() / _VARIANCE)
    part *= 0 if scale < _CONSTANT else 1 / scale
    return np.hstack([features, part.astype(features.dtype)])
