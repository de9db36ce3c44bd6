"""Tests of the studies' measurements on cases with a known answer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import cheaper_steps
import collapse
import compare
import convergence
import kl_placement
import loss_histogram
import numpy as np
import pytest
import torch
import transition
from study import Records

from vri_pyro.backbones import MLP
from vri_pyro.cli.main import main
from vri_pyro.data import generator_for
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.models import Rectification
from vri_pyro.runs.run import Run
from vri_pyro.training.checkpoint import save_checkpoint
from vri_pyro.training.run_folder import RunFolder

# ---------------------------------------------------------------------------------------------------------- compare


def _accuracies(method: str, data: str, by_seed: dict[int, list[float]]) -> list[dict]:
    return [
        {"method": method, "setting": f"{data}, {noise}, 10 clean", "seed": seed, "results": {"last": value}}
        for seed, values in by_seed.items()
        for noise, value in zip(("flip 20%", "flip 40%"), values, strict=False)
    ]


def test_lead_is_averaged_over_settings_within_a_seed() -> None:
    own = {("a", 0): 5.0, ("b", 0): 9.0, ("a", 1): 4.0, ("b", 1): 6.0}
    lead = compare.lead_over(dict.fromkeys(own, 3.0), own)
    assert lead is not None
    assert (lead.value, lead.error) == (pytest.approx(3.0), pytest.approx(1.0))  # of the seeds' 4 and 2
    assert compare.lead_over({("c", 0): 1.0}, own) is None


def test_means_over_all_data_are_of_methods_and_seeds_that_all_data_have() -> None:
    records = Records(
        [
            *_accuracies("VRI", "A", {0: [80.0, 70.0], 1: [90.0, 90.0]}),
            *_accuracies("VRI", "B", {0: [40.0, 30.0]}),
            *_accuracies("ELR", "A", {0: [78.0, 70.0], 1: [10.0, 10.0]}),
            *_accuracies("ELR", "B", {0: [38.0, 28.0]}),
            *_accuracies("GLC", "A", {0: [1.0, 1.0]}),
        ]
    )
    kept = compare.on_every_data(records)
    assert (kept.methods, kept.seeds, len(kept)) == (["VRI", "ELR"], [0], 8)
    assert "| ELR | 53.5 | 1.5 |" in compare.standing(kept)


def test_methods_trained_twice_as_long_are_compared_on_the_runs_that_both_have() -> None:
    default, other = compare.LONGER
    records = Records(
        [
            *_accuracies(default, "A", {0: [70.0, 60.0]}),
            *_accuracies(other, "A", {0: [70.0, 60.0]}),
            *_accuracies(f"{default}{compare.TWICE}", "A", {0: [75.0]}),
            *_accuracies(f"{other}{compare.TWICE}", "A", {0: [72.0, 10.0]}),
        ]
    )
    assert "| A | 1 | 75.0 | 5.0 | 72.0 | 2.0 | 3.0 |" in compare.twice_as_long(records)


# ------------------------------------------------------------------------------------------------------ convergence


@pytest.mark.parametrize(("horizon", "points"), [(100, 10), (103, 7), (5, 40)])
def test_one_step_is_drawn_from_each_of_equal_stretches(horizon: int, points: int) -> None:
    edges = np.linspace(0, horizon, min(points, horizon) + 1).round()
    for seed in range(5):
        steps = convergence.strata(horizon, points, generator_for(seed))
        assert all(low <= step < high for step, low, high in zip(steps, edges, edges[1:], strict=False))
        assert len(steps) == min(points, horizon)


def test_mean_over_drawn_steps_estimates_the_mean_over_all() -> None:
    values = np.arange(60.0) ** 2
    means = [values[convergence.strata(60, 6, generator_for(seed))].mean() for seed in range(400)]
    assert abs(np.mean(means) - values.mean()) < 4 * np.std(means) / 20


def test_rates_are_those_of_the_theorem() -> None:
    for setting, product in (("as stated", -1.5), ("scaled", -0.5), ("constant rate", -0.5)):
        (alpha, step), (alpha4, step4) = (convergence.rates(setting, horizon, 100) for horizon in (200, 800))
        assert alpha4 / alpha == pytest.approx(1 if setting == "constant rate" else 1 / 4)
        assert step4 / step == pytest.approx(4**product)
    alpha, step = convergence.rates("as stated", 400, 100)
    assert step == pytest.approx(convergence.C / 20 * alpha)


def test_slope_is_the_mean_of_the_seeds_exponents_with_students_interval() -> None:
    def record(horizon: int, seed: int) -> dict:
        # The gradient over α falls as T^-0.6, T^-0.7 or T^-0.8 in square, and α as 1/T.
        norm = (20 / horizon) ** 2 * horizon ** (-0.6 - 0.1 * seed)
        measured = {"squared_norms": [0.5 * norm, 1.5 * norm], "alpha": 20 / horizon, "steps": [0, 1]}
        return {"method": "m", "setting": f"T = {horizon}", "seed": seed, "measured": measured}

    records = Records(record(horizon, seed) for seed in range(3) for horizon in (100, 200, 400, 800))
    for measure, exponent in (("raw", -2.7), ("scaled", -0.7)):
        found = convergence.slopes(records, "m", measure)
        assert found.value == pytest.approx(exponent)
        assert found.high - found.value == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)  # t with 2 degrees


# --------------------------------------------------------------------------------------------------------- collapse


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.filterwarnings("ignore::vri_pyro.infer.bilevel.StructuralZeroWarning")
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_pull_is_the_slope_of_the_outer_objective_along_a_shift_of_log_variance(weight: float) -> None:
    classifier = MLP((4,), 3, hidden=(5,))
    model, guide = Rectification(5, 3), DiagonalNormal(5, 3, hidden=(4,))
    algorithm = BilevelSVI(
        classifier,
        model,
        guide,
        torch.optim.SGD(classifier.parameters(), lr=0.3),
        torch.optim.Adam([*model.parameters(), *guide.parameters()]),
        elbo=RectificationELBO(),
        outer_kl_weight=weight,
    )
    noisy, clean = (Batch(torch.randn(6, 4), torch.randint(3, (6,))) for _ in range(2))

    def objective(shift: float) -> float:
        shifted = copy.deepcopy(algorithm)
        with torch.no_grad():
            shifted.guide.network.log_variance.bias += shift
        torch.manual_seed(1)
        metrics = shifted.step(noisy, clean)
        return float(metrics["meta_loss"] / 0.3 + weight * metrics["kl"])

    torch.manual_seed(1)
    pull = collapse.pull_on_log_variance(algorithm, noisy, clean)
    assert pull == pytest.approx((objective(1e-5) - objective(-1e-5)) / 2e-5, rel=1e-6)


# ---------------------------------------------------------------------------------------------------- KL's placement


def test_digest_changes_with_one_bit_of_classifier_model_or_guide_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.make()

    def digest(**changed: float) -> str:
        state = {part: {"w": torch.ones(3)} for part in ("classifier", "model", "guide", "inner_optimizer")}
        for part, value in changed.items():
            state[part]["w"][1] = value
        save_checkpoint(folder.last, {"stages": [state]}, "")
        return kl_placement.digest(folder)["digest"]

    next_float = float(np.nextafter(np.float32(1), np.float32(2)))
    assert digest() == digest() == digest(inner_optimizer=2.0)
    assert len({digest(), *(digest(**{part: next_float}) for part in ("classifier", "model", "guide"))}) == 4


# --------------------------------------------------------------------------------------------------- loss histogram


def test_separation_of_losses_that_are_told_apart_and_of_those_that_are_not() -> None:
    wrong = np.array([True, False, True, False])
    losses = {"original": np.array([3.0, 1.0, 4.0, 2.0]), "rectified": np.array([1.0, 2.0, 4.0, 3.0])}
    found = loss_histogram.separation(losses, wrong)
    # reductions 2, -1, 0, -1: both wrong ones are above both right ones
    assert found["auroc"] == {"original": 100.0, "rectified": 50.0, "reduction": 100.0}
    assert found["mean"]["original"] == {"right": 1.5, "wrong": 3.5}
    for shares in found["shares"].values():
        assert [sum(shares[kind]) for kind in ("right", "wrong")] == pytest.approx([1, 1])
        assert len(shares["right"]) == len(loss_histogram.EDGES) - 1


# ------------------------------------------------------------------------------------------------------- transition


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("transition") / "run"
    small = ["--epochs", "1", "--backbone", "vri_pyro.backbones.MLP", "--threads", "1", "--quiet", "true"]
    assert main(["fit", *small, "--output", str(path)]) == 0
    return RunFolder(path)


def test_estimates_of_a_run_are_measured_against_the_realised_matrix(folder: RunFolder) -> None:
    run = Run(folder.path)
    found = transition.measure(folder)
    truth = np.array(found["matrices"]["true"])
    given, true = run.split.given_labels, run.split.true_labels
    assert true is not None
    wrong = int(given[true == 3][given[true == 3] != 3][0])
    assert truth[3, wrong] == pytest.approx((given[true == 3] == wrong).mean(), abs=1e-4)
    for name in ("counted", "rectified", "own"):
        matrix = np.array(found["matrices"][name])
        assert matrix.sum(1) == pytest.approx(np.ones(10), abs=1e-3)
        assert found["errors"][name] == pytest.approx(np.linalg.norm(matrix - truth), abs=1e-3)
    assert set(found["errors"]) == {"counted", "rectified", "own", "identity"}


def test_matrix_that_a_guide_keeps_is_its_own_estimate(folder: RunFolder) -> None:
    run = Run(folder.path)
    torch.testing.assert_close(transition.estimates(run)["own"], run.guide.transition)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- cheaper steps


def test_cheapest_step_without_loss_of_accuracy_is_recommended() -> None:
    found = {"exact": (90.0, 3.0), "late": (89.9, 2.0), "every 8th step": (85.0, 1.0)}
    records = Records(
        {
            "method": steps,
            "setting": f"default, {data}",
            "seed": seed,
            "results": {"last": accuracy + seed + 0.3 * (seed == 1 and steps == "late")},
            "measured": {"plain_steps": cost},
        }
        for steps, (accuracy, cost) in found.items()
        for data in ("A", "B")
        for seed in (0, 1, 2)
    )
    assert cheaper_steps.cost(records, "late", "default") == 2.0
    lost = cheaper_steps.difference(records, "every 8th step", "default")
    assert lost is not None
    assert lost.value == pytest.approx(-5)
    (told,) = cheaper_steps.recommended(records)  # no records of the vector
    assert "**late**" in told
