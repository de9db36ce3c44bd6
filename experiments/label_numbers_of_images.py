"""The numbers about labels of images: coverage, width, calibration and ranking of VRIClassifier and alternatives.

    python experiments/label_numbers_of_images.py --data DIR [--seed 0] [--cells 20] [--jobs 2] [--output FILE]

Every cell is a data set, a noise, a rate and a number of trusted labels a class, beside 4,000 labels that are not
trusted. The records file is written after each cell, and cells that it has are not repeated; a page and a picture are
written beside it. "Ours" is what ``VRIClassifier`` states with its default options. Under the noise "open", images of
another data set, which belong to no class, replace some; their labels count as wrong. The alternatives are 100 and 200
random checks by hand with Wilson's interval, the certificate of 100 checks, whose scores are the package's, and its
prediction-powered interval, cleanlab's estimate from the confident joint with a bootstrap, and the rate of GLC's matrix
with a bootstrap of the trusted labels. Their predictions are cross-validated in three folds, by the same network, which
cross entropy trains on all labels. "Predictions" are the numbers of ``find_label_issues``, given these. "Margin" ranks
by the margin of the label, averaged over the training of the same network. Isotonic regression on the trusted labels,
of which it is told how they were labelled with the noise, makes probabilities of cleanlab's scores and of margins.

That images are judged by regressions as well was designed on the cells of seed 0; those of seed 3 were measured after.
"""

from __future__ import annotations

import sys
import warnings
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.alternatives import compared
from bench.from_arrays import from_arrays
from bench.judging import entries, stated, timed
from bench.labelled import FOREIGN, NOISES, Setting, cells
from bench.labelled_images import IMAGES, noisy_images
from bench.margin import averaged_margins
from bench.numbers import Numbers
from sklearn.model_selection import StratifiedKFold

from vri_pyro import VRIClassifier
from vri_pyro.backbones import SmallCNN
from vri_pyro.data import mean_and_std

_FOLDS = 3


def measure(cell: Setting, seed: int, folder: Path) -> dict[str, Any]:
    """Measure all methods on one cell; seconds are those of the CPU."""
    generator = np.random.default_rng([seed, zlib.crc32(repr(cell).encode())])
    data = noisy_images(cell, generator, folder)
    labels, noisy, wrong = data.labels, ~data.trusted, data.wrong[~data.trusted]
    classifier, took = timed(lambda: trained(data.x, labels.given, seed, data.trusted))
    (scores, rate, ends), judging_took = timed(lambda: numbers(classifier))
    p, predicted_took = timed(lambda: cross_validated(data.x, labels.given, data.num_classes, seed))
    theirs, _, theirs_took = from_arrays(data, pred_probs=p)
    x = standardised(data.x)
    margins = timed(lambda: averaged_margins(SmallCNN, x, labels.given, data.given, data.num_classes, seed))
    return {
        "cell": [*cell, seed],
        "true": float(wrong.mean()),
        "accuracy": float((classifier.predict(data.x[noisy]) == data.true[noisy]).mean()),
        "doubt": float((scores * (1 - scores)).mean()),
        "ours": stated(rate, ends, scores, wrong)
        | entries(classifier.transition_, *classifier.transition_interval_, data.counts)
        | {"seconds": took + judging_took},
        "predictions": theirs | {"seconds": predicted_took + theirs_took},
        **compared(data, scores, (p, predicted_took), margins, generator),
    }


def trained(
    x: np.ndarray, y: np.ndarray, seed: int, trusted: np.ndarray | None = None, method: str = "auto"
) -> VRIClassifier:
    """Train a VRIClassifier with default options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicates
        return VRIClassifier(method, random_state=seed, device="cpu").fit(x, y, trusted=trusted)


def numbers(classifier: VRIClassifier) -> tuple[np.ndarray, float, Sequence[float]]:
    """Return the scores of the untrusted labels, in the order of the examples, the noise rate and its interval."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the record has what happens if nobody heeds them
        scores = classifier.label_issues_.sort_values("index")["score"].to_numpy()
    return scores, classifier.noise_rate_, classifier.noise_rate_interval_


def cross_validated(x: np.ndarray, y: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    """Predict the given labels out of sample, by the same network trained with cross entropy, [n, K]."""
    found = np.zeros((len(y), num_classes))
    for inside, outside in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(x, y):
        classifier = trained(x[inside], y[inside], seed, method="cross_entropy")
        found[np.ix_(outside, classifier.classes_)] = classifier.predict_proba(x[outside])
    return found


def standardised(images: np.ndarray) -> np.ndarray:
    """Scale images, uint8 [N, H, W, C], to mean 0 and standard deviation 1 per channel, float32 [N, C, H, W]."""
    mean, std = mean_and_std(images)
    return np.moveaxis((images / np.float32(255) - mean) / std, -1, 1)


NUMBERS = Numbers(
    name="label_numbers_of_images",
    title="The numbers about labels of images",
    text=__doc__ or "",
    cells=partial(cells, names=tuple(IMAGES)),
    measure=measure,
    groups=(tuple(IMAGES), ("none", *NOISES, FOREIGN)),
    data=("--data", "folder of fashion_mnist.npz, cifar10.npz, foreign_mnist.npz and foreign_tinyimagenet32.npz"),
)

if __name__ == "__main__":
    sys.exit(NUMBERS.main())
