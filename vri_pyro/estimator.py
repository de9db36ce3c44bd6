"""A scikit-learn classifier that is robust to wrong labels and reports which labels are wrong."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import pyro
import torch
from rich.console import Console
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d, validate_data
from torch import nn

from vri_pyro.backbones import MLP, FromModule
from vri_pyro.backbones.wrapped import NoLastLayer
from vri_pyro.calibration import HeldOut, PredictionSets, Temperature, fit_temperature, prediction_sets
from vri_pyro.calibration.of_run import some_draws
from vri_pyro.data import Arrays, Augmentation, NoAugmentation, Source, Split, mean_and_std
from vri_pyro.data.alignment import check_same_rows
from vri_pyro.data.class_labels import label_array, label_names, number_labels
from vri_pyro.data.content_keys import content_keys
from vri_pyro.data.duplicates import find_duplicates
from vri_pyro.data.noisy_holdout import draw_noisy_holdout
from vri_pyro.data.outliers import warn_of_outliers
from vri_pyro.data.split import OBSERVED
from vri_pyro.data.validation import UNCHECKED, check_agreement, check_array, check_single_precision, check_trusted
from vri_pyro.data.verified import number_verified
from vri_pyro.infer.algorithm import CLEAN_WEIGHT
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.label_issues import Evidence, LabelIssues, evidence_of, rank
from vri_pyro.label_issues.frame import issues_frame
from vri_pyro.methods.base import Method
from vri_pyro.runs.building import build_trainer
from vri_pyro.runs.configuration import Configuration
from vri_pyro.runs.method_choice import MethodChoice, choose_method
from vri_pyro.runs.named import named_configuration
from vri_pyro.runs.network_choice import NetworkChoice, choose_network, chooses
from vri_pyro.runs.run import Run
from vri_pyro.training import Trunk
from vri_pyro.training.mixture import Mixture
from vri_pyro.training.trainer import Trainer
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.errors import UserError, UserTypeError, described
from vri_pyro.utils.interruption import Interrupted
from vri_pyro.utils.numbers import check_integer, check_number
from vri_pyro.utils.one_at_a_time import one_at_a_time
from vri_pyro.utils.progress import ProgressDisplay

_STEPS = 600  # least number of steps with epochs="auto"
_EPOCHS = 10, 200  # least and greatest number of epochs with epochs="auto"
_BATCHES = 8  # least number of batches per epoch, unless they would be smaller than _SMALL_BATCH
_SMALL_BATCH = 16
_MOMENTUM = 0.9
_BATCH_SIZE = 1000  # of predictions
_FAR = 1e3  # standard deviations between the mean of a column and 0, from which on the mean is subtracted first
_METHODS = "vri", "learned_transition", "elr"  # that "auto" weighs; the first needs trusted labels
_CHEAP, _NETWORKS = "learned_transition", 3  # the mean of three of its networks takes less time than one of VRI
_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


class VRIClassifier(ClassifierMixin, BaseEstimator):
    """Classifier for data with wrong labels, as a scikit-learn estimator.

    It is trained on all labels, with the help of a few trusted ones, by variational rectification inference. Wrong
    labels do little harm, and :attr:`label_issues_` lists the labels that are probably wrong.

    Inputs are feature vectors [N, D], or images [N, H, W] or [N, H, W, C]; they are standardised. The labels may be
    strings, numbers or any other hashable objects.

    Args:
        method: training method: "auto", a name such as "vri", "elr" or "glc", or a
            :class:`~vri_pyro.methods.Method`. "auto" trains "learned_transition", "vri" (with trusted labels) and
            "elr", and averages their predictions with weights that follow from the likelihood of labels that are held
            out; see :func:`~vri_pyro.runs.method_choice.choose_method`. "learned_transition", which takes the least
            time, is a mean of three networks. Methods of little weight are left out. With fewer than 500 labels that
            are not trusted, nothing is held out, and the first two have weights of 3/4 and 1/4.
        backbone: network: "auto", a PyTorch module such as a pretrained network, or a function of (input_shape,
            num_classes) that returns a :class:`~vri_pyro.Classifier`. The last linear layer of a module is replaced by
            a new one, as by :class:`~vri_pyro.backbones.FromModule`; if its output is not that of a linear layer, the
            output are the features, and a linear layer is added. All weights are trained. Images have the shape
            [batch, C, H, W]. "auto" is a small convolutional network for images. For vectors, it chooses between linear
            classifiers and networks with two hidden layers, with different weight decays, by the likelihood of labels
            that are held out; see :func:`~vri_pyro.runs.network_choice.choose_network`.
        epochs: number of passes over the labels that are not trusted. "auto" chooses 10 to 200, so that there are at
            least 600 steps.
        batch_size: number of examples per step; less for small data sets.
        learning_rate: learning rate of stochastic gradient descent. "auto" is that of the method's configuration, 0.05
            for most. The momentum is 0.9, unless the configuration sets it.
        trunk: learning rate of all layers of the network but the last one, or whether to freeze them, such as
            ``Trunk(lr_factor=0.1)``; None to train them like the last one.
        validation_fraction: share of the trusted examples of each class, rounded down, that are not trained on. They
            calibrate the probabilities of label issues, and measure the accuracy.
        noisy_holdout: share of the examples that are not trusted that is not trained on either, drawn at random, such
            as 0.1. Their labels are ranked like the others. For images, they make :attr:`noise_rate_` more reliable,
            because the network cannot have memorised them; the labels of vectors are judged by other means.
        augmentation: augmentation of images in training, such as :class:`~vri_pyro.data.augmentation.Weak`.
        random_state: seed, NumPy random state, or None for a different result in every call of :meth:`fit`.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        verbose: whether to show the progress of training.

    Attributes:
        classes_: the classes, sorted, [K].
        n_features_in_: number of features; the height of images.
        feature_names_in_: names of the columns of ``X``, if it was a DataFrame.
        method_: name of the training method, or the method itself; with "auto", the one with the greatest weight.
        n_trusted_: number of trusted examples.
        network_choice_: the chosen network and the scores of all candidates; None if nothing was to choose.
        method_choice_: the weights and scores of the methods; None if nothing was to choose.
        run_: the training run of ``method_``, with model and guide, for the diagnostics of the posterior; None after
            unpickling.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from vri_pyro import VRIClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> classifier = VRIClassifier(epochs=20).fit(X, y, trusted=range(0, 178, 6))
        >>> list(classifier.label_issues_.columns)
        ['index', 'given', 'suggested', 'score', 'uncertainty', 'is_label_issue']

    Reference: Sun et al., Variational rectification inference for learning with noisy labels, IJCV 2025.
    """

    _issues: LabelIssues | None
    _offset: np.ndarray | None = None

    def __init__(
        self,
        method: str | Method = "auto",
        *,
        backbone: Any = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 100,
        learning_rate: float | Literal["auto"] = "auto",
        trunk: Trunk | None = None,
        validation_fraction: float = 0.2,
        noisy_holdout: float = 0.0,
        augmentation: Augmentation | None = None,
        random_state: int | np.random.RandomState | None = 0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        verbose: bool = False,
    ) -> None:
        self.method = method
        self.backbone = backbone
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trunk = trunk
        self.validation_fraction = validation_fraction
        self.noisy_holdout = noisy_holdout
        self.augmentation = augmentation
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @one_at_a_time
    def fit(self, X: Any, y: Any, trusted: Any = None, verified: Any = None) -> Self:
        """Train the classifier.

        Calls from several threads run one after the other, because PyTorch's random state belongs to the process; use
        processes to train in parallel.

        Args:
            X: feature vectors [N, D], or images [N, H, W] or [N, H, W, C]; an array or a DataFrame.
            y: labels, [N], some of which may be wrong.
            trusted: examples whose label is known to be correct: positions, int [M], or a mask, bool [N]. They must be
                a random sample of each class, not the first rows or the easiest examples. Use a mask with
                ``cross_val_score`` and the like, which have to divide it.
            verified: the class that a person has found for each example, [N], beside the label as given in ``y``;
                None, NaN, -1 or an empty string where nobody has looked. These examples are trusted, with the verified
                class as their label. Both their labels show how the noise changes labels, so keep the label as given
                in ``y``, and check examples that were chosen at random, or by anything else than their label. If the
                most suspicious labels were corrected in ``y`` instead, the others would look cleaner than the noise is.
                Must agree with ``trusted`` where both are given.

        Raises:
            ValueError: the data are unusable; the message says what is wrong.
            TypeError: the data have the wrong type.

        Warns:
            UserWarning: no labels are trusted; trusted examples are, more often than chance explains, identical to
                other examples; or an outlier in a column of ``X`` hides the differences between its other values.
        """
        self._check_options()
        check_same_rows(X=X, y=y, trusted=trusted, verified=verified)
        x = self._inputs(X, fitting=True)
        numbers, self.classes_ = _numbered(y, len(x))
        seed = self._drawn_seed()
        positions, checked = check_trusted("trusted", trusted, len(x)), None
        if verified is not None:
            checked = number_verified("verified", verified, self.classes_.tolist(), len(x))
            check_agreement("verified", checked, "trusted", positions, numbers, self.classes_.tolist())
            positions = np.union1d(positions, np.flatnonzero(checked != UNCHECKED))
        arrays = Arrays(x, numbers, None, None, label_names(self.classes_), verified_labels=checked)
        split = self._split(arrays, positions, seed)
        _warn_of_duplicates(arrays, split)
        scale = mean_and_std(arrays.x_train)
        candidates = self._configurations(arrays, split, seed)
        with _training_in_memory(choose_device(self.device)):
            run = self._trained(candidates, arrays, split, scale)
        self._keep(run, arrays, (run.examples.mean, run.examples.std))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of each input, [N], as one of :attr:`classes_`."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Any, calibrated: bool = False) -> np.ndarray:
        """Predict the probability of each class, [N, K], in the order of :attr:`classes_`.

        Args:
            X: inputs as in :meth:`fit`.
            calibrated: whether to calibrate the probabilities by :attr:`temperature_`. The predicted classes stay the
                same. Calibration by one temperature is approximate, and asymptotic in the number of held-out labels.

        Raises:
            UserError: ``calibrated`` is set but no trusted labels were held out.
        """
        probabilities = self._probabilities(X)
        return self.temperature_(probabilities) if calibrated else probabilities

    def predict_set(self, X: Any, coverage: float = 0.9, **options: Any) -> np.ndarray:
        """Predict the set of classes that contains the true class with the probability ``coverage``.

        The probability is at least ``coverage`` for any number of held-out labels, if these are trusted and new inputs
        are like their examples; with noisy labels it is so asymptotically, see :meth:`prediction_sets`.

        Args:
            X: inputs as in :meth:`fit`.
            coverage: probability between 0 and 1.
            options: options of :meth:`prediction_sets`, such as ``by_class=True``.

        Returns:
            whether each class belongs to the set of each input, bool [N, K], in the order of :attr:`classes_`.

        Raises:
            UserError: an option is out of range, or there are too few held-out labels for this coverage.

        Warns:
            UserWarning: some classes have too few held-out labels for a guarantee of their own, or most sets hold all
                classes.
        """
        sets = self.prediction_sets(coverage, **options)
        if (warning := sets.warning(self.classes_.tolist())) is not None:
            warnings.warn(warning, stacklevel=2)
        return sets(self._probabilities(X))

    def prediction_sets(
        self, coverage: float = 0.9, *, held_out: tuple[Any, Any] | None = None, trusted: bool = True, **options: Any
    ) -> PredictionSets:
        """Calibrate prediction sets, which turn probabilities into sets of classes.

        The attribute ``told`` of the result says what is guaranteed and under which assumptions.

        Args:
            coverage: probability with which a set should contain the true class, between 0 and 1.
            held_out: inputs and labels (X, y) that were not passed to :meth:`fit`; None for the trusted examples that
                :meth:`fit` held out, see ``validation_fraction``.
            trusted: whether the labels in ``held_out`` are trusted. Noisy labels are corrected by the posterior of the
                transition matrix; the coverage then is asymptotic, and holds if the labels depend on the input only
                through the class and the posterior is right.
            options: ``score``, ``by_class``, ``randomise``, ``allow_empty``, ``over_draws`` and ``seed`` of
                :func:`~vri_pyro.calibration.prediction_sets`.

        Raises:
            UserError: an option is out of range, or there are too few held-out labels for this coverage.
        """
        return prediction_sets(self._held_out(held_out, trusted), coverage, **options)

    @property
    def temperature_(self) -> Temperature:
        """The temperature that calibrates the probabilities, from the trusted examples that were held out.

        Its attribute ``told`` says how sure it is.
        """
        return fit_temperature(self._held_out(None, trusted=True))

    def _held_out(self, held_out: tuple[Any, Any] | None, trusted: bool) -> HeldOut:
        check_is_fitted(self)
        if held_out is None and not trusted:
            raise UserError("trusted is False but held_out is not given; pass noisy labels as held_out=(X, y)")
        if held_out is None:
            found = self._evidence.trusted and self._evidence.trusted.only_held_out()
            if not found:
                raise UserError(
                    "no trusted labels were held out of training; pass more examples as trusted to fit, increase "
                    "validation_fraction, or pass other labelled examples as held_out=(X, y)"
                )
            return HeldOut(found.logits.double().softmax(-1).numpy(), found.labels.numpy())
        if not isinstance(held_out, tuple | list) or len(held_out) != 2:
            raise UserTypeError(f"held_out is {described(held_out)}; expected inputs and labels (X, y)")
        x, y = held_out
        check_same_rows(X=x, y=y, trusted=None)
        known = {label: number for number, label in enumerate(self.classes_.tolist())}
        given = np.asarray(y).tolist()
        if unknown := [label for label in given if label not in known]:
            raise UserError(f"held_out has the label {unknown[0]!r}, which is none of the classes of fit; leave it out")
        labels = np.array([known[label] for label in given], dtype=np.int64)
        draws = None if trusted else some_draws(self._ranked().transition)
        return HeldOut(self._probabilities(x), labels, draws)

    @torch.no_grad()
    def _probabilities(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        x = self._inputs(X, fitting=False)
        network = self._network.to(choose_device(self.device)).eval()
        like, found = next(network.parameters()), []
        for start in range(0, len(x), _BATCH_SIZE):
            batch = torch.from_numpy((x[start : start + _BATCH_SIZE] * self._scale - self._mean) / self._std)
            batch = batch.movedim(-1, 1).contiguous() if batch.dim() == 4 else batch
            found.append(network(batch.to(like)).logits.double().softmax(-1).cpu().numpy())
        return np.concatenate(found)

    @property
    def label_issues_(self) -> pd.DataFrame:
        """The labels that were not trusted, most suspicious first; see :func:`~vri_pyro.find_label_issues`.

        The column ``index`` holds positions in the ``X`` of :meth:`fit`. The table is computed on first use.
        """
        return issues_frame(self._ranked(), self._untrusted, self.classes_)

    @property
    def noise_rate_(self) -> float:
        """Estimated share of wrong labels among those that were not trusted (posterior mean)."""
        return self._ranked().joint.noise_rate

    @property
    def noise_rate_interval_(self) -> tuple[float, float]:
        """95% credible interval of :attr:`noise_rate_`."""
        return self._ranked().transition.noise_rate_interval()

    @property
    def transition_(self) -> np.ndarray:
        """Estimated probability of each given label (column) for each true class (row), [K, K] (posterior mean)."""
        return self._ranked().transition.transition.mean(0).numpy()

    @property
    def transition_interval_(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ends of the 95% intervals of the entries of :attr:`transition_`, [K, K] each."""
        low, high = self._ranked().transition.interval()
        return low.numpy(), high.numpy()

    def _ranked(self) -> LabelIssues:
        check_is_fitted(self)
        if self._issues is None:
            self._issues = rank(self._evidence, seed=self._seed)
            for told in (self._issues.warning, self._issues.joint.foreign):
                if told:
                    warnings.warn(told, stacklevel=3)
        return self._issues

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the run, which contains the training data; the network is saved on the CPU."""
        state = super().__getstate__()
        if "_network" in state:
            state = state | {"_network": deepcopy(state["_network"]).cpu(), "run_": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give an estimator that an older version pickled the default values of newer options."""
        options = inspect.signature(type(self).__init__).parameters.values()
        super().__setstate__({one.name: one.default for one in options if one.default is not one.empty} | state)

    def _check_options(self) -> None:
        if self.epochs != "auto":
            check_integer("epochs", self.epochs, 1, remedy=", or 'auto'")
        check_integer("batch_size", self.batch_size, 1)
        if self.learning_rate != "auto":
            check_number("learning_rate", self.learning_rate, at_least=0, remedy=", or 'auto'")
        check_number("validation_fraction", self.validation_fraction, at_least=0, below=1)
        check_number("noisy_holdout", self.noisy_holdout, at_least=0, below=1)
        for name, kinds, example in (
            ("method", str | Method, "a name such as 'vri', a method such as ELR(), or 'auto'"),
            ("augmentation", Augmentation | None, "an augmentation such as Weak(), or None"),
            ("trunk", Trunk | None, "a Trunk, such as Trunk(lr_factor=0.1), or None"),
        ):
            if not isinstance(value := getattr(self, name), kinds):
                raise UserTypeError(f"{name} is {described(value)}; expected {example}")
        choose_device(self.device)

    def _drawn_seed(self) -> int:
        try:
            return int(check_random_state(self.random_state).randint(2**31))
        except ValueError as error:
            expected = "expected an integer from 0 to 2^32 - 1, a NumPy RandomState or None"
            raise UserError(f"random_state is {self.random_state!r}; {expected}") from error

    def _inputs(self, X: Any, fitting: bool) -> np.ndarray:
        """Validate inputs and return them as [N, D] or [N, H, W, C]: uint8 images, otherwise floating."""
        _check_columns(X)
        images = _dimensions(X) > 2
        x = validate_data(
            self,
            X,
            reset=fitting,
            ensure_2d=not images,
            allow_nd=images,
            dtype=None if images else "numeric",
            ensure_all_finite=False,  # its message has no place
        )
        columns = list(X.columns) if isinstance(X, pd.DataFrame) else None
        check_single_precision("X", x, columns)
        if fitting:
            warn_of_outliers("X", x, columns)
            self._offset = None if images else _offset(x)
        if self._offset is not None:
            x = x.astype(np.float64) - self._offset
        if not (images and x.dtype == np.uint8):
            x = x.astype(np.float32 if fitting else np.float64)
        if fitting:
            x = check_array("X", x)
        elif images:
            x = x.reshape(*x.shape, *[1] * (4 - x.ndim))
        if not fitting and x.shape[1:] != self._shape:
            raise ValueError(f"X has inputs of shape {x.shape[1:]} but fit had {self._shape}; use inputs of this shape")
        return x

    def _split(self, arrays: Arrays, trusted: np.ndarray, seed: int) -> Split:
        """Divide the examples into noisy, clean and validation examples."""
        numbers, checked = arrays.truth, arrays.verified_labels
        noisy = np.setdiff1d(np.arange(len(numbers)), trusted)
        if len(noisy) == 0:
            raise ValueError("all examples are trusted; leave the examples whose label may be wrong out of trusted")
        shuffled = np.random.RandomState(seed).permutation(trusted)
        members = [shuffled[numbers[shuffled] == label] for label in range(len(self.classes_))]
        validation = np.concatenate([one[: int(self.validation_fraction * len(one))] for one in members])
        clean = np.setdiff1d(trusted, validation)
        return Split(
            noisy_indices=noisy,
            clean_indices=clean,
            validation_indices=np.sort(validation),
            given_labels=arrays.y_train[noisy],
            true_labels=None,
            clean_labels=numbers[clean],
            validation_labels=numbers[np.sort(validation)],
            noise=OBSERVED,
            nominal_rate=math.nan,
            transition=None,
            num_train=len(numbers),
            num_classes=len(self.classes_),
            seed=seed,
            data_labels=None if checked is None else arrays.y_train,
            verified_labels=checked,
            noisy_holdout=draw_noisy_holdout(noisy, self.noisy_holdout, seed),
        )

    def _configurations(self, arrays: Arrays, split: Split, seed: int) -> dict[str, Configuration]:
        """Build the configurations of the methods to choose from, by name."""
        trusted = bool(len(split.clean_indices))
        if not (isinstance(self.method, str) and self.method == "auto"):
            return {str(self.method): self._configuration(self.method, {}, arrays, split, seed)}
        if not trusted:
            warnings.warn(
                "no labels are trusted, so the noise is estimated from the labels alone; check some labels and pass "
                "them as trusted (in cross-validation, every training part needs some)",
                stacklevel=3,
            )
        names = [name for name in _METHODS if trusted or name != "vri"]
        clean = {"method": {"init_args": {"clean_weight": CLEAN_WEIGHT if trusted else 0.0}}}
        found = {name: self._configuration(name, clean, arrays, split, seed) for name in names}
        return found | {_CHEAP: replace(found[_CHEAP], networks=_NETWORKS)}

    def _configuration(
        self, method: str | Method, options: dict[str, Any], arrays: Arrays, split: Split, seed: int
    ) -> Configuration:
        """Build the configuration of the training with a method."""
        count = len(split.noisy_training_indices)
        batch_size = min(self.batch_size, max(_SMALL_BATCH, count // _BATCHES), count)
        epochs = self._epochs(count // batch_size)
        fields: dict[str, Any] = {
            "data": _Given(arrays),
            "backbone": None if isinstance(self.backbone, str) and self.backbone == "auto" else self._backbone,
            "trunk": self.trunk,
            "augmentation": self.augmentation or NoAugmentation(),
            "epochs": epochs,
            "batch_size": batch_size,
            "evaluate_every": 1 if self.verbose else epochs,
            "seed": seed,
            "device": self.device,
            "quiet": not self.verbose,
        }
        if not isinstance(method, str):
            fields |= {"method": method, "networks": method.networks}
        defaults = {"optimizer": {"init_args": {"momentum": _MOMENTUM}}, "loggers": []}
        rate = {} if self.learning_rate == "auto" else {"optimizer": {"init_args": {"lr": float(self.learning_rate)}}}
        configuration = named_configuration(
            method if isinstance(method, str) else "vri", defaults, options | rate, **fields
        )
        if configuration.method.needs_clean and configuration.selection is None and not len(split.clean_indices):
            raise ValueError(f"method {method!r} needs trusted labels; pass trusted, or use method='auto'")
        return configuration

    def _epochs(self, steps: int) -> int:
        """Number of epochs, of ``steps`` steps each."""
        return int(np.clip(-(-_STEPS // steps), *_EPOCHS)) if self.epochs == "auto" else self.epochs

    def _backbone(self, input_shape: tuple[int, ...], num_classes: int) -> Classifier:
        if isinstance(self.backbone, nn.Module):
            body = deepcopy(self.backbone).float()
            found = body if isinstance(body, Classifier) else _of_module(body, input_shape, num_classes)
        elif callable(self.backbone):
            found = self.backbone(input_shape, num_classes)
        else:
            raise ValueError(
                f"backbone is {self.backbone!r}; expected 'auto', a PyTorch module or a function of (input_shape, "
                "num_classes)"
            )
        if not isinstance(found, Classifier):
            raise UserTypeError(f"backbone returned {described(found)}; expected a vri_pyro.Classifier")
        if getattr(found, "num_classes", num_classes) != num_classes:
            raise UserError(f"backbone has num_classes {found.num_classes} but y has {num_classes} classes")
        return found

    def _trained(
        self,
        candidates: dict[str, Configuration],
        arrays: Arrays,
        split: Split,
        scale: tuple[np.ndarray, np.ndarray],
    ) -> Run:
        """Choose network and methods, and train; the run is that of the method with the greatest weight."""
        self.network_choice_: NetworkChoice | None = None
        self.method_choice_: MethodChoice | None = None
        first, *others = candidates
        if chooses(candidates[first], arrays, split):
            self.network_choice_ = choose_network(candidates[first], arrays, split, scale)
            chosen = self.network_choice_.chosen
            candidates = {name: chosen.set_in(candidate) for name, candidate in candidates.items()}
        if others:
            self.method_choice_ = choose_method(candidates, arrays, split, scale)
            first, *others = self.method_choice_.chosen
        self.method_ = self.method if isinstance(self.method, Method) else first
        console = Console(quiet=not self.verbose)

        def trained(name: str) -> Trainer:
            torch.manual_seed(candidates[name].seed)
            trainer = build_trainer(candidates[name], None, arrays, split, scale, identity="")
            trainer.run(lambda epochs, steps: ProgressDisplay(epochs, steps, console))
            return trainer

        networks = {name: trained(name).ema.network for name in others}
        trainer = trained(first)
        if (choice := self.method_choice_) is None:
            return Run.of_trainer(trainer, split, arrays.classes)
        networks[first] = trainer.ema.network
        weights, scales = ([of[name] for name in networks] for of in (choice.weights, choice.scales))
        mixture = Mixture(list(networks.values()), weights, scales)
        return Run.of_trainer(trainer, split, arrays.classes, predictor=mixture)

    def _keep(self, run: Run, arrays: Arrays, scale: tuple[np.ndarray, np.ndarray]) -> None:
        """Keep what predictions and label issues need."""
        self.run_, self._issues, self._seed = run, None, run.split.seed
        self._untrusted, self.n_trusted_ = run.split.noisy_indices, len(arrays.y_train) - len(run.split.noisy_indices)
        self._evidence: Evidence = evidence_of(run, run.split.noisy_indices, draws=0)
        mean, std = scale
        self._mean, self._std = mean.astype(np.float64), np.where(std == 0, 1.0, std).astype(np.float64)
        self._scale = 1 / 255 if arrays.x_train.dtype == np.uint8 else 1.0
        self._shape = arrays.x_train.shape[1:]
        self._network = deepcopy(run.predictor)
        if isinstance(run.classifier, MLP):  # one of the networks, which all have the same backbone
            self._network.double()


def _of_module(network: nn.Module, input_shape: tuple[int, ...], num_classes: int) -> Classifier:
    try:
        return FromModule(input_shape, num_classes, network)
    except NoLastLayer:
        return FromModule(input_shape, num_classes, network, head="")


@dataclass(frozen=True, eq=False)
class _Given(Source):
    """Arrays as a data source.

    Attributes:
        arrays: the data.
    """

    arrays: Arrays

    def load(self) -> Arrays:
        """Return the arrays."""
        return self.arrays


def _warn_of_duplicates(arrays: Arrays, split: Split) -> None:
    """Warn if trusted examples are also among the others, with labels that need not agree."""
    if len(split.noisy_indices) == len(arrays.y_train):
        return
    found = find_duplicates(arrays, split, content_keys(arrays))
    if told := [found.told(overlap) for overlap in found.overlaps if overlap.beyond_chance]:
        warnings.warn(
            f"X has identical inputs: {'; '.join(told)}; keep one of each, so that the accuracy on held-out trusted "
            "examples is that on new inputs",
            stacklevel=3,
        )


def _numbered(y: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Validate labels; return class numbers, int64 [N], and the classes, [K]."""
    if y is None:
        raise ValueError("VRIClassifier requires y to be passed, but the target y is None")
    if isinstance(y, str) or (not isinstance(y, list) and _dimensions(y) == 0):
        raise UserTypeError(f"y is {y!r}; expected one label per example, [N]")
    if not isinstance(y, list) and _dimensions(y) == 2:
        y = column_or_1d(y, warn=True)
    if not isinstance(y, list | pd.Series) and not hasattr(y, "dtype"):
        y = np.asarray(y)
    if getattr(getattr(y, "dtype", None), "kind", "") == "f":
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
    numbers, known = number_labels("y", y)
    classes = label_array(known)
    if len(numbers) != count:
        raise ValueError(f"y has {len(numbers)} labels for the {count} examples of X; expected one label per example")
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()[0]!r}; a classifier needs at least two classes")
    return numbers, classes


def _dimensions(values: Any) -> int:
    return values.ndim if hasattr(values, "ndim") else np.asarray(values).ndim


@contextmanager
def _training_in_memory(device: torch.device) -> Iterator[None]:
    """Train in float32 and with gradients, whatever PyTorch's settings outside are; its random state does not change.

    Raises:
        KeyboardInterrupt: the training was interrupted.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            pyro.validation_enabled(False),  # validation is slow
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")  # PyTorch's own call
            yield
    except Interrupted:
        raise KeyboardInterrupt from None
    finally:
        torch.set_default_dtype(dtype)


def _offset(x: np.ndarray) -> np.ndarray | None:
    """Means of the columns that float32 would blur, such as timestamps, and 0 for others, [D]; None if none is."""
    if x.dtype == np.float32:
        return None
    mean, std = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    blurred = (std > 0) & (abs(mean) > _FAR * std)
    return np.where(blurred, mean, 0.0) if blurred.any() else None


def _check_columns(X: Any) -> None:
    """Raise if a column of a DataFrame is not numeric or has missing values."""
    if not isinstance(X, pd.DataFrame):
        return
    for name, column in X.items():
        if not _holds_numbers(column):
            raise ValueError(
                f"column {name!r} of X has dtype {column.dtype}; encode it as numbers, for example with "
                "sklearn.preprocessing.OneHotEncoder, or drop it"
            )
        if missing := int(column.isna().sum()):
            raise ValueError(
                f"column {name!r} of X has {missing} missing values (NaN), the first in row "
                f"{int(column.isna().to_numpy().argmax())}; fill them, for example with "
                "sklearn.impute.SimpleImputer, or drop the rows"
            )


def _holds_numbers(column: pd.Series) -> bool:
    """Whether a column is numeric; a column of objects may be."""
    if column.dtype == object:
        return pd.api.types.infer_dtype(column, skipna=True) in _NUMBERS
    return pd.api.types.is_numeric_dtype(column.dtype)
