"""Bad input exits with status 2 and one line that names the offending input and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.cli.main import COMMANDS
from vri_pyro.training.checkpoint import FORMAT

from .conftest import FINE_TUNING, Command, Result


def _complaint(result: Result) -> str:
    """Return the error message; check that it is a single line and that the exit status is 2."""
    assert result.status == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--epochs 0", "epochs is 0; expected a value >= 1"),
        ("--loggers WandbLogger", "--loggers: expected a list in brackets, such as [16, 8] or [MyClass], not 'Wandb"),
        ("--loggers [Nope]", "--loggers: 'Nope' is not a class path; expected one such as my_file.MyClass"),
        ("--epochs three", "--epochs: expected an integer, not 'three'"),
        ("--batch_size -5", "batch_size is -5; expected a value >= 1"),
        ("--threads -1", "threads is -1; expected a value >= 0"),
        ("--seed -1", "seed is -1; expected a value >= 0"),
        ("--device tpu", "--device: expected one of 'auto', 'cpu', 'cuda', not 'tpu'"),
        ("--resume maybe", "--resume: expected true or false, not 'maybe'"),
        ("--resume", "--resume needs a value; use --resume VALUE (true or false for a Boolean option)"),
        ("--noise Flip --noise.rate -0.1", "Flip got rate -0.1; expected a probability from 0 to 1."),
        ("--epoch 3", "unrecognised arguments: --epoch 3; did you mean --epochs?"),  # options are not abbreviated
        ("--noise.rate 0.1", "--noise: choose a class before its option 'rate'; `vri-pyro fit --help` lists the"),
        ("--noise Flip --noise.rate lots", "--noise.rate: expected a number, not 'lots'"),
        ("--optimizer.lr fast", "--optimizer.lr: expected a number, not 'fast'"),
        ("--optimizer.lr -1", "optimizer.lr is -1.0; expected a value >= 0"),
        ("--optimizer.init_args.lr -1", "optimizer.init_args.lr is -1.0; expected a value >= 0"),
        ("--optimizer.momentum 2", "optimizer.momentum is 2.0; expected a value in [0, 1)"),
        ("--optimizer torch.optim.Adam --optimizer.betas [0.9,1]", "optimizer.betas is 1.0; expected a value in [0, 1"),
        ("--method.outer_optimizer.eps -1", "method.outer_optimizer.eps is -1.0; expected a value >= 0"),
        ("--threads 100000", "threads is 100000; expected a value <= 1024"),
        ("--workers 1000000", "workers is 1000000; expected a value <= 1024"),
        ("--networks 100000", "networks is 100000; expected a value <= 1000"),
        ("--seed 18446744073709551616", "seed is 18446744073709551616; expected a value below 2^63"),
        ("--trunk true", "--trunk takes no value; set its options, such as --trunk.frozen"),
        ("--split true", "--split takes no value; set its options, such as --split.file"),
        ("--ema true", "--ema: expected a number, not 'true'"),
        (
            "--backbone MLP --backbone.hidden null",
            "MLP got hidden widths None; expected positive widths, such as [64], or [] ",
        ),
        ("--epochs true", "--epochs: expected an integer, not 'true'"),
        ("--backbone MLP --backbone.hidden [8.5]", "--backbone.hidden: expected an integer, not '8.5'"),
        ("--backbone MLP --backbone.hidden [1000000000]", "the backbone needs more memory than there is ("),
        (
            "--data CsvFile",
            "--data: 'CsvFile' is not a class path; expected one such as my_file.MyClass, or one of Animal10N, ",
        ),
        ("--method VIR", "--method: 'VIR' is not a class path; did you mean --config vri?"),
        ("--data.path x", "--data: choose a class that has the option 'path', --data CLASS with one of Animal10N, "),
        ("--output=", "--output is empty; give it a value, or leave it out"),
        ("--method.num_particles 0", "num_particles is 0; expected a value >= 1"),
        (
            "--method.guide.hidden wide",
            "--method.guide.hidden: expected a list in brackets, such as [16, 8] or [MyClass], not 'wide'",
        ),
        (
            "--split.clean_per_class 0",
            "training needs clean examples but the split has none; set split.clean_per_class, use a selection such as "
            "SmallLoss, or set method.clean_weight to 0",
        ),
        ("--split.clean_per_class -1", "clean_per_class is -1; expected a value >= 0."),
        (
            "--selection SmallLoss",
            "selection is set but the split has 30 clean examples; set split.clean_per_class to 0, or remove the",
        ),
        (
            "--selection SmallLoss --selection.size 5000 --split.clean_per_class 0",
            "selection.size is 5000 but there are 1370 noisy examples; expected a value <= 1370",
        ),
        ("--selection SmallLoss --selection.size 0", "selection.size is 0; expected a value >= 1"),
        ("--selection Nope", "--selection: 'Nope' is not a class path; expected one such as my_file.MyClass"),
        ("--ema 2", "ema is 2.0; expected a value in (0, 1), such as 0.999, or null for no average"),
        ("--ema much", "--ema: expected a number, not 'much'"),
        ("--networks 0", "networks is 0; expected a value >= 1"),
        ("--clean_mixup.every 0", "clean_mixup.every is 0; expected a value >= 1"),
        ("--clean_mixup.alpha -1", "clean_mixup.alpha is -1.0; expected a value > 0"),
        ("--schedule CyclicCosine --schedule.half_period 0", "schedule.half_period is 0; expected a value >= 1"),
        ("--augmentation Mixup --augmentation.alpha 0", "Mixup got alpha 0.0; expected a finite value > 0."),
        (
            "--augmentation RandomCrop --augmentation.size 6",
            "the classifier's inputs have different shapes (augmentation [1, 6, 6], clean_augmentation "
            "[1, 8, 8], evaluation [1, 6, 6]); use the same crop in both augmentations",
        ),
        (
            "--hypergradient SplitJVP",
            "unrecognised arguments: --hypergradient SplitJVP; did you mean --method.hypergradient?",
        ),
        (
            "--backbone TorchvisionNetwork --backbone.head fc",
            "--backbone: choose a class that has the option 'head', --backbone CLASS with one of FromModule",
        ),
        ("--splt.file x", "unrecognised arguments: --splt.file x; did you mean --split.file?"),
        ("--split.fle x", "unrecognised arguments: --split.fle x; did you mean --split.file?"),
        ("--metod.model x", "unrecognised arguments: --metod.model x; did you mean --method.model?"),
        (
            "--method.outer_kl_wieght 3",
            "--method: there is no option 'outer_kl_wieght'; did you mean --method.outer_kl_weight?",
        ),
        ("--data ImageFolder --data.pth x", "--data: there is no option 'pth'; did you mean --data.path?"),
        ("--optimizer.lrr 0.1", "--optimizer: there is no option 'lrr'; did you mean --optimizer.lr?"),
        (
            "--method.model.pror.hidden [3]",
            "--method.model: unrecognised arguments: --pror.hidden=[3]; did you mean --method.model.prior.hidden?",
        ),
        ("--method Bilevl", "--method: 'Bilevl' is not a class path; did you mean Bilevel?"),
        ("--backbone smallcnn", "--backbone: 'smallcnn' is not a class path; did you mean SmallCNN?"),
        ("--optimizer SDG", "--optimizer: 'SDG' is not a class path; did you mean torch.optim.SGD?"),
        (
            "--optimizer torch.optim.SDG",
            "--optimizer: module 'torch.optim' has no class 'SDG'; did you mean torch.optim.SGD?",
        ),
        (
            "--method.model vri_pyro.models.Rectfication",
            "--method.model: module 'vri_pyro.models' has no class 'Rectfication'; did you mean "
            "vri_pyro.models.Rectification?",
        ),
        (
            "--method vri_pyro.metods.Bilevel",
            "--method: module 'vri_pyro' has no class 'metods'; did you mean vri_pyro.methods?",
        ),
        (
            "--method vri_pyr.methods.Bilevel",
            "--method: module 'vri_pyr' is neither in the working directory nor installed; did you mean vri_pyro?",
        ),
        ("--device cud", "--device: expected one of 'auto', 'cpu', 'cuda', not 'cud'; did you mean cuda?"),
        (
            "--split.validation_from nosy",
            "--split.validation_from: expected one of 'clean', 'noisy', not 'nosy'; did you mean noisy?",
        ),
        ("--gibberish 1", "unrecognised arguments: --gibberish 1; `vri-pyro fit --help` lists the options"),
        (
            "--method.guide.nonsense 1",
            "--method.guide: there is no option 'nonsense'; `vri-pyro fit --help` lists the options",
        ),
        (
            "--method.guide no_such.Guide",
            "--method.guide: module 'no_such' is neither in the working directory nor installed; check the class path",
        ),
        (
            "--noise no_such.Noise",
            "--noise: module 'no_such' is neither in the working directory nor installed; check the class path",
        ),
        (
            "--method.guide vri_pyro.guides.Nope",
            "--method.guide: module 'vri_pyro.guides' has no class 'Nope'; check the class path",
        ),
        (
            "--method.guide vri_pyro.models.CrossEntropy",
            "--method.guide: expected a subclass of Guide, not vri_pyro.models.CrossEntropy",
        ),
        (
            "--method.model.prior vri_pyro.guides.DiagonalNormal",
            "--method.model.prior: expected a subclass of Prior, not vri_pyro.guides.DiagonalNormal",
        ),
        ("--noise vri_pyro.data.Digits", "--noise: expected a subclass of LabelNoise, not vri_pyro.data.Digits"),
        ("--backbone torch.nn.Linear", "--backbone: expected a subclass of Classifier, not torch.nn.Linear"),
        ("--schedule linear", "--schedule: 'linear' is not a class path; did you mean LinearWarmUp?"),
        ("--schedule Decay", "--schedule: 'Decay' is not a class path; expected one such as my_file.MyClass"),
        (
            "--method.hypergradient Nope",
            "--method.hypergradient: 'Nope' is not a class path; expected one such as my_file.MyClass",
        ),
        ("--data vri_pyro.data.NpzFile", "--data: options without a default are missing; set --data.path"),
        (
            "--fine_tuning.epochs 3",
            "--fine_tuning: options without a default are missing; set --fine_tuning.method, --fine_tuning.optimizer",
        ),
        ("--config tuned.yaml --fine_tuning.epochs 0", "epochs is 0; expected a value >= 1"),
        (
            "--config tuned.yaml --fine_tuning.schedule CyclicCosine --fine_tuning.schedule.half_period 0",
            "schedule.half_period is 0",
        ),
        (
            "--warm_up.epochs 3",
            "--warm_up: options without a default are missing; set --warm_up.method, --warm_up.optimizer",
        ),
        (
            "--optimizer torch.optim.LBFGS",
            "no virtual step is implemented for the inner optimiser LBFGS; use one of SGD, Adam, AdamW",
        ),
        ("--config missing.yaml", "there is no file missing.yaml; check the path."),
        ("--config .", ". is a folder; expected a YAML file, such as config.yaml in a run folder."),
        ("--output tiny.yaml/run", "cannot write tiny.yaml/run: Not a directory (no previous file existed); free"),
    ],
)
def test_bad_option(vri_pyro: Command, here: Path, options: str, complaint: str) -> None:
    (here / "tuned.yaml").write_text(FINE_TUNING)
    assert _complaint(vri_pyro("fit", "--config", "tiny.yaml", *options.split())).startswith(
        complaint.replace("{here}", str(here))
    )
    assert not (here / "run" / "checkpoints" / "last.pt").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "a: [1,\nb: }",
            "bad.yaml, line 2: expected the node content, but found '}'; check the line's indentation, col",
        ),
        ("epochs: 1\n\tseed: 2\n", "bad.yaml, line 2: the line is indented with a tab; use spaces."),
        (
            "epochs: 1\n  seed: 2\n",
            "bad.yaml, line 2: mapping values are not allowed here; check the line's indent",
        ),
        ("epochs: 1\nseed 2\nema: 0.9\n", "bad.yaml, line 2: could not find expected ':'; check the line's indentatio"),
        ("epochs: 1\nema: '\a'\n", "bad.yaml is not valid YAML (unacceptable character #x0007"),
        ("epochs: 1\noutput: caf\udce9\n", "bad.yaml, line 2: not UTF-8 text; save the file as UTF-8."),
        ("- 1\n", "bad.yaml does not map options to values; use the format of config.yaml in a run folder."),
        ("seed: 1\nepoch: 3\n", "bad.yaml, line 2: there is no option 'epoch'; did you mean --epochs?"),
        ("split:\n  fiel: x\n", "bad.yaml, line 2: there is no option 'split.fiel'; did you mean --split.file?"),
        ("seed: 1\ngibberish: 3\n", "bad.yaml, line 2: there is no option 'gibberish'; `vri-pyro fit --help` lists"),
        ("seed: 1\ntrunk: true\n", "bad.yaml, line 2: --trunk takes no value; set its options, such as --trunk.froz"),
        ("split: 3\n", "--split takes no value; set its options, such as --split.file"),
        ("split: [1]\n", "--split takes no value; set its options, such as --split.file"),
        ("noise: true\n", "bad.yaml, line 1: --noise: expected the class path of a LabelNoise, such as my_file.M"),
        ("seed: 1\nepochs: three\n", "bad.yaml, line 2: --epochs: expected an integer, not 'three'"),
        (
            "seed: 1\ndevice: cud\n",
            "bad.yaml, line 2: --device: expected one of 'auto', 'cpu', 'cuda', not 'cud'; ",
        ),
        ("noise:\n  class_path: Flp\n", "bad.yaml, line 2: --noise: 'Flp' is not a class path; did you mean Flip?"),
        (
            "noise:\n  class_path: Flip\n  init_args:\n    rate: lots\n",
            "bad.yaml, line 4: --noise.rate: expected a number, not 'lots'",
        ),
        (
            "method:\n  class_path: vri_pyro.methods.Bilevel\n  init_args:\n    guid: x\n",
            "bad.yaml, line 4: --method: there is no option 'guid'; did you mean --method.guide?",
        ),
    ],
)
def test_bad_config_file(vri_pyro: Command, here: Path, text: str, complaint: str) -> None:
    (here / "bad.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert _complaint(vri_pyro("fit", "--config", "bad.yaml")).startswith(complaint)


def test_a_bad_option_on_the_command_line_is_not_looked_for_in_the_file(vri_pyro: Command, here: Path) -> None:
    (here / "fine.yaml").write_text("epochs: 1\nnoise: {class_path: Flip, init_args: {rate: 0.1}}\n")
    for given, complaint in (
        (("--epochs", "three"), "--epochs: expected an integer, not 'three'"),
        (("--epochs=three",), "--epochs: expected an integer, not 'three'"),
        (("--noise", "Flp"), "--noise: 'Flp' is not a class path; did you mean Flip?"),
        (("--noise.rat", "0.1"), "--noise: there is no option 'rat'; did you mean --noise.rate?"),
    ):
        assert _complaint(vri_pyro("fit", "--config", "fine.yaml", *given)) == complaint


def test_a_bad_option_in_the_first_of_two_files_is_found_there(vri_pyro: Command, here: Path) -> None:
    (here / "one.yaml").write_text("seed: 1\nepochs: three\n")
    (here / "two.yaml").write_text("seed: 2\n")
    found = _complaint(vri_pyro("fit", "--config=one.yaml", "--config", "two.yaml", "--epochs", "3"))
    assert found == "one.yaml, line 2: --epochs: expected an integer, not 'three'"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda text: text.replace("epochs: 1", "epochs: one"),
            "line {line}: --epochs: expected an integer, not 'one'",
        ),
        (
            lambda text: text.replace("epochs: 1", "epoch: 1"),
            "line {line}: there is no option 'epoch'; did you mean --",
        ),
        (
            lambda text: text.replace("epochs: 1", "\tepochs: 1"),
            "line {line}: the line is indented with a tab; use spa",
        ),
    ],
)
def test_the_configuration_of_a_run_is_named_with_the_line(
    vri_pyro: Command, here: Path, change: Callable[[str], str], complaint: str
) -> None:
    assert vri_pyro("fit", "--config", "tiny.yaml").status == 0
    file = here / "run" / "config.yaml"
    text = file.read_text()
    line = text.splitlines().index("epochs: 1") + 1
    file.write_text(change(text))
    found = _complaint(vri_pyro("issues", "run", "--device", "cpu"))
    assert found.startswith(f"run/config.yaml, {complaint.format(line=line)}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["fti"], "there is no command 'fti'; did you mean 'fit'?"),
        (["isues", "run"], "there is no command 'isues'; did you mean 'issues'?"),
        (["issues", "run", "--devic_", "cpu"], "unrecognised arguments: --devic_ cpu; did you mean --device?"),
        ([], f"the first argument must be a command; expected one of {', '.join(map(repr, COMMANDS))}"),
        (["train"], f"there is no command 'train'; expected one of {', '.join(map(repr, COMMANDS))}"),
        (["--nonsense"], f"the first argument must be a command; expected one of {', '.join(map(repr, COMMANDS))}"),
    ],
)
def test_bad_command(vri_pyro: Command, arguments: list[str], complaint: str) -> None:
    assert _complaint(vri_pyro(*arguments)) == complaint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(vri_pyro: Command) -> None:
    found = _complaint(vri_pyro("fit", "--config", "tiny.yaml", "--device", "cuda"))
    assert found == "device is cuda but no CUDA device is available; use --device auto or --device cpu"


def _arrays(**changes: Any) -> dict[str, Any]:
    """Arrays of a valid .npz file, 90 vectors of 3 classes, updated by ``changes``."""
    labels = np.arange(90) % 3
    arrays = {
        "x_train": np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32),
        "y_train": labels,
        "x_test": np.zeros((9, 4), np.float32),
        "y_test": labels[:9],
    }
    return arrays | changes


def _fit_npz(command: Command, here: Path, *options: str, **changes: Any) -> Result:
    np.savez(here / "mine.npz", **_arrays(**changes))
    npz = [
        "--data",
        "vri_pyro.data.NpzFile",
        "--data.path",
        "mine.npz",
        "--data.verified",
        "true",
        "--batch_size",
        "20",
    ]
    return command("fit", "--config", "tiny.yaml", *npz, *options)


NO_NOISE = ("--noise", "vri_pyro.data.NoNoise")


def test_valid_npz_is_accepted(vri_pyro: Command, here: Path) -> None:
    assert _fit_npz(vri_pyro, here).status == 0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"y_train": np.full(90, -1)}, "y_train[0] is -1; labels are 0 to"),
        ({"y_train": np.arange(90) % 3 * 2}, "No label is 3 although the largest label is 4"),
        (
            {"y_train": np.arange(90) % 4, "classes": np.array(["a", "b", "c"])},
            "y_train[3] is 3; labels are 0 to 2",
        ),
        ({"y_train": np.zeros(90)}, "y_train has dtype float64 but must have an integer dtype; convert"),
        ({"y_train": np.arange(89) % 3}, "y_train has 89 labels for 90 examples; expected one label per example."),
        (
            {"x_train": np.where(np.arange(360).reshape(90, 4) == 7, np.nan, 1.0)},
            "x_train[1, 3] is NaN; fill in missing values, or drop the examples that have some.",
        ),
        (
            {"x_test": np.full((9, 4), np.inf, np.float32)},
            "x_test[0, 0] is inf; replace or drop infinite values.",
        ),
        (
            {"x_test": np.zeros((9, 5), np.float32)},
            "x_test has examples of shape (5,) but x_train has examples of shape (4,)",
        ),
        (
            {"y_train_clean": np.arange(90) % 3, "clean_indices": np.arange(9)},
            "Both y_train_clean and clean_indices are given; use",
        ),
        ({"clean_indices": np.array([0, 90])}, "clean_indices[1] is 90; the training set has 90 examples"),
        (
            {"clean_indices": np.array([0, 3, 3])},
            "clean_indices contains index 3 more than once; remove the duplicates.",
        ),
    ],
)
def test_bad_arrays(vri_pyro: Command, here: Path, changes: dict[str, Any], complaint: str) -> None:
    found = _complaint(_fit_npz(vri_pyro, here, **changes))
    assert found.startswith(f"In mine.npz: {complaint}")


def test_empty_clean_set(vri_pyro: Command, here: Path) -> None:
    found = _complaint(_fit_npz(vri_pyro, here, *NO_NOISE, clean_indices=np.array([], int)))
    assert found == "clean_indices is empty; expected at least one example with a trusted label."


def test_everything_clean_leaves_nothing_noisy(vri_pyro: Command, here: Path) -> None:
    found = _complaint(_fit_npz(vri_pyro, here, *NO_NOISE, clean_indices=np.arange(90)))
    assert found.startswith("No examples are left for the noisy set; use fewer")


def test_noise_on_top_of_noise(vri_pyro: Command, here: Path) -> None:
    found = _complaint(
        _fit_npz(vri_pyro, here, "--noise", "Flip", "--noise.rate", "0.4", y_train_clean=np.arange(90) % 3)
    )
    assert found.startswith("y_train is already noisy, since the data have y_train_clean, but Flip(rate=0.4)")


def test_an_outlier_of_vectors_is_a_warning_that_names_it(own_process: Command, here: Path) -> None:
    x = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
    x[5, 2] = 1e8
    result = _fit_npz(own_process, here, *NO_NOISE, x_train=x, clean_indices=np.arange(0, 90, 4))
    assert result.status == 0
    assert "warning: column 2 of x_train has the outlier 1e+08 in example 5: half of its values lie" in result.stderr


def test_misspelt_arrays_stop_the_run(vri_pyro: Command, here: Path) -> None:
    found = _complaint(_fit_npz(vri_pyro, here, *NO_NOISE, verifed=np.full(90, -1)))
    assert found.startswith("mine.npz has the array 'verifed', which is not read; rename it to 'verified'")


def test_clean_set_that_misses_a_class_is_a_warning_that_names_it(own_process: Command, here: Path) -> None:
    clean = np.flatnonzero(np.arange(90) % 3 != 1)[:20]
    result = _fit_npz(own_process, here, *NO_NOISE, "--split.clean_per_class", "null", clean_indices=clean)
    assert result.status == 0
    assert result.stderr.splitlines() == [
        "warning: The clean set has no example of 1 of 3 classes ('1'), so it cannot help to rectify their labels; add "
        "trusted examples of them."
    ]


def test_saved_split_whose_clean_and_noisy_parts_overlap(vri_pyro: Command, here: Path) -> None:
    assert _fit_npz(vri_pyro, here).status == 0
    with np.load(here / "run" / "split.npz") as pack:
        parts = dict(pack)
    parts["clean_indices"][0] = parts["noisy_indices"][0]
    np.savez(here / "run" / "split.npz", **parts)
    found = _complaint(_fit_npz(vri_pyro, here, "--resume", "true"))
    assert "noisy_indices and clean_indices share 1 examples, the first at index" in found


OWN_GUIDES = """
import pyro, torch
import pyro.distributions as dist
from vri_pyro.interfaces.base import Guide

class _Constant(Guide):
    site, extra = "v", 0

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.location = torch.nn.Parameter(torch.zeros(num_classes + self.extra))

    def forward(self, output, y):
        with pyro.plate("data", len(y)):
            location = self.location.expand(len(y), -1)
            return pyro.sample(self.site, dist.Normal(location, torch.ones(())).to_event(1))

class OtherSite(_Constant):
    site = "w"

class OtherShape(_Constant):
    extra = 1

class Untyped(Guide):
    def __init__(self, feature_dim, num_classes):
        super().__init__()

class Raising(_Constant):
    def forward(self, output, y):
        raise KeyError("a mistake of the author's")
"""


@pytest.mark.parametrize(
    ("guide", "complaint"),
    [
        ("OtherSite", "the model's latent sites ['v'] differ from the guide's ['w']; the guide must"),
        ("OtherShape", "latent site 'v' has shape [2, 11] in the guide but [2, 10] in the model; use the same"),
        (
            "Untyped",
            "--method: parameter feature_dim of my_guides.Untyped.__init__ has no type annotation; annotate it, for "
            "example as feature_dim: int",
        ),
    ],
)
def test_guide_and_model_that_do_not_fit(own_process: Command, here: Path, guide: str, complaint: str) -> None:
    (here / "my_guides.py").write_text(OWN_GUIDES)
    result = own_process("fit", "--config", "tiny.yaml", "--method.guide", f"my_guides.{guide}")
    assert _complaint(result).startswith(complaint)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            "--method.model.prior VampPrior --method.guide.vector LowRankNormal",
            "VampPrior needs a guide with a diagonal normal posterior, such as DiagonalNormal",
        ),
        (
            "--method.guide DiagonalNormal",
            "the model's latent sites ['gate', 'transition', 'transition_gate', 'v'] differ",
        ),
        (
            "--method Bilevel --method.model Rectification --method.guide Hierarchical",
            "the model's latent sites ['v'] differ from the guide's ['gate', 'transition', 'transition_gate', 'v'];",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_any_stage(
    vri_pyro: Command, here: Path, options: str, complaint: str
) -> None:
    assert _complaint(vri_pyro("fit", *options.split())).startswith(complaint)
    assert not list(here.glob("runs/*/checkpoints/*"))


def test_fault_in_the_users_own_class_exits_with_1_and_says_how_to_see_where(own_process: Command, here: Path) -> None:
    (here / "my_guides.py").write_text(OWN_GUIDES)
    arguments = ("fit", "--config", "tiny.yaml", "--method.guide", "my_guides.Raising")
    result = own_process(*arguments)
    assert result.status == 1
    assert result.stderr.splitlines() == [
        'error: KeyError: "a mistake of the author\'s" (add --debug for the traceback)'
    ]
    shown = own_process("--debug", *arguments)
    assert shown.status == 1
    assert 'my_guides.py", line' in shown.stderr


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(own_process: Command, place: str) -> None:
    command = ["fit", "--config", "tiny.yaml", "--epochs", "0"]
    result = own_process(*(["--debug", *command] if place == "before" else [*command, "--debug"]))
    assert result.status != 0
    assert "Traceback (most recent call last)" in result.stderr
    assert "epochs is 0; expected a value >= 1" in result.stderr


@pytest.fixture
def finished(vri_pyro: Command) -> Command:
    """The command line, in a folder with a finished run."""
    assert vri_pyro("fit", "--config", "tiny.yaml").status == 0
    return vri_pyro


def test_folder_that_holds_a_run(finished: Command) -> None:
    found = _complaint(finished("fit", "--config", "tiny.yaml"))
    assert found == "run already contains a run; add --resume true to continue it, or choose another --output"


def test_option_of_a_class_of_a_resumed_run_whose_options_are_not_read(finished: Command) -> None:
    remedy = "--data: --resume true alone does not read the options of the run; add --config run/config.yaml"
    assert _complaint(finished("fit", "--output", "run", "--resume", "true", "--data.path", "x.npz")) == remedy
    assert _complaint(finished("fit", "--output=run", "--resume=True", "--noise.rate", "0.1")) == remedy.replace(
        "--data", "--noise"
    )
    for given in (("--resume", "false"), ("--resume", "true", "--output", "new")):
        found = _complaint(finished("fit", "--output", "run", *given, "--data.path", "x.npz"))
        assert found.startswith("--data: choose a class that has the option 'path'")


def test_option_of_a_network_without_its_class(vri_pyro: Command, here: Path) -> None:
    found = _complaint(vri_pyro("fit", "--output", "run", "--backbone.hidden", "null"))
    assert found == "--backbone: choose a class that has the option 'hidden', --backbone CLASS with one of MLP"


def test_truncated_checkpoint(finished: Command, here: Path) -> None:
    last = here / "run" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-1000])
    found = _complaint(finished("fit", "--config", "tiny.yaml", "--resume", "true"))
    assert found.startswith("checkpoint run/checkpoints/last.pt is damaged or not a checkpoint; delete it and restart")


def test_checkpoint_of_another_configuration(finished: Command) -> None:
    found = _complaint(finished("fit", "--config", "tiny.yaml", "--resume", "true", "--method.num_particles", "3"))
    assert "a different configuration (method.num_particles was 2, now it is 3); resume with" in found


def test_checkpoint_of_another_version(finished: Command, here: Path) -> None:
    last = here / "run" / "checkpoints" / "last.pt"
    torch.save(torch.load(last, weights_only=True) | {"format": 99}, last)
    found = _complaint(finished("fit", "--config", "tiny.yaml", "--resume", "true"))
    assert f"has format 99 but this version of vri_pyro reads format {FORMAT}; use the version that wrote it" in found


def test_other_threads_and_device_and_folder_do_not_make_another_configuration(finished: Command, here: Path) -> None:
    (here / "run").rename(here / "moved")
    moved = ("--output", "moved", "--device", "auto", "--quiet", "true", "--resume", "true")
    assert finished("fit", "--config", "tiny.yaml", *moved).status == 0


def test_training_that_breaks_down(vri_pyro: Command) -> None:
    result = vri_pyro("fit", "--config", "tiny.yaml", "--optimizer.lr", "1e30", "--epochs", "3", "--quiet", "true")
    assert "non-finite for 10 consecutive steps; training stopped. Files saved earlier are intact. Lower" in _complaint(
        result
    )


def test_bad_data_leave_no_run_folder_behind(vri_pyro: Command, here: Path) -> None:
    _complaint(_fit_npz(vri_pyro, here, y_train=np.zeros(90)))
    assert not (here / "run").exists()
