"""The numbers about labels: coverage, width, calibration and ranking, of this package and of its alternatives.

    python experiments/label_numbers.py --seed 0 [--cells 20] [--jobs 2] [--output FILE]

Every cell is a data set, a noise, a rate and a number of trusted labels a class. The records file is written after each
cell, and cells that it has are not repeated; a page and a picture are written beside it. The package is given the
features ("ours"), or only predictions of the given labels ("predictions"). With ``--trusted 0 1``, almost nothing is
known about the classifier. Under the noise "open", the examples of the last classes belong to none of the others, whose
labels they have at random; they count as wrong labels. The alternatives are 100 and 200 random checks by hand with
Wilson's interval, the certificate of 100 checks, whose scores are the package's, and its prediction-powered interval,
cleanlab's estimate from the confident joint with a bootstrap, and the rate of GLC's matrix with a bootstrap of the
trusted labels. Their predictions are those of the same cross-validated logistic regression, with features of a kernel
where the package takes them. "Margin" ranks by the margin of the label, averaged over the training of an MLP on all
labels. Isotonic regression on the trusted labels, of which it is told how they were labelled with the noise, makes
probabilities of cleanlab's scores and of margins.

The method was designed on cells of seeds 0 to 2, 5 and 6, and measured on those of seeds 7 and 8. Then came the
features of a kernel, designed on cells of seeds 0 and 11 and on other examples, and two kinds of classes that no line
separates: "clusters", of which each class has four, and "quadrants", of which each class has two; they were measured on
seeds 9 and 10. Then came the posterior of examples of no class, designed on cells of seed 11, and two more noises,
"flip2" and "open", measured on seeds 14 and 15. Then labels came to say which examples may be of no class, designed on
cells of seeds 0 and 11 and measured on seeds 16 and 17. Last, regressions came to be fitted from other starts, designed
on cells of seed 0. The cells of seeds 18 and 19 were measured once, after that.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from bench.alternatives import compared
from bench.from_arrays import from_arrays
from bench.judging import timed
from bench.labelled import FOREIGN, NAMES, NOISES, Setting, cells, noisy
from bench.margin import averaged_margins
from bench.numbers import Numbers

from vri_pyro.backbones import MLP
from vri_pyro.label_issues.cross_fitting import cross_fitted


def measure(cell: Setting, seed: int, folder: Path) -> dict[str, Any]:
    """Measure all methods on one cell; seconds are those of the CPU."""
    generator = np.random.default_rng([seed, zlib.crc32(repr(cell).encode())])
    data = noisy(cell, generator, folder)
    labels, wrong = data.labels, data.wrong[~data.trusted]
    ours, scores, took = from_arrays(data, features=data.x)
    predicted, predicted_took = timed(lambda: cross_fitted(data.x, labels, data.num_classes, 0))
    p = np.exp(predicted.log_given)
    theirs, _, theirs_took = from_arrays(data, pred_probs=p)
    margins = timed(lambda: averaged_margins(MLP, data.x, labels.given, data.given, data.num_classes, seed))
    return {
        "cell": [*cell, seed],
        "true": float(wrong.mean()),
        "accuracy": float((predicted.log_true.argmax(1) == data.true).mean()),
        "doubt": float((scores * (1 - scores)).mean()),
        "ours": ours | {"seconds": took},
        "predictions": theirs | {"seconds": predicted_took + theirs_took},
        **compared(data, scores, (p, predicted_took), margins, generator),
    }


NUMBERS = Numbers(
    name="label_numbers",
    title="The numbers about labels",
    text=__doc__ or "",
    cells=cells,
    measure=measure,
    groups=(NAMES, ("none", *NOISES, FOREIGN)),
    data=("--features", "folder of the frozen features, cifar10_features.npz and fashion_mnist_features.npz"),
)

if __name__ == "__main__":
    sys.exit(NUMBERS.main())
