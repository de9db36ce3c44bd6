"""Label errors from arrays alone: ``vri_pyro.find_label_issues`` compared with cleanlab on the same probabilities.

The probabilities are predicted by logistic regression in 5-fold cross-validation on the noisy labels. The data sets are
digits, breast cancer (two classes) and wine of scikit-learn, standardised; ``make_classification`` with 2,000 examples,
20 features and 5 classes of two clusters each; and 5,000 images of Fashion-MNIST at 14 x 14 pixels, reduced to 50
principal components. 30% of the labels are wrong: by uniform noise, by flips to the next class, or by
instance-dependent noise. With two classes, flips are uniform noise.

With trusted labels, 10 labels per class are corrected before the cross-validation, and ``find_label_issues`` is told
which; cleanlab cannot use this. The metrics are computed on the other labels in both cases. AUROC is the probability
that a wrong label has a more suspicious score than a right label; chance is 50%. AP is the area under the
precision-recall curve; chance is 30%.

The scores are:

* cleanlab's ``get_label_quality_scores``: self-confidence and normalized margin, plain and with adjusted probabilities;
* ours, probabilities: ``find_label_issues(labels, pred_probs)``, which sees what cleanlab sees;
* ours, both: with the features as well;
* ours, features: without the probabilities, which are then computed by the function.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from matplotlib.figure import Figure
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from study import Bench, Cell, Page, Records, Study, StudyRun, Workshop, main, markdown_table, spread
from study.execution import Outcome

from vri_pyro import find_label_issues
from vri_pyro.data import InstanceDependent, LabelNoise, PairFlip, UniformExclusive, generator_for
from vri_pyro.data.npz import read_npz
from vri_pyro.label_issues import detection
from vri_pyro.utils.provenance import provenance

NOISES: dict[str, LabelNoise] = {
    "uniform 30%": UniformExclusive(0.3),
    "flip 30%": PairFlip(0.3),
    "instance 30%": InstanceDependent(0.3),
}
WITHOUT, WITH = "no trusted labels", "10 trusted labels a class"
TRUSTED, IMAGES, COMPONENTS, FOLDS = 10, 5000, 50, 5
CLEANLAB = {
    "self-confidence": ("self_confidence", False),
    "self-confidence, adjusted": ("self_confidence", True),
    "margin": ("normalized_margin", False),
    "margin, adjusted": ("normalized_margin", True),
}
OURS = {"ours, probabilities": (True, False), "ours, both": (True, True), "ours, features": (False, True)}
METRICS = {"auroc": "AUROC (%)", "ap": "AP (%)"}


def cells(bench: Bench) -> list[Cell]:
    """Return every data set under every noise, with and without trusted labels."""
    names = {"digits": "", "breast cancer": "", "wine": "", "make_classification": "", bench.title: str(bench.path)}
    return [
        Cell(f"{name}, {noise}", method, ("--name", name, "--path", path, "--label_noise", noise))
        for name, path in names.items()
        for noise in NOISES
        for method in (WITHOUT, WITH)
    ]


def loaded(name: str, path: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised features, float32 [N, D], and true classes, int64 [N]."""
    if path:
        arrays = read_npz(Path(path), ["x_train", "y_train"])
        some = np.random.default_rng(seed).permutation(len(arrays["x_train"]))[:IMAGES]
        pixels = arrays["x_train"][some].reshape(len(some), -1) / 255
        x, y = PCA(min(COMPONENTS, pixels.shape[1]), random_state=0).fit_transform(pixels), arrays["y_train"][some]
    elif name == "make_classification":
        x, y = datasets.make_classification(
            2000, 20, n_informative=10, n_classes=5, class_sep=1.5, flip_y=0, random_state=seed
        )
    else:
        load = {"digits": "load_digits", "breast cancer": "load_breast_cancer", "wine": "load_wine"}[name]
        x, y = getattr(datasets, load)(return_X_y=True)
    return StandardScaler().fit_transform(x).astype(np.float32), y.astype(np.int64)


class Scoring(Workshop):
    """Scores the labels of one data set with every score."""

    def perform(self, run: StudyRun) -> Outcome:
        """See :class:`Workshop`."""
        options = dict(zip(run.options[::2], run.options[1::2], strict=True))
        began = time.perf_counter()
        x, true = loaded(options["--name"], options["--path"], run.seed)
        num_classes, generator = int(true.max()) + 1, generator_for(run.seed, "trusted labels")
        noise = NOISES[options["--label_noise"]]
        labels = noise.apply(true, x, num_classes, generator_for(run.seed, "label noise")).labels
        known = [generator.permutation(np.flatnonzero(true == c))[:TRUSTED] for c in range(num_classes)]
        trusted = np.concatenate(known)
        rest = np.setdiff1d(np.arange(len(true)), trusted)
        if run.method == WITH:
            labels[trusted] = true[trusted]
        measured = scored(x, labels, true, rest, trusted if run.method == WITH else None, run.seed)
        record = {
            "results": {"last": measured["scores"]["ours, probabilities"]["auroc"]},
            "measured": measured,
            "split": {"noisy": len(rest), "clean": len(trusted) if run.method == WITH else 0},
            "config": {
                "data": {"class_path": options["--name"]},
                "backbone": {"class_path": "logistic regression"},
                "augmentation": {"class_path": "none"},
                "optimizer": {"class_path": "L-BFGS"},
                "epochs": "until convergence",
                "batch_size": "all",
            },
            "made_by": provenance(torch.device("cpu")),
            "seconds": round(time.perf_counter() - began, 2),
        }
        self.store.write(run, record)
        return Outcome(0, record["results"]["last"])


def scored(
    x: np.ndarray, labels: np.ndarray, true: np.ndarray, rest: np.ndarray, trusted: np.ndarray | None, seed: int
) -> dict[str, Any]:
    """Measure every score on the labels at the positions ``rest``, and the estimates of the noise rate."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    p = cross_val_predict(classifier, x, labels, cv=folds, method="predict_proba")
    wrong = torch.from_numpy((labels != true)[rest])
    found, rates = {}, {}
    for name, (method, adjust) in CLEANLAB.items():
        quality = get_label_quality_scores(labels, p, method=method, adjust_pred_probs=adjust)
        found[name] = judged(-quality[rest], wrong)
    for name, (by_probabilities, by_features) in OURS.items():
        given = {"pred_probs": p if by_probabilities else None, "features": x if by_features else None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without trusted labels, the noise rate may be far too low
            table = find_label_issues(labels, **given, trusted=trusted, seed=seed)
        found[name] = judged(table.sort_values("index")["score"].to_numpy()[rest], wrong)
        rates[name] = [table.attrs["noise_rate"], *table.attrs["noise_rate_interval"]]
    return {"scores": found, "rates": rates, "true rate": float(wrong.double().mean())}


def judged(score: np.ndarray, wrong: torch.Tensor) -> dict[str, float]:
    """Return AUROC and average precision in percent."""
    found = detection(torch.from_numpy(score), wrong, at=())
    assert found is not None
    return {"auroc": 100 * found.auroc, "ap": 100 * found.average_precision}


def values(records: Records, method: str, setting: str, score: str, metric: str) -> list[float]:
    """Return a score's metric by seed."""
    return [record["measured"]["scores"][score][metric] for record in records.of(method, setting).values()]


def report(records: Records) -> Page:
    """Report the metrics by setting, the differences to cleanlab's best score, and the estimated noise rates."""
    parts = [__doc__.split("\n\n", 1)[1].strip(), beaten(records)]
    for method in records.methods:
        for metric, title in METRICS.items():
            rows = [
                [s, *(spread(values(records, method, s, score, metric), 2) for score in (*CLEANLAB, *OURS))]
                for s in records.settings
            ]
            parts.append(markdown_table([f"{title}, {method}", *CLEANLAB, *OURS], rows))
    parts += [
        "The estimated share of wrong labels: error in points, and how many 95% intervals cover the truth.",
        rates(records),
    ]
    return Page("Which labels are wrong, from arrays alone?", parts, drawn(records))


def margins(records: Records, method: str, score: str) -> list[float]:
    """Return the mean AUROC of a score minus the best mean AUROC of cleanlab's four, by setting."""
    return [
        float(np.mean(values(records, method, s, score, "auroc")))
        - max(float(np.mean(values(records, method, s, other, "auroc"))) for other in CLEANLAB)
        for s in records.settings
    ]


def beaten(records: Records) -> str:
    """Say in how many settings each of our scores is at least as good as the best of cleanlab's."""
    rows = []
    for method in records.methods:
        for score in OURS:
            found = margins(records, method, score)
            worst = records.settings[int(np.argmin(found))]
            level = sum(one >= -0.05 for one in found)
            rows.append(
                [
                    f"{score}, {method}",
                    f"{level} of {len(found)}",
                    f"{min(found):+.2f} ({worst})",
                    f"{np.mean(found):+.2f}",
                ]
            )
    head = [
        "mean AUROC minus that of the best of cleanlab's four, chosen by setting",
        "at least -0.05",
        "lowest",
        "mean",
    ]
    return markdown_table(head, rows)


def rates(records: Records) -> str:
    """Format error and coverage of the estimated noise rates."""
    rows = []
    for setting in records.settings:
        for method in records.methods:
            runs = [record["measured"] for record in records.of(method, setting).values()]
            cells = []
            for score in OURS:
                errors = [100 * (run["rates"][score][0] - run["true rate"]) for run in runs]
                inside = sum(run["rates"][score][1] <= run["true rate"] <= run["rates"][score][2] for run in runs)
                cells.append(f"{spread(errors)}; {inside} of {len(runs)}")
            rows.append([f"{setting}, {method}", *cells])
    return markdown_table(["noise rate", *OURS], rows)


def drawn(records: Records) -> Figure:
    """Draw the difference of AUROC to the best of cleanlab's scores, by setting."""
    figure = Figure(figsize=(10, 0.32 * len(records.settings) + 1.6))
    axis = figure.subplots()
    places = np.arange(len(records.settings))
    for method, marker in zip(records.methods, ("o", "s"), strict=False):
        for score, colour in zip(OURS, ("C0", "C1", "C2"), strict=True):
            label = f"{score}, {method}"
            axis.plot(margins(records, method, score), places, marker, color=colour, label=label, alpha=0.7)
    axis.axvline(0, color="black", linewidth=1)
    axis.set_yticks(places, records.settings)
    axis.invert_yaxis()
    axis.set_xlabel("AUROC minus that of the best of cleanlab's scores (points)")
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


STUDY = Study("find_label_issues", __doc__, cells, report, workshop=Scoring)

if __name__ == "__main__":
    sys.exit(main(STUDY))
