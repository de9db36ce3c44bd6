"""Check that an exported network computes the probabilities of the run's classifier."""

from __future__ import annotations

import warnings

import numpy as np
from jsonargparse import ArgumentParser

from vri_pyro.data import Source
from vri_pyro.data.validation import check_inputs
from vri_pyro.runs.export.format import stored_shape
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.trust import check_classes, importing, without_downloads
from vri_pyro.utils.errors import UserError

#: largest accepted difference of a probability
TOLERANCE = 1e-5
_COUNT = 256


def inputs_to_check(predictor: Predictor) -> tuple[np.ndarray, str]:
    """Return inputs on which to compare networks, and a description of them.

    They are training inputs of the run, evenly spaced, if its data are available; otherwise they are random.
    """
    found = _training_inputs(predictor)
    return (_random_inputs(predictor), "random") if found is None else (found, "training")


def check_difference(expected: np.ndarray, found: np.ndarray, name: str) -> float:
    """Return the largest difference between two arrays of probabilities.

    Args:
        expected: probabilities of the run's classifier, float32 [N, K].
        found: probabilities of the exported network, float32 [N, K].
        name: name of the format, for the message.

    Raises:
        UserError: the difference is larger than :data:`TOLERANCE`.
    """
    difference = float(np.abs(expected - found).max()) if expected.shape == found.shape else np.inf
    if not difference <= TOLERANCE:
        raise UserError(
            f"the probabilities of the {name} export differ from those of the run by {difference:.1e}, more than "
            f"{TOLERANCE:.0e}, so nothing was written; choose another --format"
        )
    return difference


def _training_inputs(predictor: Predictor) -> np.ndarray | None:
    data = {"data": predictor.options.get("data")}
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--data", type=Source)
    try:
        if not predictor.trust:
            check_classes(data := without_downloads(data), "the run")
        with warnings.catch_warnings(), importing(predictor.trust):
            warnings.simplefilter("ignore")  # warnings about labels do not matter here
            inputs = parser.instantiate(parser.parse_object(data)).data.load().x_train
            chosen = inputs[np.unique(np.linspace(0, len(inputs) - 1, _COUNT).astype(np.int64))]
            found = np.asarray(check_inputs("x", chosen))
    except Exception:  # a source may raise anything if its data are not available, and random inputs do as well
        return None
    same = found.shape[1:] == stored_shape(predictor.shape) and str(found.dtype) == predictor.dtype
    return found if same else None


def _random_inputs(predictor: Predictor) -> np.ndarray:
    generator, shape = np.random.default_rng(0), (_COUNT, *stored_shape(predictor.shape))
    if predictor.dtype == "uint8":
        return generator.integers(256, size=shape, dtype=np.uint8)
    return (predictor.mean + predictor.std * generator.standard_normal(shape)).astype(np.float32)
