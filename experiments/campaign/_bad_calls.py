"""Bad calls in Python: the function or class, the call, and words that the message must contain."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import torch
from torch import nn

import vri_pyro
from vri_pyro import backbones, data, guides, infer, methods, models
from vri_pyro.data import augmentation
from vri_pyro.methods.base import Stage
from vri_pyro.runs.configuration import SplitSizes
from vri_pyro.training.clean_mixup import CleanMixup
from vri_pyro.training.selection import GaussianMixture, SmallLoss

# Names that only the calls use, which are text.
USED_IN_CALLS = (Path, pd, backbones, augmentation, Stage, SplitSizes, CleanMixup, GaussianMixture, SmallLoss, infer)

_generator = np.random.default_rng(0)
X = _generator.normal(size=(60, 5))
Y = np.arange(60) % 3
P = np.full((60, 3), 0.1) + 0.7 * np.eye(3)[Y]


class Tiny(vri_pyro.Classifier):
    """A classifier whose mistakes are options."""

    def __init__(self, feature_dim: Any = 5, num_classes: Any = 3, output: Any = None, width: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(5, width)
        if feature_dim is not None:
            self.feature_dim = feature_dim
        if num_classes is not None:
            self.num_classes = num_classes
        self.output = output

    def forward(self, x: torch.Tensor) -> Any:
        logits = self.head(x)
        return vri_pyro.ClassifierOutput(logits, x) if self.output is None else self.output(logits, x)


def inject(noise: Any, labels: Any = Y, classes: int = 3) -> Any:
    """Apply a noise to labels."""
    return noise.apply(np.asarray(labels), X, classes, np.random.default_rng(0))


def fit(X: Any = X, y: Any = Y, trusted: Any = range(0, 60, 4), **options: Any) -> Any:
    """Fit a classifier with few epochs."""
    return vri_pyro.VRIClassifier(**{"epochs": 1, "random_state": 0} | options).fit(X, y, trusted)


def fitted(**options: Any) -> Any:
    """Return a classifier that is fitted."""
    return fit(method="elr", trusted=None, **options)


def arrays(**changes: Any) -> Any:
    """Build arrays with some fields changed."""
    fields = {"x_train": X, "y_train": Y, "x_test": None, "y_test": None, "classes": ("a", "b", "c")}
    return data.Arrays(**fields | changes)


def split(**changes: Any) -> Any:
    """Split arrays with some options changed."""
    sizes = {"clean_per_class": 3, "validation_per_class": 3, "noisy_size": None}
    return data.make_split(**{"arrays": arrays(), "noise": data.Flip(0.2), "seed": 0} | sizes | changes)


def pair(classifier: Any = None) -> tuple[Any, Any, Any]:
    """Return a classifier with a model and a guide."""
    return classifier or Tiny(), models.Rectification(5, 3), guides.DiagonalNormal(5, 3)


def bilevel(classifier: Any = None, inner: Any = None, outer: Any = None, **options: Any) -> Any:
    """Build a BilevelSVI."""
    network, model, guide = pair(classifier)
    inner = torch.optim.SGD(network.parameters(), 0.1) if inner is None else inner(network.parameters())
    both = [*model.parameters(), *guide.parameters()]
    outer = torch.optim.Adam(both, 0.1) if outer is None else outer(both)
    return vri_pyro.BilevelSVI(network, model, guide, inner, outer, **options)


def single(classifier: Any = None, **options: Any) -> Any:
    """Build a SingleLevelSVI."""
    network, model, guide = pair(classifier)
    every = [*network.parameters(), *model.parameters(), *guide.parameters()]
    return vri_pyro.SingleLevelSVI(network, model, guide, torch.optim.SGD(every, 0.1), **options)


def batch(x: Any = None, y: Any = None, **fields: Any) -> vri_pyro.Batch:
    """Return a batch of four examples."""
    x = torch.zeros(4, 5) if x is None else x
    return vri_pyro.Batch(x, torch.tensor([0, 1, 2, 0]) if y is None else y, **fields)


def built(method: Any) -> Any:
    """Build a method."""
    return method.build(Tiny(), lambda parameters: torch.optim.SGD(parameters, 0.1))


def bilevel_method(**options: Any) -> methods.Bilevel:
    """Return the method Bilevel."""
    return methods.Bilevel(models.Rectification, guides.DiagonalNormal, torch.optim.Adam, **options)


def toy_model(x: Any = None) -> None:
    """A model with one latent."""
    z = pyro.sample("z", dist.Normal(0.0, 1.0))
    pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(1.0))


def toy_guide(x: Any = None) -> None:
    """Its guide."""
    pyro.sample("z", dist.Normal(torch.tensor(0.5), 1.0))


_NAMES = {name: value for name, value in globals().items() if not name.startswith("_")}


def evaluate(code: str) -> Any:
    """Evaluate an expression with the names of this module."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(code, dict(_NAMES))


ROWS: list[tuple[str, ...]] = [
    # The estimator.
    *(
        ("VRIClassifier", code, *words)
        for code, *words in [
            ("fit(epochs=0)", "epochs", ">= 1"),
            ("fit(epochs=-1)", "epochs", ">= 1"),
            ("fit(epochs=1.5)", "epochs", "1.5", "integer"),
            ("fit(epochs='many')", "epochs", "'many'", "'auto'"),
            ("fit(epochs=None)", "epochs", "None", "'auto'"),
            ("fit(epochs=float('nan'))", "epochs", "nan"),
            ("fit(epochs=True)", "epochs", "True"),
            ("fit(batch_size=0)", "batch_size", ">= 1"),
            ("fit(batch_size=-4)", "batch_size", ">= 1"),
            ("fit(batch_size=2.5)", "batch_size", "2.5", "integer"),
            ("fit(batch_size='big')", "batch_size", "'big'", "integer"),
            ("fit(batch_size=None)", "batch_size", "None", "integer"),
            ("fit(learning_rate=-1)", "learning_rate", "-1"),
            ("fit(learning_rate=float('nan'))", "learning_rate", "nan"),
            ("fit(learning_rate=float('inf'))", "learning_rate", "inf"),
            ("fit(learning_rate='fast')", "learning_rate", "'fast'", "'auto'"),
            ("fit(learning_rate=None)", "learning_rate", "None", "'auto'"),
            ("fit(validation_fraction=1)", "validation_fraction", "[0, 1)"),
            ("fit(validation_fraction=-0.1)", "validation_fraction", "[0, 1)"),
            ("fit(validation_fraction=float('nan'))", "validation_fraction", "[0, 1)"),
            ("fit(validation_fraction='half')", "validation_fraction", "number"),
            ("fit(validation_fraction=None)", "validation_fraction", "number"),
            ("fit(method='VIR')", "method", "did you mean"),
            ("fit(method='gibberish')", "method", "gibberish", "vri"),
            ("fit(method=None)", "method", "None", "'auto'"),
            ("fit(method=3)", "method", "3", "'auto'"),
            ("fit(method=methods.ELR)", "method", "ELR", "()"),
            ("fit(method='')", "method", "''"),
            ("fit(method='vri', trusted=None)", "vri", "trusted"),
            ("fit(backbone='resnet')", "backbone", "'resnet'", "'auto'"),
            ("fit(backbone=3)", "backbone", "3", "'auto'"),
            ("fit(backbone=lambda shape, classes: None)", "backbone", "Classifier"),
            ("fit(backbone=lambda: None)", "backbone", "2 were given"),
            ("fit(backbone=nn.Linear(7, 2))", "Linear", "[2, 5]"),
            ("fit(backbone=nn.Identity)", "backbone"),
            ("fit(backbone=Tiny(num_classes=4))", "num_classes", "4", "3"),
            ("fit(augmentation='Weak')", "augmentation", "'Weak'", "Weak()"),
            ("fit(augmentation=augmentation.Weak())", "images", "NoAugmentation"),
            ("fit(random_state=-1)", "random_state", "-1"),
            ("fit(random_state='x')", "random_state", "'x'"),
            ("fit(random_state=2**64)", "random_state"),
            ("fit(random_state=1.5)", "random_state", "1.5"),
            ("fit(device='tpu')", "device", "tpu", "cpu"),
            ("fit(device=3)", "device", "3", "cpu"),
            ("fit(X=np.where(X > 2, np.nan, X))", "X", "NaN"),
            ("fit(X=np.where(X > 2, np.inf, X))", "X", "inf"),
            ("fit(X=1e300 * X)", "X"),
            ("fit(X=X[:30])", "y", "60", "30"),
            ("fit(X=X[:0], y=Y[:0])", "0 sample"),
            ("fit(X=X[:, :0])", "0 feature"),
            ("fit(X=X[0])", "2D array"),
            ("fit(X=None)", "2D array"),
            ("fit(X='table.csv')", "2D array"),
            ("fit(X=3)", "2D array"),
            ("fit(X=[['a', 'b']] * 60)", "numeric values"),
            ("fit(X=X + 1j)", "Complex data not supported"),
            ("fit(X=[[1, 2], [3]] * 30)", "inhomogeneous shape"),
            ("fit(X=X.reshape(60, 5, 1, 1, 1))", "X", "[N, H, W, C]"),
            ("fit(X=np.zeros((60, 3, 9, 9)))", "X", "transpose"),
            ("fit(X=pd.DataFrame({'a': ['x', 'y', 'z'] * 20}))", "'a'", "numbers"),
            ("fit(X=pd.DataFrame({'a': [1, None, 3] * 20}))", "'a'", "missing"),
            ("fit(y=None)", "y", "None"),
            ("fit(y=Y[:30])", "y", "30", "60"),
            ("fit(y=0 * Y)", "y", "one class"),
            ("fit(y=Y + 0.5)", "y", "ontinuous"),
            ("fit(y=np.where(Y == 0, np.nan, Y))", "y", "NaN"),
            ("fit(y=[None] * 60)", "y", "None"),
            ("fit(y=[['a']] * 60)", "y"),
            ("fit(y=np.eye(3)[Y])", "y", "(60, 3)"),
            ("fit(y='labels')", "y", "labels"),
            ("fit(y=['a', 1, 2] * 20)", "y"),
            ("fit(trusted=[60])", "trusted", "60"),
            ("fit(trusted=[-1])", "trusted", "-1"),
            ("fit(trusted=[1, 1])", "trusted", "1", "more than once"),
            ("fit(trusted=[0.5])", "trusted", "integer"),
            ("fit(trusted=['a'])", "trusted", "integer"),
            ("fit(trusted=True)", "trusted", "positions"),
            ("fit(trusted=5)", "trusted", "positions"),
            ("fit(trusted='all')", "trusted", "positions"),
            ("fit(trusted=[True] * 10)", "trusted", "10", "60"),
            ("fit(trusted=range(60))", "all examples are trusted"),
            ("fit(trusted=[0, 1] * 30)", "trusted", "Booleans"),
            ("fit(trusted=[None])", "trusted"),
            ("fit(trusted={1, 2})", "trusted"),
            ("vri_pyro.VRIClassifier().predict(X)", "not fitted"),
            ("vri_pyro.VRIClassifier().label_issues_", "not fitted"),
            ("vri_pyro.VRIClassifier().noise_rate_", "not fitted"),
            ("vri_pyro.VRIClassifier(epoch=3)", "epoch"),
            ("fitted().predict(X[:, :3])", "3 features", "5 features"),
            ("fitted().predict(np.full((2, 5), np.nan))", "X", "NaN"),
            ("fitted().predict(X[0])", "2D"),
            ("fitted().predict(X[:0])", "0 sample"),
            ("fitted().predict('x')", "2D array"),
            ("fitted().set_params(epoch=3)", "epoch"),
        ]
    ),
    *(
        ("find_label_issues", f"vri_pyro.find_label_issues({code})", *words)
        for code, *words in [
            ("Y", "pred_probs", "features"),
            ("None, P", "labels", "None"),
            ("'abc', P", "labels", "str"),
            ("5, P", "labels"),
            ("Y[:10], P", "pred_probs", "60", "10"),
            ("Y, P[:, :2]", "pred_probs", "2 columns", "3"),
            ("Y, P * 2", "pred_probs[0]", "one"),
            ("Y, -P", "pred_probs[0, 0]", "softmax"),
            ("Y, np.full((60, 3), np.nan)", "pred_probs[0, 0]", "nan"),
            ("Y, P[0]", "pred_probs", "two dimensions"),
            ("Y, P.astype(str)", "pred_probs", "floating"),
            ("Y, 'P'", "pred_probs"),
            ("Y, features=np.full((60, 2), np.inf)", "features[0, 0]", "inf"),
            ("Y, features=X[:, :0]", "features", "no columns"),
            ("Y, features=X[0]", "features", "two dimensions"),
            ("Y, features=X[:9]", "features", "9", "60"),
            ("Y, features=X.astype(object)", "features", "object"),
            ("[], P[:0]", "labels", "empty"),
            ("0 * Y, P", "labels", "classes=[...]"),
            ("np.eye(3)[Y], P", "labels", "(60, 3)"),
            ("[None] * 60, P", "labels", "None"),
            ("[float('nan')] * 60, P", "labels"),
            ("Y, P, classes=['a', 'b', 'c']", "labels", "classes"),
            ("Y, P, classes=[0, 1, 1]", "classes", "1"),
            ("Y, P, classes=3", "classes", "list"),
            ("Y, P, classes='abc'", "classes"),
            ("Y, P, trusted=[99]", "trusted", "99"),
            ("Y, P, trusted=range(60)", "trusted", "every"),
            ("Y, P, trusted=[0.5]", "trusted", "integer"),
            ("Y, P, X, neighbours=0", "neighbours", ">= 1"),
            ("Y, P, X, neighbours=-1", "neighbours", ">= 1"),
            ("Y, P, X, neighbours=2.5", "neighbours", "integer"),
            ("Y, P, X, neighbours='few'", "neighbours", "integer"),
            ("Y, P, X, neighbours=None", "neighbours", "integer"),
            ("Y, P, draws=0", "draws", ">= 1"),
            ("Y, P, draws=-1", "draws", ">= 1"),
            ("Y, P, draws=1.5", "draws", "integer"),
            ("Y, P, draws='x'", "draws", "integer"),
            ("Y, P, seed=-1", "seed", ">= 0"),
            ("Y, P, seed=2**64", "seed", "2^63"),
            ("Y, P, seed='x'", "seed", "integer"),
            ("Y, P, seed=None", "seed", "integer"),
            ("Y, P, progress=3", "progress"),
        ]
    ),
    *(
        ("runs and predictors", code, *words)
        for code, *words in [
            ("vri_pyro.Run('nowhere')", "nowhere", "run folder"),
            ("vri_pyro.Run('')", "folder", "empty"),
            ("vri_pyro.Run(None)", "None", "folder"),
            ("vri_pyro.Run(3)", "3", "folder"),
            ("vri_pyro.Run('tiny.yaml')", "tiny.yaml", "run folder"),
            ("vri_pyro.Run('damaged')", "damaged"),
            ("vri_pyro.Run('half')", "half"),
            ("vri_pyro.Run('run', network=1)", "network", "0"),
            ("vri_pyro.Run('run', network='a')", "network", "'a'"),
            ("vri_pyro.Run('run', device='tpu')", "device", "tpu", "cpu"),
            ("list(vri_pyro.Run('run').outputs(np.array([10**6])))", "indices", "1000000"),
            ("list(vri_pyro.Run('run').outputs(np.array([0.5])))", "indices", "integer"),
            ("list(vri_pyro.Run('run').outputs(np.array([0]), batch_size=0))", "batch_size", ">= 1"),
            ("vri_pyro.Predictor('nowhere')", "nowhere", "run folder"),
            ("vri_pyro.Predictor('')", "folder", "empty"),
            ("vri_pyro.Predictor(None)", "None", "folder"),
            ("vri_pyro.Predictor('run', which='worst')", "which", "'worst'", "'best'"),
            ("vri_pyro.Predictor('run', device='tpu')", "device", "tpu"),
            ("vri_pyro.Predictor('run').predict(np.zeros((2, 7), np.float32))", "[7]", "8, 8"),
            ("vri_pyro.Predictor('run').predict(np.zeros((2, 8, 8, 1), np.int64))", "dtype", "int64"),
            ("vri_pyro.Predictor('run').predict('x.png')", "str"),
            ("vri_pyro.Predictor('run').predict(None)", "None"),
            ("vri_pyro.Predictor('run').predict(np.zeros((0, 8, 8, 1), np.float32))", "empty"),
            ("vri_pyro.Predictor('run').predict_batches(np.zeros((2, 8, 8, 1)), 0)", "batch_size", ">= 1"),
        ]
    ),
    *(
        ("data", code, *words)
        for code, *words in [
            ("arrays(x_train=X.tolist())", "x_train", "list", "NumPy"),
            ("arrays(x_train=None)", "x_train", "None"),
            ("arrays(x_train=X[0])", "x_train", "(5,)"),
            ("arrays(x_train=X[:0], y_train=Y[:0])", "x_train", "empty"),
            ("arrays(x_train=X.astype(int))", "x_train", "int64"),
            ("arrays(x_train=X * np.nan)", "x_train[0, 0]", "nan"),
            ("arrays(y_train=Y[:9])", "y_train", "9", "60"),
            ("arrays(y_train=Y + 1)", "y_train[2]", "3"),
            ("arrays(y_train=Y - 1)", "y_train[0]", "-1"),
            ("arrays(y_train=Y * 1.0)", "y_train", "float64", "integer"),
            ("arrays(y_train=Y.tolist())", "y_train", "list"),
            ("arrays(y_train=None)", "y_train", "None"),
            ("arrays(classes=('a',))", "1 classes", "two"),
            ("arrays(classes=('a', 'b', 'b'))", "'b'", "unique"),
            ("arrays(classes=3)", "classes", "3"),
            ("arrays(classes='abc')", "classes", "'abc'"),
            ("arrays(classes=None)", "classes", "None"),
            ("arrays(x_test=X)", "y_test", "missing"),
            ("arrays(x_test=X[:, :2], y_test=Y)", "x_test", "(2,)", "(5,)"),
            ("arrays(clean_indices=[1, 2])", "clean_indices", "list", "NumPy"),
            ("arrays(clean_indices=np.array([1, 1]))", "clean_indices", "1", "duplicates"),
            ("arrays(clean_indices=np.array([60]))", "clean_indices[0]", "60"),
            ("arrays(validation_indices=np.array([1]))", "validation_indices", "clean_indices"),
            ("arrays(clean_indices=np.array([1]), validation_indices=np.array([1]))", "share", "1"),
            ("arrays(clean_indices=np.array([1]), y_train_clean=Y)", "y_train_clean", "clean_indices"),
            ("split(arrays=None)", "arrays", "None"),
            ("split(arrays=X)", "arrays", "ndarray", "Arrays"),
            ("split(noise=None)", "noise", "None", "NoNoise"),
            ("split(noise='Flip')", "noise", "'Flip'", "LabelNoise"),
            ("split(noise=0.4)", "noise", "0.4", "LabelNoise"),
            ("split(noise=data.Flip)", "noise", "Flip"),
            ("split(seed=-1)", "seed", "-1", ">= 0"),
            ("split(seed=1.5)", "seed", "1.5", "integer"),
            ("split(seed='x')", "seed", "'x'", "integer"),
            ("split(seed=None)", "seed", "None", "integer"),
            ("split(seed=2**64)", "seed", "2^63"),
            ("split(clean_per_class=-1)", "clean_per_class", ">= 0"),
            ("split(clean_per_class=1.5)", "clean_per_class", "1.5", "integer"),
            ("split(clean_per_class='all')", "clean_per_class", "'all'", "integer"),
            ("split(validation_per_class=-1)", "validation_per_class", ">= 0"),
            ("split(validation_per_class='x')", "validation_per_class", "'x'", "integer"),
            ("split(noisy_size=0)", "noisy_size", ">= 1"),
            ("split(noisy_size=10**9)", "noisy_size", "1000000000"),
            ("split(noisy_size=2.5)", "noisy_size", "2.5", "integer"),
            ("split(clean_size=-1)", "clean_size"),
            ("split(clean_size='x')", "clean_size", "'x'", "integer"),
            ("split(validation_from='test')", "validation_from", "'test'", "'noisy'"),
            ("data.Split.load(Path('nowhere.npz'))", "nowhere.npz"),
            ("data.Split.load(Path('arrays.npz'))", "arrays.npz"),
            ("data.Split.load(Path('photos'))", "photos"),
            ("split().of(arrays(x_train=X[:50], y_train=Y[:50]))", "50", "60"),
            ("split().corrected(np.array([99]), np.array([0]))", "99"),
            ("split().corrected(np.array([1]), np.array([9]))", "9"),
            ("split().corrected(np.array([1, 2]), np.array([0]))", "2", "1"),
            ("split().save(Path('photos'))", "photos", "folder"),
            ("SplitSizes(file=Path('nowhere.npz')).split(arrays(), None, 0)", "nowhere.npz"),
            ("data.NpzFile('nowhere.npz').load()", "nowhere.npz"),
            ("data.NpzFile('').load()", "path", "empty"),
            ("data.NpzFile(None).load()", "path", "None"),
            ("data.NpzFile(3).load()", "path", "3"),
            ("data.NpzFile('nan.npz').load()", "nan.npz", "x_train"),
            ("data.NpzFile('photos').load()", "photos"),
            ("data.ImageFolder('nowhere').load()", "nowhere"),
            ("data.ImageFolder('photos', size=0).load()", "size", "at least 1"),
            ("data.ImageFolder('photos', size=2.5).load()", "size", "2.5"),
            ("data.Table('table.csv', path_column='file').load()", "table.csv", "file"),
            ("data.Table('', path_column='file').load()", "path", "empty"),
        ]
    ),
    *(
        ("noise", code, *words)
        for code, *words in [
            ("data.Flip(1.5)", "Flip", "1.5", "0 to 1"),
            ("data.Flip(-0.1)", "Flip", "-0.1", "0 to 1"),
            ("data.Flip(float('nan'))", "Flip", "nan", "0 to 1"),
            ("data.Flip('0.4')", "Flip", "'0.4'", "0 to 1"),
            ("data.Flip(None)", "Flip", "None", "0 to 1"),
            ("data.PairFlip(2)", "PairFlip", "0 to 1"),
            ("data.UniformExclusive(2)", "UniformExclusive", "0 to 1"),
            ("data.UniformInclusive([0.1])", "UniformInclusive", "0 to 1"),
            ("data.Flip2(2)", "Flip2", "0 to 1"),
            ("inject(data.Flip2(0.2), [0, 1], 2)", "Flip2", "three"),
            ("data.InstanceDependent(2)", "InstanceDependent", "0 to 1"),
            ("data.InstanceDependent(0.2, std=-1)", "InstanceDependent", "std"),
            ("data.InstanceDependent(0.2, std=float('nan'))", "InstanceDependent", "std"),
            ("data.Compose(())", "Compose", "at least one"),
            ("data.Compose(3)", "Compose", "3"),
            ("data.Compose((data.Flip,))", "Compose", "Flip"),
            ("data.TransitionMatrix('matrix.txt')", "matrix.txt", ".csv"),
            ("inject(data.TransitionMatrix([[1.0]]))", "TransitionMatrix", "3"),
            ("inject(data.TransitionMatrix([[1, 0], [1]]))", "TransitionMatrix", "equal length"),
            ("inject(data.TransitionMatrix(np.full((3, 3), np.nan)))", "TransitionMatrix", "distribution"),
            ("inject(data.TransitionMatrix(np.eye(3) * 2))", "TransitionMatrix", "sum to one"),
            ("inject(data.TransitionMatrix(-np.eye(3)))", "TransitionMatrix", "non-negative"),
            ("data.TransitionMatrix(3)", "TransitionMatrix", "3"),
            ("data.TransitionMatrix(None)", "TransitionMatrix", "None"),
            ("data.HumanLabels('a.npy', key='x')", "key", "'x'"),
            ("data.HumanLabels('a.npz')", "key"),
            ("data.HumanLabels('a.txt')", "a.txt", ".npy"),
            ("data.OpenSet('a.npz', 2)", "OpenSet", "0 to 1"),
            ("data.EvidentialMix('a.npz', 0.2, 2)", "EvidentialMix", "share"),
            ("inject(data.Flip(0.2), classes=1)", "Flip", "two"),
        ]
    ),
    *(
        ("networks, models and guides", code, *words)
        for code, *words in [
            ("backbones.MLP((5,), 1)", "num_classes", "two"),
            ("backbones.MLP((5,), 0)", "num_classes", "two"),
            ("backbones.MLP((5,), 2.5)", "num_classes", "2.5", "integer"),
            ("backbones.MLP((5,), 'ten')", "num_classes", "'ten'", "integer"),
            ("backbones.MLP((0,), 3)", "input_shape", "positive"),
            ("backbones.MLP((), 3)", "input_shape"),
            ("backbones.MLP(5, 3)", "input_shape", "5"),
            ("backbones.MLP('5', 3)", "input_shape", "'5'"),
            ("backbones.MLP((5,), 3, hidden=(0,))", "hidden", "positive"),
            ("backbones.MLP((5,), 3, hidden=8)", "hidden", "8"),
            ("backbones.MLP((5,), 3, hidden=(8.5,))", "hidden", "8.5"),
            ("backbones.MLP((5,), 3, hidden='8')", "hidden", "'8'"),
            ("backbones.MLP((5,), 3, dropout=2)", "dropout", "[0, 1)"),
            ("backbones.MLP((5,), 3)(torch.zeros(2, 7))", "[2, 7]", "5"),
            ("backbones.MLP((5,), 3)(torch.zeros(()))", "[batch, 5]"),
            ("backbones.SmallCNN((5,), 3)", "SmallCNN", "MLP"),
            ("backbones.SmallCNN((1, 2, 2), 3)", "SmallCNN", "4x4"),
            ("backbones.SmallCNN((1, 8, 8), 3, channels=(0,))", "SmallCNN", "channels"),
            ("backbones.SmallCNN((1, 8, 8), 3, feature_dim=0)", "SmallCNN", "feature_dim"),
            ("backbones.SmallCNN((1, 8, 8), 3, feature_dim=1.5)", "SmallCNN", "feature_dim", "1.5"),
            ("backbones.CIFARResNet((1, 8, 8), 3, depth=9)", "depth", "6n + 2"),
            ("backbones.ResNet32((1, 4, 4), 3)", "ResNet32", "8x8"),
            ("backbones.PreActResNet18((5,), 3)", "PreActResNet18", "MLP"),
            ("models.StandardNormal(5, 3, scale=0)", "scale", "> 0"),
            ("models.StandardNormal(5, 3, scale=float('inf'))", "scale", "inf"),
            ("models.StandardNormal(5, 0)", "num_classes", "0"),
            ("models.StandardNormal(5, 3, scale='1')", "scale", "'1'"),
            ("models.MixtureOfNormals(5, 3, components=1)", "components", ">= 2"),
            ("models.MixtureOfNormals(5, 3, components=2.5)", "components", "2.5"),
            ("models.VampPrior(5, 3, components=1)", "components", ">= 2"),
            ("models.PriorNetwork(5, 3, hidden=(0,))", "hidden", "positive"),
            ("models.PriorNetwork(5, 3, hidden=8)", "hidden", "8"),
            ("models.PriorNetwork(0, 3)", "feature_dim", "0"),
            ("models.PriorNetwork(5, 0)", "num_classes", "0"),
            ("models.PriorNetwork(5, -3)", "num_classes", "-3"),
            ("models.PriorNetwork(5, 3, log_variance_bounds=(1, 1))", "log_variance_bounds", "low < high"),
            ("models.PriorNetwork(5, 3, log_variance_bounds=3)", "log_variance_bounds", "3"),
            ("models.PriorNetwork(5, 3, log_variance_bounds=(1,))", "log_variance_bounds", "(1,)"),
            ("models.PriorNetwork(5, 3, log_variance_bounds=(float('nan'), 1))", "log_variance_bounds", "low < high"),
            ("models.LearnedNormal(5, 3, log_variance_bounds=(2, -2))", "log_variance_bounds", "low < high"),
            ("models.MixtureOfNormals(5, 3, log_variance_bounds=(2, -2))", "log_variance_bounds", "low < high"),
            ("models.Rectification(5, 3, prior='StandardNormal')", "prior", "'StandardNormal'"),
            ("models.Rectification(5, 3, prior=models.StandardNormal(5, 3))", "prior", "StandardNormal"),
            ("models.Rectification(5, 3, link='sigmoid')", "link", "'sigmoid'"),
            ("models.HierarchicalRectification(5, 3, prior_strength=0)", "prior_strength", "> 0"),
            ("models.HierarchicalRectification(5, 3, prior_strength=float('nan'))", "prior_strength", "> 0"),
            ("models.HierarchicalRectification(5, 3, transition_weight=1)", "transition_weight"),
            ("models.HierarchicalRectification(5, 3, elr_weight=-1)", "elr_weight", ">= 0"),
            ("models.HierarchicalRectification(5, 3, momentum=1)", "momentum", "[0, 1)"),
            ("models.ForwardCorrection(5, 3, [[1.0]])", "3"),
            ("models.ForwardCorrection(5, 3, 'nowhere.csv')", "nowhere.csv"),
            ("guides.DiagonalNormal(5, 3, hidden=(0,))", "hidden", "positive"),
            ("guides.DiagonalNormal(5, 3, hidden=8)", "hidden", "8"),
            ("guides.DiagonalNormal(5, 3, inputs=())", "inputs", "at least one"),
            ("guides.DiagonalNormal(5, 3, inputs='Features')", "inputs", "'Features'"),
            ("guides.DiagonalNormal(0, 3)", "feature_dim", "0"),
            ("guides.DiagonalNormal(5, -3)", "num_classes", "-3"),
            ("guides.Gated(5, 3, gate_hidden=(0,))", "hidden", "positive"),
            ("guides.DiracVector(5, 3, hidden=(-1,))", "hidden", "positive"),
            ("guides.LowRankNormal(5, 3, hidden=(0,))", "hidden", "positive"),
        ]
    ),
    *(
        ("methods", code, *words)
        for code, *words in [
            ("methods.ConfidentLearning(folds=1)", "folds", ">= 2"),
            ("methods.ConfidentLearning(folds=2.5)", "folds", "2.5"),
            ("methods.ConfidentLearning(filter_by='best')", "filter_by", "'best'"),
            (
                "built(methods.ConfidentLearning(clean_weight=-1).folds[0])",
                "clean_weight",
                ">= 0",
            ),
            ("built(methods.NoisyCrossEntropy(max_skipped=0))", "max_skipped", ">= 1"),
            ("built(methods.ELR(momentum=1))", "momentum", "[0, 1)"),
            ("built(methods.ELR(elr_weight=float('nan')))", "elr_weight", ">= 0"),
            ("built(methods.ELR(elr_weight='strong'))", "elr_weight", "'strong'"),
            ("built(methods.ELR(clean_weight=float('inf')))", "clean_weight", "inf"),
            ("built(methods.Mixup(alpha=0))", "alpha", "> 0"),
            ("built(methods.Mixup(alpha=float('nan')))", "alpha", "> 0"),
            ("built(methods.L2RW(max_skipped=0))", "max_skipped", ">= 1"),
            ("built(methods.GLC(clean_weight=-1))", "clean_weight", ">= 0"),
            ("built(methods.Bilevel(None, None, None))", "model", "None"),
            (
                "built(methods.Bilevel('Rectification', guides.DiagonalNormal, torch.optim.Adam))",
                "model",
                "'Rectification'",
            ),
            (
                "built(bilevel_method(num_particles=0))",
                "num_particles",
                ">= 1",
            ),
            (
                "built(bilevel_method(clean_weight=-1))",
                "clean_weight",
                ">= 0",
            ),
            ("Stage(methods.ELR(), torch.optim.SGD, epochs=0)", "epochs", ">= 1"),
            ("Stage(methods.ELR(), torch.optim.SGD, epochs=1.5)", "epochs", "1.5"),
            ("SmallLoss(0)", "selection.size", ">= 1"),
            ("SmallLoss('x')", "selection.size", "'x'"),
            ("GaussianMixture(1)", "selection.threshold", "[0, 1)"),
            ("GaussianMixture(float('nan'))", "selection.threshold", "[0, 1)"),
            ("CleanMixup(every=0)", "clean_mixup.every", ">= 1"),
            ("CleanMixup(every=1.5)", "clean_mixup.every", "1.5"),
        ]
    ),
    *(
        ("algorithms", code, *words)
        for code, *words in [
            ("vri_pyro.RectificationELBO(0)", "num_particles", ">= 1"),
            ("vri_pyro.RectificationELBO(2.5)", "num_particles", "2.5", "integer"),
            ("vri_pyro.RectificationELBO('two')", "num_particles", "'two'", "integer"),
            ("vri_pyro.RectificationELBO(kl_weight=-1)", "kl_weight", ">= 0"),
            ("vri_pyro.RectificationELBO(kl_weight=float('nan'))", "kl_weight", ">= 0"),
            ("vri_pyro.RectificationELBO(max_plate_nesting=0)", "max_plate_nesting", ">= 1"),
            ("vri_pyro.RectificationELBO(data_plate='')", "data_plate", "empty"),
            ("bilevel(inner_kl_weight=-1)", "inner_kl_weight", ">= 0"),
            ("bilevel(inner_kl_weight=float('nan'))", "inner_kl_weight", ">= 0"),
            ("bilevel(outer_kl_weight=float('inf'))", "outer_kl_weight", "inf"),
            ("bilevel(clean_weight='x')", "clean_weight", "'x'"),
            ("bilevel(clean_weight=None)", "clean_weight", "None"),
            ("bilevel(max_skipped=0)", "max_skipped", ">= 1"),
            ("bilevel(max_skipped=-1)", "max_skipped", ">= 1"),
            ("bilevel(elbo=3)", "elbo", "RectificationELBO"),
            ("bilevel(elbo=pyro.infer.Trace_ELBO())", "elbo", "RectificationELBO"),
            ("bilevel(hypergradient='SplitJVP')", "hypergradient", "'SplitJVP'"),
            ("bilevel(hypergradient=infer.SplitJVP)", "hypergradient", "SplitJVP", "()"),
            ("bilevel(inner=lambda p: torch.optim.LBFGS(p))", "LBFGS", "SGD, Adam, AdamW"),
            ("bilevel(inner=lambda p: torch.optim.SGD(list(p)[:1], 0.1))", "optimiser", "parameter"),
            ("bilevel(outer=lambda p: torch.optim.Adam(p[:1], 0.1))", "optimiser", "parameter"),
            ("bilevel(inner=lambda p: pyro.optim.Adam({'lr': 0.1}))", "optimiser", "SGD, Adam, AdamW"),
            ("bilevel(inner=lambda p: 3)", "optimiser", "SGD, Adam, AdamW"),
            ("bilevel(classifier=nn.Linear(5, 3)).step(batch(), batch())", "ClassifierOutput"),
            ("bilevel(classifier=Tiny(output=lambda l, x: l)).step(batch(), batch())", "ClassifierOutput"),
            ("bilevel(classifier=Tiny(output=lambda l, x: (l, x))).step(batch(), batch())", "ClassifierOutput"),
            ("bilevel(classifier=Tiny(output=lambda l, x: None)).step(batch(), batch())", "ClassifierOutput"),
            ("bilevel().step(batch(y=torch.tensor([0, 1, 2, 9])), batch())", "9"),
            ("bilevel().step(batch(y=torch.tensor([0, 1, 2, -1])), batch())", "-1"),
            ("bilevel().step(batch(y=torch.tensor([0, 1])), batch())", "2", "4"),
            ("bilevel().step(batch(y=torch.zeros(4)), batch())", "int64"),
            ("bilevel().step(batch(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)), batch())", "empty"),
            ("bilevel().step((torch.zeros(4, 5), torch.zeros(4)), batch())", "Batch"),
            ("bilevel().step(None, batch())", "Batch"),
            ("bilevel().step(batch(), None)", "Batch"),
            ("single(clean_weight=-1)", "clean_weight", ">= 0"),
            ("single(elbo=vri_pyro.RectificationELBO(kl_weight=1)).step(batch(y=torch.zeros(4)), batch())", "int64"),
            ("single().step(batch(y=torch.tensor([0, 1, 2, 9])), batch())", "9"),
            ("single(classifier=nn.Linear(5, 3)).step(batch(), batch())", "ClassifierOutput"),
            ("infer.SplitFiniteDifference(0)", "relative_step", "> 0"),
            ("infer.SplitFiniteDifference('x')", "relative_step", "'x'"),
            ("infer.SplitForwardDifference(float('nan'))", "relative_step", "> 0"),
            ("infer.CyclicCosine(0)", "half_period", ">= 1"),
            ("infer.CyclicCosine('x')", "half_period", "'x'"),
            ("infer.LinearWarmUp(infer.Constant(), epochs=0)", "epochs", "> 0"),
            ("infer.LinearWarmUp(infer.Constant(), epochs=float('inf'))", "epochs", "inf"),
            ("infer.LinearWarmUp(infer.Constant(), start=2)", "start", "(0, 1]"),
            ("infer.LinearWarmUp(None)", "then", "None"),
            ("vri_pyro.Batch(torch.zeros(4, 5))", "y"),
            ("vri_pyro.ClassifierOutput(torch.zeros(4, 5))", "features"),
            ("vri_pyro.from_pyro_svi(3)", "int", "SVI"),
            ("vri_pyro.from_pyro_svi((toy_model,))", "guide"),
            ("vri_pyro.from_pyro_svi((toy_model, toy_guide), num_samples=0)", "num_samples", "0"),
            ("vri_pyro.from_pyro_svi((toy_model, toy_guide), num_samples=-1)", "num_samples", "-1"),
            ("vri_pyro.from_pyro_svi((toy_model, toy_guide), num_samples=1.5)", "num_samples", "1.5"),
            ("vri_pyro.from_pyro_svi((toy_model, toy_guide), chunk_size=0)", "chunk_size", "0"),
            ("vri_pyro.from_pyro_svi((toy_model, toy_guide), groups=['prior', 'x'])", "groups", "x"),
            ("vri_pyro.from_pyro_svi((toy_model, 3))", "guide", "int"),
            ("vri_pyro.from_pyro_svi((None, toy_guide))", "model", "None"),
        ]
    ),
    *(
        ("augmentation", code, *words)
        for code, *words in [
            ("augmentation.RandomCrop(0)", "RandomCrop", "size", ">= 1"),
            ("augmentation.RandomCrop('x')", "RandomCrop", "size", "'x'"),
            ("augmentation.RandomCrop(2.5)", "RandomCrop", "size", "2.5"),
            ("augmentation.CentreCrop(-1)", "CentreCrop", "size", ">= 1"),
            ("augmentation.Cutout(0)", "Cutout", "size", ">= 1"),
            ("augmentation.Cutout(fill=float('nan'))", "Cutout", "fill", "finite"),
            ("augmentation.HorizontalFlip(2)", "HorizontalFlip", "probability", "0 to 1"),
            ("augmentation.HorizontalFlip(float('nan'))", "HorizontalFlip", "probability", "0 to 1"),
            ("augmentation.HorizontalFlip('often')", "HorizontalFlip", "probability", "'often'"),
            ("augmentation.PadCrop(0)", "PadCrop", "padding", ">= 1"),
            ("augmentation.PadCrop(1.5)", "PadCrop", "padding", "1.5"),
            ("augmentation.PadCrop(mode='mirror')", "PadCrop", "mode", "'reflect'"),
            ("augmentation.RandAugment(num_ops=0)", "RandAugment", "num_ops", ">= 1"),
            ("augmentation.RandAugment(magnitude=99)", "RandAugment", "magnitude"),
            ("augmentation.Mixup(0)", "Mixup", "alpha", "> 0"),
            ("augmentation.Mixup('x')", "Mixup", "alpha", "'x'"),
            ("augmentation.Strong(cutout=-1)", "Strong", "cutout"),
            ("augmentation.Chain((augmentation.Weak,))", "Chain", "Weak"),
            ("augmentation.Chain(3)", "Chain", "3"),
            ("augmentation.RandomCrop(9).output_shape((1, 8, 8))", "RandomCrop", "[8, 8]"),
            ("augmentation.RandomCrop(9).output_shape((5,))", "RandomCrop", "images"),
            ("augmentation.RandAugment().output_shape((2, 8, 8))", "RandAugment", "channels"),
        ]
    ),
]
