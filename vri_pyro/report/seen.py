"""A run as the page sees it: everything that several parts ask of it, computed once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import generator_for, permutation
from vri_pyro.diagnostics import Judgement, judge_posterior
from vri_pyro.diagnostics.calibration import fitted_temperature, prior_predictive
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.label_issues import Detection, Evidence, LabelIssues, detection, evidence_of, rank
from vri_pyro.runs.results import results
from vri_pyro.runs.run import Run
from vri_pyro.training.evaluation import predict

MOST = 20_000
STANDARD_DEVIATION = "posterior_std/"  # of a latent, as the metrics call it
_WITH_POSTERIOR = 200


class SeenRun:
    """A run and what was found out about it.

    Args:
        run: the run, restored from its folder or just trained.
        most: labels are judged of so many noisy examples, drawn at random where there are more.

    Attributes:
        run: the run.
        name: of its folder.
        rows: its metrics, a row an epoch.
        summary: its ``summary.json``; empty for a run that has not ended.
        results: test accuracies, as in the summary.
        judged: positions among the noisy examples of those whose labels are judged, int64 [N].
    """

    def __init__(self, run: Run, most: int = MOST) -> None:
        self.run = run
        self.name = self.run.folder.path.resolve().name
        self.rows = self.run.folder.read_metrics()
        self.summary: dict[str, Any] = self.run.folder.read_summary() if self.run.folder.summary.exists() else {}
        self.results: dict[str, Any] = self.summary.get("results") or results(self.rows, self.run.preparatory)
        count = len(self.run.split.noisy_indices)
        self.judged = np.arange(count)
        if count > most:
            self.judged = np.sort(permutation(generator_for(self.run.split.seed, "page"), count)[:most])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.run.classes

    @property
    def indices(self) -> np.ndarray:
        """Positions in the training set of the examples whose labels are judged, int64 [N]."""
        return self.run.split.noisy_indices[self.judged]

    @property
    def true_labels(self) -> np.ndarray | None:
        """Their true labels, where they are known."""
        return None if self.run.split.true_labels is None else self.run.split.true_labels[self.judged]

    @cached_property
    def wrong(self) -> np.ndarray:
        """Which of their labels are wrong, bool [N]; only where the truth is known."""
        assert self.true_labels is not None
        return self.true_labels != self.run.split.given_labels[self.judged]

    @cached_property
    def evidence(self) -> Evidence:
        """What is known about those examples."""
        return evidence_of(self.run, self.indices)

    @cached_property
    def issues(self) -> LabelIssues:
        """How probably each of their labels is wrong."""
        return rank(self.evidence, seed=self.run.split.seed)

    @cached_property
    def detections(self) -> dict[str, Detection]:
        """How well each score finds the wrong labels; empty where the truth is unknown or there is nothing to find."""
        if self.true_labels is None:
            return {}
        wrong = torch.from_numpy(self.wrong)
        found = {name: detection(score, wrong) for name, score in self.issues.scores.items()}
        return {name: one for name, one in found.items() if one is not None}

    @property
    def latents(self) -> list[str]:
        """The latents whose spread the run recorded."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return [name.removeprefix(STANDARD_DEVIATION) for name in names if name.startswith(STANDARD_DEVIATION)]

    @cached_property
    def posterior(self) -> Judgement | None:
        """What is to be thought of the posterior of some of those examples; None where the method has no latents."""
        if not (self.run.has_pair and self.latents):
            return None
        order = permutation(generator_for(self.run.split.seed, "posterior"), len(self.indices))
        some = np.sort(order[:_WITH_POSTERIOR])
        return judge_posterior(self.run, self.indices[some], seed=self.run.split.seed)

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        """Logits [M, K] of the test examples, and their labels, int64 [M]."""
        logits, labels = predict(self.run.predictor, self.run.test, np.arange(len(self.run.test)))
        return logits.cpu(), labels.cpu()

    @cached_property
    def temperature(self) -> float | None:
        """What validation examples say that the logits should be divided by; None where none is taken for clean."""
        held_out = self.run.split.held_out
        if not len(held_out):
            return None
        return fitted_temperature(*predict(self.run.predictor, self.run.examples, held_out))

    @cached_property
    def test_under_prior(self) -> Tensor | None:
        """Probabilities [M, K] with the latents drawn from the prior; None where the method has none."""
        if not self.run.has_pair:
            return None
        devices = [self.run.test.device] if self.run.test.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(self.run.split.seed)
            found = []
            for batch in self.run.test.in_order(np.arange(len(self.run.test)), 1000):
                predicted = prior_predictive(self.run.model, ClassifierOutput(*self.run.classifier(batch.x)))
                if predicted is None:
                    return None
                found.append(predicted.cpu())
        return torch.cat(found)
