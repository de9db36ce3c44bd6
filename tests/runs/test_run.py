"""A restored run has the classifier, model, guide, examples and split of the trained run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vri_pyro.cli.main import main
from vri_pyro.data import Digits, Split
from vri_pyro.diagnostics import outputs_of
from vri_pyro.guides import DiagonalNormal, Hierarchical
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.label_issues import evidence_of
from vri_pyro.models import Rectification
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run
from vri_pyro.training.checkpoint import load_checkpoint
from vri_pyro.training.ensemble import Ensemble
from vri_pyro.training.evaluation import evaluate
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError

VECTOR = Path(__file__).parents[2] / "experiments" / "configs" / "vri_vector.yaml"


def fit(folder: Path, *options: str) -> Path:
    shared = ["--epochs", "2", "--threads", "1", "--quiet", "true", "--device", "cpu", "--output", str(folder)]
    assert main(["fit", *options, *shared]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("trained") / "run", "--config", str(VECTOR), "--ema", "null", "--seed", "3")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return Run(folder)


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as rows:
        return list(csv.DictReader(rows))


def test_restored_state_equals_the_checkpoint(run: Run, folder: Path) -> None:
    (saved,) = load_checkpoint(folder / "checkpoints" / "last.pt")["stages"]
    torch.testing.assert_close(run.algorithm.state_dict(), saved, rtol=0, atol=0)
    assert run.epochs == 2
    assert isinstance(run.algorithm, BilevelSVI)
    assert isinstance(run.model, Rectification)
    assert isinstance(run.guide, DiagonalNormal)
    assert not any(part.training for part in (run.classifier, run.model, run.guide))


@pytest.mark.parametrize("stage", ["warm_up", "fine_tuning"])
def test_algorithm_is_that_of_the_main_stage_with_multi_stage_warm_up_or_fine_tuning(
    tmp_path: Path, stage: str
) -> None:
    of_stage = [f"--{stage}.method", "vri_pyro.methods.GLC", f"--{stage}.epochs", "1"]
    of_stage += [f"--{stage}.optimizer", "torch.optim.SGD", f"--{stage}.optimizer.lr", "0.1"]
    run = Run(fit(tmp_path / "run", "--config", str(VECTOR), *of_stage))
    name = stage.replace("_", "-")
    before = [f"{name}: estimation", name]
    assert list(run.algorithms) == ([*before, "training"] if stage == "warm_up" else ["training", *before])
    assert isinstance(run.guide, DiagonalNormal)
    assert run.has_pair
    assert f"{name}: estimation" in run.preparatory


def test_classifier_has_the_last_epochs_test_accuracy(run: Run, folder: Path) -> None:
    assert run.predictor is run.classifier
    found = evaluate(run.predictor, run.test)
    assert found["accuracy"] == pytest.approx(float(metrics(folder)[-1]["test_accuracy"]))
    assert found["nll"] == pytest.approx(float(metrics(folder)[-1]["test_nll"]))


def test_classifier_of_model_and_guide_is_the_evaluated_average(tmp_path: Path) -> None:
    folder = fit(tmp_path / "run", "--config", str(VECTOR), "--ema", "0.9")
    run = Run(folder)
    assert run.classifier is run.predictor
    batch = next(run.test.in_order(np.arange(20), 20))
    averaged, last = run.classifier(batch.x).logits, run.algorithm.classifier(batch.x).logits
    assert (averaged - last).abs().max() > 1e-3
    assert evaluate(run.classifier, run.test)["nll"] == pytest.approx(float(metrics(folder)[-1]["test_nll"]))


def test_examples_have_the_labels_used_in_training(run: Run, folder: Path) -> None:
    split = Split.load(folder / "split.npz")
    np.testing.assert_array_equal(run.split.noisy_indices, split.noisy_indices)
    np.testing.assert_array_equal(run.examples.y[split.noisy_indices].numpy(), split.given_labels)
    np.testing.assert_array_equal(run.examples.y[split.clean_indices].numpy(), split.clean_labels)
    assert split.realised_rate > 0.3
    assert run.classes == Digits().load().classes


def test_outputs_are_in_the_given_order_and_are_inputs_of_model_and_guide(run: Run) -> None:
    chosen = run.split.noisy_indices[[7, 3, 150, 4, 0]]
    batches = list(run.outputs(chosen, batch_size=2))
    assert [len(batch.y) for _, batch in batches] == [2, 2, 1]
    assert torch.cat([batch.index for _, batch in batches]).tolist() == chosen.tolist()
    output, batch = batches[0]
    assert not output.logits.requires_grad
    torch.testing.assert_close(output.logits, run.classifier(batch.x).logits.detach())
    terms = RectificationELBO(3).terms(run.model, run.guide, output, batch.y)
    assert terms.posterior["v"].mean.shape[-2:] == (2, 10)
    assert terms.log_likelihood.shape == (2,)


def test_outputs_have_the_positions_of_their_examples(run: Run) -> None:
    indices = run.split.noisy_indices[[5, 2, 9]]
    ((output, batch),) = run.outputs(indices)
    assert output.index.tolist() == indices.tolist() == batch.index.tolist()


def test_run_before_its_main_stage_has_no_trained_pair(tmp_path: Path) -> None:
    folder = fit(tmp_path / "run")  # two epochs, after one epoch of the estimation stage
    assert Run(folder).state is None
    last = folder / "checkpoints" / "last.pt"
    for done, begun in ((1, False), (2, True)):
        saved = torch.load(last, weights_only=True)
        saved["state"]["progress"] |= {"epoch": done, "step": 0}
        torch.save(saved, last)
        run = Run(folder)
        assert run.state == f"The run is not finished: {done} of 3 epochs are complete."
        assert (run.begun, run.has_pair) == (begun, begun)
        if not begun:
            with pytest.raises(UserError, match="are untrained: after 1 of 3 epochs"):
                outputs_of(run, run.split.noisy_indices[:3])
        assert (evidence_of(run, run.split.noisy_indices[:3]).transition is not None) == begun
    assert main(["issues", str(folder)]) == 0


def test_restoring_a_moved_folder_works_and_draws_no_random_numbers(folder: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run = Run(elsewhere)
    assert torch.equal(torch.get_rng_state(), before)
    assert run.folder.path == elsewhere
    assert metrics(elsewhere) == metrics(folder)


def test_algorithm_is_that_of_the_main_stage_between_warm_up_and_fine_tuning(tmp_path: Path) -> None:
    plain = "{class_path: vri_pyro.methods.SingleLevel, init_args: {model: vri_pyro.models.CrossEntropy, "
    plain += "guide: vri_pyro.guides.NoLatents}}"
    stage = f"{{method: {plain}, optimizer: {{class_path: torch.optim.SGD, init_args: {{lr: 0.01}}}}, epochs: 1}}"
    folder = fit(tmp_path / "run", "--warm_up", stage, "--fine_tuning", stage)
    run = Run(folder)
    assert list(run.algorithms) == ["warm-up", "estimation", "training", "fine-tuning"]
    assert run.algorithm is run.algorithms["training"]
    assert isinstance(run.guide, Hierarchical)
    assert run.guide.data.size == len(run.split.noisy_indices)
    assert run.epochs == 5
    found = evaluate(run.predictor, run.test)
    assert found["accuracy"] == pytest.approx(float(metrics(folder)[-1]["test_accuracy"]))


def test_method_without_latents_has_no_pair(tmp_path: Path, run: Run) -> None:
    without = Run(fit(tmp_path / "run", "--method", "vri_pyro.methods.GLC", "--method.estimation_epochs", "1"))
    assert run.has_pair
    assert not without.has_pair
    assert list(without.algorithms) == ["estimation", "training"]
    assert not without.algorithm.transition.equal(torch.eye(10))  # type: ignore[attr-defined]


def test_predictor_is_the_averaged_ensemble_and_each_network_has_its_own_pair(tmp_path: Path) -> None:
    folder = fit(tmp_path / "run", "--networks", "2", "--ema", "0.9")
    first, second = (Run(folder, network) for network in range(2))
    found = evaluate(first.predictor, first.test)
    assert found["nll"] == pytest.approx(float(metrics(folder)[-1]["test_nll"]))
    weights = [[p.detach().flatten() for p in run.guide.parameters()] for run in (first, second)]
    assert not torch.equal(torch.cat(weights[0]), torch.cat(weights[1]))
    for number, run in enumerate((first, second)):
        assert isinstance(run.predictor, Ensemble)
        assert run.classifier is run.predictor.members[number]  # averaged, like the predictor
        output, batch = next(run.outputs(run.split.noisy_indices[:5]))
        assert RectificationELBO().terms(run.model, run.guide, output, batch.y).log_likelihood.shape == (5,)
    with pytest.raises(UserError, match="network is 2 but the run has 2 networks"):
        Run(folder, 2)


def test_folders_without_a_run_raise(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder; use the --output"):
        Run(tmp_path)
    unfinished = Path(shutil.copytree(folder, tmp_path / "unfinished"))
    (unfinished / "checkpoints" / "last.pt").unlink()
    with pytest.raises(UserError, match=r"checkpoint .* does not exist"):
        Run(unfinished)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@pytest.mark.parametrize(
    ("before", "after", "difference", "readers"),
    [
        ("\nbatch_size: 100", "\nbatch_size: 101", "batch_size was 100, now it is 101", [Run]),
        ("seed: 3", "seed: 2", "seed was 3, now it is 2", [Run]),
        ("networks: 1", "networks: 2", "networks was 1, now it is 2", [Run, Predictor]),
    ],
)
def test_changed_options_that_a_reader_uses_are_noticed(
    copied: Path, before: str, after: str, difference: str, readers: list[type]
) -> None:
    config = copied / "config.yaml"
    assert before in config.read_text()
    config.write_text(config.read_text().replace(before, after))
    message = rf"config\.yaml differs from the configuration in .*last\.pt \({difference}"
    for reader in readers:
        with pytest.raises(UserError, match=message):
            reader(copied)


def test_options_without_effect_on_the_results_may_change(copied: Path) -> None:
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("threads: 1", "threads: 2").replace("quiet: true", "quiet: false"))
    assert Run(copied).epochs == 2
    assert Predictor(copied).classes == tuple("0123456789")


def test_damaged_metrics_file_does_not_matter(copied: Path, folder: Path) -> None:
    (copied / "metrics.csv").write_text("epoch\n")
    assert Run(copied).rows == Run(folder).rows
    assert len(Run(copied).rows) == 2


def test_classes_that_disagree_with_the_split_are_noticed(copied: Path) -> None:
    files = RunFolder(copied)
    inputs = files.read_inputs()
    files.write_inputs(
        inputs["shape"], np.dtype("uint8"), inputs["classes"][:9], *map(np.array, (inputs["mean"], inputs["std"]))
    )
    with pytest.raises(UserError, match=r"inputs\.json has 9 classes but split\.npz has 10"):
        Run(copied)
    with pytest.raises(UserError, match=r"last\.pt does not fit the other files of the run, such as .*inputs\.json"):
        Predictor(copied)


def test_flipped_bit_in_the_name_of_an_optional_array_is_noticed(copied: Path) -> None:
    split = copied / "split.npz"
    content = split.read_bytes()
    place = content.rindex(b"true_labels")  # in the table at the end of the archive
    split.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(UserError, match=r"split\.npz is truncated or damaged"):
        Run(copied)
