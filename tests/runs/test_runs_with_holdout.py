"""Runs that keep noisy examples out of training: no stage sees them, and the commands still rank and correct them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vri_pyro.cli.main import main
from vri_pyro.data.examples import Examples
from vri_pyro.data.resident import DeviceData
from vri_pyro.infer.algorithm import Algorithm
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.label_issues import evidence_of, rank
from vri_pyro.report.noise_rate import noise_rate_verdict
from vri_pyro.report.seen import SeenRun
from vri_pyro.runs.run import Run
from vri_pyro.training.run_folder import RunFolder

Train = Callable[..., Path]
CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
KEPT_OUT = ("--split.noisy_holdout", "0.2")
SMALL = ("--backbone", "vri_pyro.backbones.MLP", "--backbone.hidden", "[16]", "--batch_size", "20")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The positions of all examples in batches of training, and of the noisy and clean ones in training contexts."""
    found: set[int] = set()
    sequence = DeviceData.sequence

    def noting(self: Examples, plan: object) -> object:
        batches = sequence(self, plan)  # type: ignore[arg-type]

        def at(step: int) -> object:
            batch = batches(step)
            assert batch.index is not None
            found.update(batch.index.tolist())
            return batch

        return at

    monkeypatch.setattr(DeviceData, "sequence", noting)
    context = TrainingContext.__init__

    def remembering(self: TrainingContext, *args: object, **options: object) -> None:
        context(self, *args, **options)  # type: ignore[arg-type]
        found.update(self.noisy.tolist(), self.clean.tolist())

    monkeypatch.setattr(TrainingContext, "__init__", remembering)
    return found


@pytest.mark.parametrize("name", ["vri", "glc", "elr", "confident_learning", "fine_tuned", "learned_transition"])
def test_no_stage_of_a_method_sees_them(name: str, train: Train, drawn: set[int], tmp_path: Path) -> None:
    options = ("--config", str(CONFIGS / f"{name}.yaml"), "--epochs", "6", *SMALL, *KEPT_OUT)
    split = Run(train(tmp_path / "run", *options)).split
    assert len(split.noisy_holdout) == 40
    assert drawn
    assert not drawn & set(split.noisy_holdout.tolist())
    assert set(split.noisy_training_indices.tolist()) <= drawn


def test_selected_clean_examples_are_not_among_them(train: Train, drawn: set[int], tmp_path: Path) -> None:
    options = ("--split.clean_per_class", "0", "--split.validation_from", "noisy", "--selection", "SmallLoss")
    options = (*options, "--selection.size", "20")
    split = Run(train(tmp_path / "run", *SMALL, *KEPT_OUT, *options, "--method.clean_weight", "1")).split
    assert len(split.noisy_holdout) == len(split.noisy_indices) - len(split.noisy_training_indices) > 0
    assert drawn
    assert not drawn & set(split.noisy_holdout.tolist())


def test_share_of_zero_gives_the_numbers_of_a_run_without_the_option(train: Train, tmp_path: Path) -> None:
    without, zero = train(tmp_path / "without", *SMALL), train(tmp_path / "zero", *SMALL, "--split.noisy_holdout", "0")
    assert (without / "metrics.csv").read_bytes() == (zero / "metrics.csv").read_bytes()
    one, other = (evidence_of(run, run.split.noisy_indices) for run in (Run(without), Run(zero)))
    assert one.unseen is other.unseen is None
    assert torch.equal(one.logits, other.logits)


def test_run_resumes_to_the_same_numbers_and_only_with_the_same_share(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--epochs", "4", *SMALL, *KEPT_OUT)
    whole = train(tmp_path / "whole", *options)

    begin = Algorithm.begin_epoch

    def stopping(self: Algorithm, context: TrainingContext) -> object:
        begun.append(context)
        if len(begun) == 3:
            raise RuntimeError("stopped")
        return begin(self, context)

    begun: list[TrainingContext] = []
    with monkeypatch.context() as patched:
        patched.setattr(Algorithm, "begin_epoch", stopping)
        with pytest.raises(AssertionError):  # the command failed
            train(tmp_path / "run", *options)
    assert len(begun) == 3
    config = ("--config", str(tmp_path / "run" / "config.yaml"), "--resume", "true")
    assert main(["fit", *config, "--split.noisy_holdout", "0.3"]) == 2
    assert "split.noisy_holdout was 0.2, now it is 0.3" in capsys.readouterr().err
    assert main(["fit", *config]) == 0
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


def test_run_of_a_version_without_the_option_resumes(train: Train, tmp_path: Path) -> None:
    folder = train(tmp_path / "run", *SMALL)
    last = RunFolder(folder).last
    checkpoint = torch.load(last, weights_only=True)
    config = yaml.safe_load(checkpoint["config"])
    del config["split"]["noisy_holdout"]
    torch.save(checkpoint | {"config": yaml.safe_dump(config, sort_keys=False)}, last)
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    del saved["split"]["noisy_holdout"]
    (folder / "config.yaml").write_text(yaml.safe_dump(saved, sort_keys=False))
    assert main(["fit", "--config", str(folder / "config.yaml"), "--resume", "true"]) == 0
    assert len(Run(folder).split.noisy_holdout) == 0


def test_report_judges_all_of_them_and_says_why_the_rate_cannot_be_told(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(train(tmp_path / "run", *SMALL, *KEPT_OUT))
    seen = SeenRun(run, most=45)
    assert len(seen.judged) < len(run.split.noisy_indices)
    assert set(run.split.noisy_holdout) < set(run.split.noisy_indices[seen.judged])
    # Memorised labels are no problem for the rate here, so what is said is that its interval is wide.
    memorised = replace(seen.issues, learned_by_heart=True, by_classifier=True, accuracy=(0.9, 100), kept_out=40)
    monkeypatch.setattr(type(memorised.transition), "noise_rate_interval", lambda _: (0.1, 0.6))
    seen.__dict__["issues"] = memorised
    assert memorised.warning is not None
    verdict = noise_rate_verdict(seen).words
    assert "The 95% interval of the estimate is wider than 20 percentage points" in verdict
    assert memorised.warning not in verdict


def test_commands_rank_report_and_correct_all_noisy_examples(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(tmp_path / "run", *SMALL, *KEPT_OUT)
    run = Run(folder)
    assert main(["issues", str(folder), "--device", "cpu"]) == 0
    assert "40 of the noisy labels were kept out of training" in capsys.readouterr().out
    with (folder / "label_issues.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["index"]) for row in rows) == run.split.noisy_indices.tolist()
    assert main(["report", str(folder), "--device", "cpu"]) == 0
    assert "noisy examples kept out of training" in (folder / "report.html").read_text()
    table = tmp_path / "corrections.csv"
    index = int(run.split.noisy_holdout[0])
    table.write_text(f"index,corrected\n{index},{run.classes[0]}\n")
    output = tmp_path / "corrected.npz"
    assert main(["relabel", str(folder), "--corrections", str(table), "--output", str(output)]) == 0
    config = ("--config", str(folder / "config.yaml"), "--output", str(tmp_path / "again"))
    again = train(tmp_path / "again", *config, "--split.file", str(output))
    next_split = Run(again).split
    assert set(next_split.noisy_holdout) < set(next_split.noisy_indices)
    assert len(next_split.noisy_holdout) == 40
    assert index not in next_split.noisy_indices


def test_evidence_says_which_labels_were_not_trained_on(train: Train, tmp_path: Path) -> None:
    run = Run(train(tmp_path / "run", *SMALL, *KEPT_OUT))
    evidence = evidence_of(run, run.split.noisy_indices)
    assert evidence.trained_on
    assert evidence.unseen is not None
    assert np.array_equal(run.split.noisy_indices[evidence.unseen.numpy()], run.split.noisy_holdout)
    assert rank(evidence, draws=5).kept_out == 40
    alone = evidence_of(run, run.split.noisy_holdout)
    assert not alone.trained_on
    assert alone.unseen is None
    assert evidence_of(run, run.split.noisy_training_indices).unseen is None


@pytest.mark.parametrize(
    ("share", "told"),
    [
        ("-0.1", "noisy_holdout is -0.1; expected a value in [0, 1)"),
        ("1", "noisy_holdout is 1.0; expected a value in [0, 1)"),
        ("0.999", "noisy_holdout 0.999 keeps all 200 noisy examples out of training"),
    ],
)
def test_unusable_share_is_refused_in_one_sentence(
    share: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(CONFIGS / "cross_entropy.yaml")
    options = ["--split.noisy_size", "200", "--split.noisy_holdout", share, "--output", str(tmp_path / "run")]
    assert main(["fit", "--config", config, *options]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "split.npz").exists()
