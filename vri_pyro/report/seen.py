"""The data behind a report: the quantities of a run that several sections use, computed once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import Examples, generator_for, permutation
from vri_pyro.diagnostics import Judgement, judge_posterior
from vri_pyro.diagnostics.calibration import Calibration, calibration, fitted_temperature, prior_predictive
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.label_issues import Detection, Evidence, LabelIssues, detection, evidence_of, rank
from vri_pyro.runs.results import measured_on, results
from vri_pyro.runs.run import Run
from vri_pyro.training.evaluation import predict
from vri_pyro.utils.paths import options_without_folders, without_folders

MOST = 20_000  # default for the number of noisy examples whose labels are scored
STANDARD_DEVIATION = "posterior_std/"  # prefix of the metric of a latent's posterior standard deviation
POINT, SCALED, UNDER_PRIOR = "classifier", "at the fitted temperature", "under the prior p(v | x)"
_WITH_POSTERIOR = 200  # examples for the diagnostics of the posterior


class SeenRun:
    """The quantities of a run that its report shows, computed on first use.

    Args:
        run: the run, restored from its folder or just trained.
        most: largest number of noisy examples whose labels are scored; a random sample is drawn if there are more.
        full_paths: whether the page shows absolute paths, which tell the names of users and folders.

    Attributes:
        run: the run.
        name: name of the run folder.
        rows: the metrics, one row per epoch.
        summary: the content of ``summary.json``; empty for an unfinished run.
        measured: the set on which the classifier is judged, "test" or, for a run without a test set, "validation"; None
            if the run has neither.
        results: accuracies on that set as returned by :func:`~vri_pyro.runs.results.results`; empty if there is none.
        judged: positions, within the noisy set, of the examples whose labels are scored, int64 [N].
    """

    def __init__(self, run: Run, most: int = MOST, full_paths: bool = False) -> None:
        self.run, self.full_paths = run, full_paths
        self.name = self.run.folder.path.resolve().name
        self.rows = run.rows
        self.summary: dict[str, Any] = self.run.folder.read_summary() if self.run.folder.summary.exists() else {}
        self.measured = measured_on(self.rows)
        self.results: dict[str, Any] = {}
        if self.measured or self.run.state:
            self.results = self.summary.get("results") or results(self.rows, self.run.preparatory)
        count = len(self.run.split.noisy_indices)
        self.judged = np.arange(count)
        if count > most:
            judged = permutation(generator_for(self.run.split.seed, "page"), count)[:most]
            # Labels that were kept out of training are random as well, and tell the most about the noise rate.
            kept_out = np.flatnonzero(np.isin(self.run.split.noisy_indices, self.run.split.noisy_holdout))
            self.judged = np.union1d(judged, kept_out[:most])

    @property
    def options(self) -> dict[str, Any]:
        """The content of ``config.yaml`` as the page shows it."""
        options = self.run.folder.read_config()
        return options if self.full_paths else options_without_folders(options)

    def shown(self, text: str) -> str:
        """Return a text, such as the name of a file, as the page shows it."""
        return text if self.full_paths else without_folders(text)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.run.classes

    @property
    def indices(self) -> np.ndarray:
        """Positions in the training set of the examples whose labels are scored, int64 [N]."""
        return self.run.split.noisy_indices[self.judged]

    @property
    def true_labels(self) -> np.ndarray | None:
        """The true labels of the scored examples, int64 [N]; None if they are unknown."""
        return None if self.run.split.true_labels is None else self.run.split.true_labels[self.judged]

    @cached_property
    def wrong(self) -> np.ndarray:
        """Whether the given label of each scored example is wrong, bool [N]; requires known true labels."""
        assert self.true_labels is not None
        return self.true_labels != self.run.split.given_labels[self.judged]

    @cached_property
    def evidence(self) -> Evidence:
        """The classifier outputs and other evidence for the scored examples."""
        return evidence_of(self.run, self.indices)

    @cached_property
    def issues(self) -> LabelIssues:
        """The probability that each scored label is wrong, and the scores behind it."""
        return rank(self.evidence, seed=self.run.split.seed)

    @cached_property
    def detections(self) -> dict[str, Detection]:
        """How well each score detects wrong labels; empty if the true labels are unknown or detection is undefined."""
        if self.true_labels is None:
            return {}
        wrong = torch.from_numpy(self.wrong)
        found = {name: detection(score, wrong) for name, score in self.issues.scores.items()}
        return {name: one for name, one in found.items() if one is not None}

    @property
    def latents(self) -> list[str]:
        """Names of the latents whose posterior standard deviation the metrics contain."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return [name.removeprefix(STANDARD_DEVIATION) for name in names if name.startswith(STANDARD_DEVIATION)]

    @cached_property
    def posterior(self) -> Judgement | None:
        """Diagnostics of the posterior on a random sample of scored examples; None for methods without latents."""
        if not (self.run.has_pair and self.latents):
            return None
        order = permutation(generator_for(self.run.split.seed, "posterior"), len(self.indices))
        some = np.sort(order[:_WITH_POSTERIOR])
        return judge_posterior(self.run, self.indices[some], seed=self.run.split.seed)

    @cached_property
    def predicted(self) -> tuple[Tensor, Tensor] | None:
        """Logits [M, K] and true labels, int64 [M], of the set on which the classifier is judged.

        None if the run has neither a test set nor clean validation examples.
        """
        examples, indices = self._judging
        if not len(indices):
            return None
        logits, labels = predict(self.run.predictor, examples, indices)
        return logits.cpu(), labels.cpu()

    @property
    def _judging(self) -> tuple[Examples, np.ndarray]:
        """The examples on which the classifier is judged, and their positions, int64 [M]."""
        if self.run.test is not None:
            return self.run.test, np.arange(len(self.run.test))
        return self.run.examples, self.run.split.held_out

    @cached_property
    def temperature(self) -> float | None:
        """The temperature of the logits fitted on the validation examples; None without clean validation examples."""
        held_out = self.run.split.held_out
        if not len(held_out):
            return None
        return fitted_temperature(*predict(self.run.predictor, self.run.examples, held_out))

    @cached_property
    def predicted_under_prior(self) -> Tensor | None:
        """Probabilities with latents drawn from the prior, [M, K], of the examples of :attr:`predicted`.

        None for methods without latents.
        """
        examples, indices = self._judging
        if not (self.run.has_pair and len(indices)):
            return None
        devices = [examples.device] if examples.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(self.run.split.seed)
            found = []
            for batch in examples.in_order(indices, 1000):
                predicted = prior_predictive(self.run.model, ClassifierOutput(*self.run.classifier(batch.x)))
                if predicted is None:
                    return None
                found.append(predicted.cpu())
        return torch.cat(found)

    @cached_property
    def calibrations(self) -> dict[str, Calibration]:
        """The classifier's calibration on the examples of :attr:`predicted`; empty if there are none.

        It is given by ``POINT``; with the fitted temperature, by ``SCALED``, if the temperature was fitted on other
        examples; and for predictions under the prior, by ``UNDER_PRIOR``, if the method has one.
        """
        if self.predicted is None:
            return {}
        logits, labels = self.predicted
        temperature = self.temperature if self.measured == "test" else None
        predictions = {
            POINT: logits.softmax(-1),
            SCALED: None if temperature is None else (logits / temperature).softmax(-1),
            UNDER_PRIOR: self.predicted_under_prior,
        }
        return {name: calibration(p, labels) for name, p in predictions.items() if p is not None}
