"""Tests of the instruments on cases with a known answer, and that they leave the run as it is."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from instruments.belief import belief, beliefs
from instruments.drawing import numbered
from instruments.gates import gates, weights
from instruments.gradients import descent_directions, gradients
from instruments.memorisation import memorisation
from instruments.panels import PANELS, pick
from instruments.recorder import FILE, Anatomy
from instruments.rectifier import rectifier
from instruments.seen import Seen, look
from instruments.transition import errors, reference, transition, uncertainty
from pyro import poutine
from torch import nn
from torch.nn import functional as F

from vri_pyro.cli.main import main
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.methods.elr import ELRDescent
from vri_pyro.runs.run import Run
from vri_pyro.utils.errors import UserError

TRUE = torch.tensor([0, 1, 2, 0, 1, 2])
GIVEN = torch.tensor([0, 1, 2, 1, 2, 0])  # the last three are wrong
REALISED = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])
TINY = ["fit", "--data", "Digits", "--noise", "PairFlip", "--noise.rate", "0.4", "--split.noisy_size", "200"]
TINY += ["--split.clean_per_class", "5", "--batch_size", "50", "--threads", "1", "--report", "false", "--quiet", "true"]
LOGGER = ["--loggers", "[{class_path: instruments.recorder.Anatomy, init_args: {subset: 150}}]"]


def seen_as(logits: torch.Tensor, algorithm: Any = None) -> Seen:
    """Return six examples, half of them with a wrong label, as a method without model and guide sees them."""
    algorithm = algorithm or SimpleNamespace()
    run: Any = SimpleNamespace(model=nn.Module(), guide=nn.Module(), algorithm=algorithm, begun=True, has_pair=False)
    run.split = SimpleNamespace(clean_indices=np.empty(0, int))
    return Seen(run, ClassifierOutput(logits, logits, torch.arange(6)), GIVEN, TRUE, REALISED)


def trained(config: str, output: Path, *options: str) -> Run:
    assert main([*TINY, "--config", config, "--output", str(output), "--epochs", "2", *options]) == 0
    return Run(output)


def test_known_matrix_has_no_error_and_the_identity_misses_the_share_of_wrong_labels() -> None:
    exact = transition(seen_as(torch.zeros(6, 3), SimpleNamespace(transition=REALISED)))
    assert exact == {"absolute_error": 0, "total_variation": 0, "worst_row": 0, "diagonal": 0.5}
    identity = reference(REALISED)["identity"]
    assert identity["total_variation"] == identity["worst_row"] == 0.5
    assert identity["absolute_error"] == pytest.approx(1 / 3)
    assert transition(seen_as(torch.zeros(6, 3))) is None  # a method without a matrix


def test_worst_row_and_mean_error_are_those_of_total_variation() -> None:
    found = errors(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.3, 0.7]]), REALISED)
    assert found["worst_row"] == pytest.approx(0.5)
    assert found["total_variation"] == pytest.approx(0.5 / 3)


def test_posterior_covers_the_truth_only_if_it_is_wide_enough() -> None:
    near = REALISED + 0.02  # means that miss the truth by up to 0.02
    narrow, wide = (uncertainty(dist.Dirichlet(near * count).to_event(1), REALISED) for count in (1e6, 100))
    assert (narrow["within_two_std"], wide["within_two_std"]) == (0, 1)
    assert narrow["std"] < wide["std"]


def test_belief_of_a_classifier_that_knows_the_truth_separates_perfectly() -> None:
    knows = seen_as(5.0 * F.one_hot(TRUE, 3), SimpleNamespace(transition=REALISED))
    found = belief(knows)["current"]
    assert found["auroc"] == 1
    assert found["right"]["low"] > 0.9 > 0.1 > found["wrong"]["high"]
    blind = belief(seen_as(torch.zeros(6, 3)))["current"]
    assert blind["auroc"] == 0.5
    assert blind["mean"] == pytest.approx(1 / 3)


def test_belief_is_bayes_rule() -> None:
    seen = seen_as(torch.tensor([0.2, 0.3, 0.5]).log().expand(6, 3), SimpleNamespace(transition=REALISED))
    prior = torch.tensor([0.2, 0.3, 0.5])
    expected = prior[GIVEN] * 0.5 / (prior @ REALISED)[GIVEN]
    assert torch.allclose(beliefs(seen)["current"], expected)


def test_shares_of_memorised_and_corrected_labels() -> None:
    predicted = torch.tensor([0, 1, 0, 1, 1, 1])  # memorises the fourth label, corrects the fifth
    found = memorisation(seen_as(9.0 * F.one_hot(predicted, 3)))
    assert found["as_given"] == {"right": pytest.approx(2 / 3), "wrong": pytest.approx(1 / 3)}
    assert found["as_true"] == {"right": pytest.approx(2 / 3), "wrong": pytest.approx(1 / 3)}


def test_gradients_of_elr_are_those_of_its_loss() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3, 3)
    linear.num_classes = 3  # type: ignore[assignment]
    algorithm = ELRDescent(linear, torch.optim.SGD(linear.parameters(), 0.1), elr_weight=2.0, clean_weight=0.0)  # type: ignore[arg-type]
    seen = seen_as(torch.randn(6, 3), algorithm)
    found = descent_directions(seen)
    assert torch.allclose(found["y"], F.one_hot(GIVEN, 3) - seen.output.logits.softmax(-1), atol=1e-6)
    logits = seen.output.logits.clone().requires_grad_()
    probabilities = logits.softmax(-1)
    factor = 2 * (1 - (probabilities * 0.3 * probabilities.detach()).sum(-1)).log().sum()  # targets are 0.3 p
    (expected,) = torch.autograd.grad(-factor, logits)
    assert torch.allclose(found["early_learning"], expected, atol=1e-6)
    pull = gradients(seen)
    assert pull is not None
    total = found["y"] + found["early_learning"]
    assert pull["pull"]["given"]["wrong"] == pytest.approx(float(total[range(3, 6), GIVEN[3:]].mean()), abs=1e-6)


def test_unknown_method_has_no_gradients_gates_or_rectifier() -> None:
    seen = seen_as(torch.zeros(6, 3))
    assert gradients(seen) is None
    assert gates(seen) is None
    assert rectifier(seen) is None


def test_instruments_change_no_number_of_the_run_and_resume_with_it(tmp_path: Path) -> None:
    run = trained("vri", tmp_path / "with", *LOGGER, "--ema", "0.9")
    trained("vri", tmp_path / "without", "--ema", "0.9")
    texts = {(tmp_path / name / "metrics.csv").read_text() for name in ("with", "without")}
    assert len(texts) == 1
    anatomy = json.loads((tmp_path / "with" / FILE).read_text())
    assert [one["epoch"] for one in anatomy["epochs"]] == [0, 1, 2]
    assert numbered(anatomy) == [0, 1, 2]  # one epoch of estimation
    assert anatomy["truth"]["examples"] == 150
    assert "transition" not in anatomy["epochs"][0]
    last = anatomy["epochs"][-1]
    assert last["parts"]["test"]["accuracy"] == run.rows[-1]["test_accuracy"]
    for panel in PANELS:
        for line in (*panel.lines, *panel.compared):
            for path in (line.path, *(line.band or ())):
                assert pick(last, path) is not None or path.startswith("parts.validation"), path
    logger = Anatomy()
    logger.start(run.folder, run.rows[:2])
    assert [one["epoch"] for one in logger._epochs] == [0, 1]


def test_figures_of_vri_are_those_of_its_model(tmp_path: Path) -> None:
    run = trained("vri", tmp_path / "run")
    with torch.no_grad():
        seen = look(run, 150)
        mean = run.guide.transition
        values = {"transition": mean, "gate": torch.zeros(150), "transition_gate": torch.zeros(150)}
        values["v"] = seen.posterior["v"].mean
        trace = poutine.trace(poutine.condition(run.model, data=values)).get_trace(seen.output, seen.given)
        believed = beliefs(seen)["memory"].clamp(1e-4, 1 - 1e-4)
        assert torch.allclose(trace.nodes["weight"]["value"], believed / believed.mean(), atol=1e-4)
        before, after = weights(seen, "gate")
        assert torch.allclose(after.mean(), torch.tensor(1.0), atol=1e-4)
        assert ((before > 0) & (before < 1)).all()
        own = transition(seen)
    assert own is not None
    assert own["total_variation"] == pytest.approx(errors(mean, seen.realised)["total_variation"])
    directions = descent_directions(seen)
    assert set(directions) == {"y", "y_by_transition", "early_learning"}
    assert not run.model.training


def test_run_without_known_truth_is_refused() -> None:
    run: Any = SimpleNamespace(split=SimpleNamespace(true_labels=None))
    with pytest.raises(UserError, match="true labels of this run are not known"):
        look(run, 10)
