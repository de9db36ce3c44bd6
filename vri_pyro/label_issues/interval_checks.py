"""What an interval of the noise rate leaves out: it is widened, and warnings say why."""

from __future__ import annotations

import warnings

import numpy as np

from vri_pyro.label_issues.chance import hardly_above
from vri_pyro.label_issues.checked_arrays import CheckedArrays
from vri_pyro.label_issues.joint_posterior import JointPosterior

_NEAR = 0.05  # difference between shares of labels that is not worth a warning
_ENOUGH = 10  # trusted examples that tell whether predictions are above chance
_LITTLE = 0.15  # share of the way from chance to 1 for agreement with noisy labels, which noise lowers
_MANY = 50  # labels, from which on probabilities that agree with all of them are worth a warning
_FAR = 3.5  # standard errors between verified labels and the posterior that are worth a warning


def checked_interval(
    posterior: JointPosterior, decided: np.ndarray, arrays: CheckedArrays, chosen: bool
) -> list[float]:
    """Return the 95% interval of the noise rate, widened where it rests on an assumption that nothing supports.

    * Without trusted examples, it reaches at least to the share of labels that differ from the predictions.
    * If the predictions are hardly above chance, so that any noise rate is consistent with them, it also starts at 0.

    Args:
        posterior: posterior of the unverified labels.
        decided: predicted class of each example, out of sample, int64 [N].
        arrays: what the user has passed.
        chosen: whether the verified examples were chosen by their scores, so that they are not compared.

    Warns:
        UserWarning: the probabilities agree with every label, the interval is widened, the estimate is less than half
            of the share of labels that differ from the predictions, or the verified labels do not fit the posterior.
    """
    _warn_of_in_sample(arrays)
    low, high = posterior.transition.noise_rate_interval()
    differing = float((decided != arrays.codes).mean())
    trusted = arrays.trusted
    if trusted.sum() >= _ENOUGH:
        right, of = float((decided == arrays.known)[trusted].mean()), "trusted examples"
        useless = hardly_above(1 / len(arrays.classes), right)
    else:
        right, of = 1 - differing, "labels"
        useless = hardly_above(float(np.bincount(arrays.codes).max() / len(decided)), right, _LITTLE)
    if useless:
        warnings.warn(
            f"out-of-sample predictions agree with {right:.0%} of the {of}, hardly above chance: wrong labels cannot "
            "be identified, and their share may be anything; pass features that tell the classes apart, or pred_probs "
            "of a classifier that does",
            stacklevel=3,
        )
        return [0.0, max(high, differing)]
    if not trusted.any():
        if differing > min(high, 2 * posterior.noise_rate) + _NEAR:
            warnings.warn(
                f"out-of-sample predictions differ from {differing:.0%} of the labels, and without trusted examples "
                f"nothing tells which of the two are wrong, so the noise rate may be up to {differing:.0%} and the "
                "scores may be too low; the ranking needs no trusted examples, but the noise rate does",
                stacklevel=3,
            )
        high = max(high, differing)
    if not chosen:
        _compare_with_verified(posterior, decided, arrays)
    return [low, high]


def _warn_of_in_sample(arrays: CheckedArrays) -> None:
    """Warn if the user's probabilities agree with every label, wrong ones included."""
    count = len(arrays.codes)
    if arrays.pred_probs is None or count < _MANY or (arrays.pred_probs.argmax(1) != arrays.codes).any():
        return
    warnings.warn(
        f"pred_probs agree with every one of the {count} labels, as those of a classifier do that was trained on these "
        "labels; such probabilities cannot show wrong labels, so compute them out of sample, for example with "
        "sklearn.model_selection.cross_val_predict; if they are out of sample, they give no sign of wrong labels",
        stacklevel=4,
    )


def _compare_with_verified(posterior: JointPosterior, decided: np.ndarray, arrays: CheckedArrays) -> None:
    """Warn if verified labels were wrong more or less often than the posterior says of the others.

    Labels that differ from the prediction, and those that do not, are compared apart, so that it does no harm if more
    of one kind were verified.
    """
    checked = arrays.earlier >= 0
    differs, wrong = decided != arrays.codes, arrays.known != arrays.codes
    found = expected = variance = count = 0.0
    for kind in (differs, ~differs):
        others, verified = kind[~arrays.trusted], kind & checked
        if others.any() and verified.any():
            size, share = float(verified.sum()), float(posterior.wrong[others].mean())
            found, expected, count = found + float(wrong[verified].sum()), expected + size * share, count + size
            variance += size * share * (1 - share)
    variance += (count * float(posterior.transition.noise_rate.std(correction=0))) ** 2
    if abs(found - expected) > _FAR * np.sqrt(variance) + 0.5:
        warnings.warn(
            f"{found:.0f} of {count:.0f} verified labels were wrong, where the estimate from all labels expects "
            f"{expected:.0f}: the noise is of a kind that it does not describe; if the verified examples are a random "
            "sample, use vri_pyro.certification.certify, which needs no such description",
            stacklevel=4,
        )
