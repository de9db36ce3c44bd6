"""VRIClassifier: scikit-learn's contract, what it accepts, what it learns, and what it refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from vri_pyro import VRIClassifier
from vri_pyro.backbones import MLP
from vri_pyro.methods import ELR, DivideMix, Method
from vri_pyro.runs.named import method_names
from vri_pyro.training.ensemble import networks_of

UNTRUSTED = "ignore:no labels are trusted:UserWarning"
NOT_HELD_OUT = "ignore:No trusted examples were held out:UserWarning"
UNKNOWN = "ignore:There are no trusted examples, so nobody knows:UserWarning"


def _blobs(
    count: int = 240, classes: int = 3, wrong: float = 0.3, dimensions: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussian classes: inputs, given labels of which a share is wrong, and true labels."""
    generator = np.random.default_rng(0)
    true = np.arange(count) % classes
    x = 4 * generator.standard_normal((classes, dimensions))[true] + generator.standard_normal((count, dimensions))
    given = np.where(generator.random(count) < wrong, (true + 1) % classes, true)
    return x, given, true


def _linear(shape: tuple[int, ...], classes: int) -> MLP:
    return MLP(shape, classes, hidden=())


def _fast(**options: Any) -> VRIClassifier:
    """A classifier that takes little time, for tests of everything but the method and the choice of the network."""
    return VRIClassifier(**{"method": "noisy_and_clean", "backbone": _linear, "epochs": 15, **options})


def _untrusting(**options: Any) -> VRIClassifier:
    return VRIClassifier(**{"backbone": _linear, "epochs": 15, **options})


def _trusting(**options: Any) -> tuple[VRIClassifier, np.ndarray, np.ndarray, np.ndarray]:
    """A fitted classifier, with its inputs, given labels and true labels."""
    x, given, true = _blobs()
    given[:30] = true[:30]
    return _fast(**options).fit(x, given, trusted=range(30)), x, given, true


@pytest.fixture(scope="module")
def vri() -> tuple[VRIClassifier, np.ndarray, np.ndarray, np.ndarray]:
    """The default classifier."""
    return _trusting(method="auto", backbone="auto", epochs=20)


def test_labels_kept_out_of_training_are_ranked_like_the_others() -> None:
    generator, true = np.random.default_rng(0), np.arange(400) % 2
    images = (100 * true[:, None, None] + generator.integers(0, 100, (400, 8, 8))).astype(np.uint8)
    given = np.where(generator.random(400) < 0.3, 1 - true, true)
    given[:60] = true[:60]
    classifier = _fast(backbone="auto", epochs=3, noisy_holdout=0.1).fit(images, given, trusted=range(60))
    split = classifier.run_.split
    assert len(split.noisy_holdout) == 34
    assert np.array_equal(
        classifier.run_.trained_on,
        np.setdiff1d(np.arange(400), np.r_[classifier.run_.split.held_out, split.noisy_holdout]),
    )
    assert set(classifier.label_issues_["index"]) == set(range(60, 400))
    low, high = classifier.noise_rate_interval_
    assert low < (given != true)[60:].mean() < high


def test_passes_all_checks_of_scikit_learn() -> None:
    with pytest.warns(UserWarning, match="no labels are trusted"):
        # A given network: its choice takes most of the time, and has tests of its own.
        checks = check_estimator(_untrusting(), on_fail=None, on_skip=None)
    assert [check["check_name"] for check in checks if check["status"] == "failed"] == []
    print(*(f"{check['check_name']}: {check['status']}" for check in checks), sep="\n")
    skipped = {check["check_name"] for check in checks if check["status"] != "passed"}
    assert skipped <= {"check_array_api_input"}  # needs an environment variable of SciPy
    assert len(checks) > 50


Fitted = tuple[VRIClassifier, np.ndarray, np.ndarray, np.ndarray]


def test_learns_the_true_classes_from_wrong_labels(vri: Fitted) -> None:
    classifier, x, given, true = vri
    assert classifier.method_ == "learned_transition"  # few labels: three of its networks, and one of VRI
    assert (given == true).mean() < 0.8
    assert classifier.score(x, true) > 0.97


def test_finds_the_wrong_labels_and_their_share(vri: Fitted) -> None:
    classifier, _, given, true = vri
    issues = classifier.label_issues_
    wrong = (given != true)[issues["index"]]
    assert (issues["is_label_issue"] == wrong).mean() > 0.95
    assert (issues["score"].diff().dropna() <= 0).all()
    low, high = classifier.noise_rate_interval_
    assert low <= wrong.mean() <= high
    assert abs(classifier.noise_rate_ - wrong.mean()) < 0.05
    assert classifier.transition_.shape == (3, 3)
    assert np.allclose(classifier.transition_.sum(1), 1)
    low, high = classifier.transition_interval_
    assert ((low <= classifier.transition_) & (classifier.transition_ <= high)).all()
    assert sorted(issues["index"]) == list(range(30, 240))


def test_trusted_examples_can_be_positions_or_a_mask() -> None:
    x, given, true = _blobs()
    mask = np.zeros(len(x), dtype=bool)
    mask[:30] = True
    given[:30] = true[:30]
    by_mask = _fast().fit(x, given, trusted=pd.Series(mask))
    by_position = _fast().fit(x, given, trusted=range(30))
    assert np.array_equal(by_mask.predict_proba(x), by_position.predict_proba(x))
    assert by_mask.n_trusted_ == 30


def test_trusted_examples_that_are_also_among_the_others_are_told() -> None:
    x, given, true = _blobs()
    x, given = np.concatenate([x, x[:30]]), np.concatenate([given, true[:30]])
    with pytest.warns(UserWarning, match=r"X has identical inputs: .* validation examples are also in the noisy set"):
        _fast(epochs=1).fit(x, given, trusted=range(240, 270))


@pytest.mark.filterwarnings(UNKNOWN)
@pytest.mark.usefixtures("short_choice")
def test_without_trusted_labels_the_noise_is_estimated_from_the_labels_alone_with_a_warning() -> None:
    x, given, true = _blobs()
    with pytest.warns(UserWarning, match="no labels are trusted, so the noise is estimated from the labels alone"):
        classifier = VRIClassifier().fit(x, given)
    assert classifier.method_ in ("learned_transition", "elr")
    assert classifier.score(x, true) > 0.9
    assert len(classifier.label_issues_) == len(x)


@pytest.mark.filterwarnings("ignore:no hypergradient can reach")
@pytest.mark.usefixtures("short_choice")
@pytest.mark.parametrize(
    "name", [name for name in method_names() if name not in ("forward", "vri_no_clean_minus", "vri_no_clean_plus")]
)
def test_every_named_method_can_be_used(name: str) -> None:
    if name == "vri_no_clean_aug":
        pytest.skip("selects its clean set itself, so it takes no trusted examples")
    x, _, true = _blobs()
    classifier = VRIClassifier(name.upper().replace("_", "-"), epochs=3).fit(x, true, trusted=range(60))
    assert classifier.score(x, true) > 0.5


@pytest.mark.filterwarnings(UNTRUSTED)
@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y,
        lambda y: y.astype(float),
        lambda y: y == 0,
        lambda y: np.array(["cat", "dog", "none of both"])[y],
        lambda y: np.array(["cat", "dog", "none of both"], dtype=object)[y],
        lambda y: pd.Series(y).map({0: "a", 1: "b", 2: "c"}).astype("category"),
        lambda y: [("animal", int(label)) for label in y],
        lambda y: y * 1000 - 5,
    ],
)
def test_labels_can_be_of_any_hashable_type(labels: Callable[[np.ndarray], Any]) -> None:
    x, given, _ = _blobs()
    y = labels(given)
    classifier = _untrusting(epochs=2).fit(x, y)
    found = classifier.predict(x).tolist()
    assert set(found) <= set(y)
    assert type(found[0]) is type(np.asarray(y).tolist()[0]) or isinstance(found[0], tuple)


def _predicted_digits(shape: tuple[int, ...], dtype: type | None = None) -> np.ndarray:
    """The probabilities of a classifier that is fitted to digits of a type; by default, that of the data set."""
    digits, labels = load_digits(return_X_y=True)
    count = 300
    x = np.repeat(digits[:count], shape[2] if len(shape) == 3 else 1, axis=1).reshape(count, *shape)
    x = x if dtype is None else x.astype(dtype)
    return _fast(backbone="auto", epochs=4).fit(x, labels[:count], trusted=range(100)).predict_proba(x)


_reference = cache(_predicted_digits)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8, np.uint8])
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3), (64,)])
@pytest.mark.usefixtures("short_choice")
def test_inputs_of_all_numeric_types_give_nearly_the_same_classifier(dtype: type, shape: tuple[int, ...]) -> None:
    assert np.allclose(_predicted_digits(shape, dtype), _reference(shape), atol=1e-3)


@pytest.mark.filterwarnings(UNTRUSTED)
def test_a_network_trained_on_bytes_predicts_from_other_types() -> None:
    x = load_digits().images[:100].astype(np.uint8)
    classifier = _untrusting(backbone="auto", epochs=2).fit(x, load_digits().target[:100])
    assert np.allclose(classifier.predict_proba(x), classifier.predict_proba(x.astype(float)), atol=1e-6)


def test_a_dataframe_keeps_its_column_names() -> None:
    x, _, true = _blobs()
    frame = pd.DataFrame(x, columns=list("abcdefgh"), index=np.arange(240) + 7)
    classifier = _fast().fit(frame, pd.Series(true, index=frame.index), trusted=range(30))
    assert list(classifier.feature_names_in_) == list("abcdefgh")
    assert np.array_equal(classifier.predict(frame), classifier.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame.rename(columns={"a": "z"}))


def test_a_torch_module_becomes_the_backbone_and_stays_unchanged() -> None:
    x, _, true = _blobs()
    body = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
    before = body[0].weight.detach().clone()
    classifier = _fast(backbone=body).fit(x, true, trusted=range(60))
    assert torch.equal(body[0].weight, before)
    assert classifier.score(x, true) > 0.9
    assert not torch.equal(classifier._network.network[0].weight, before)


def test_the_backbone_can_be_a_function_or_a_classifier() -> None:
    x, _, true = _blobs()
    by_function = _fast(backbone=MLP).fit(x, true, trusted=range(60))
    by_object = _fast(backbone=MLP((8,), 3, hidden=(16,))).fit(x, true, trusted=range(60))
    assert min(by_function.score(x, true), by_object.score(x, true)) > 0.9


def test_the_learning_rate_is_that_of_the_method_unless_it_is_given() -> None:
    x, _, true = _blobs(60)

    def group(**options: Any) -> dict[str, Any]:
        classifier = VRIClassifier(**{"epochs": 1, **options}).fit(x, true, trusted=range(30))
        return classifier.run_.algorithm.classifier_optimizer.param_groups[0]

    assert (group(method="elr")["lr"], group(method="elr")["momentum"]) == (0.05, 0.9)
    assert group(method="elr", learning_rate=0.3)["lr"] == 0.3


@pytest.mark.parametrize("method", [ELR(clean_weight=0.2), DivideMix(early_epochs=5)])
def test_a_method_object_can_be_given(method: Method) -> None:
    x, _, true = _blobs()
    classifier = _fast(method=method).fit(x, true, trusted=range(60))
    assert classifier.method_ is method
    assert classifier.score(x, true) > 0.9
    assert len(networks_of(classifier.run_.predictor)) == method.networks


def test_clone_and_get_params_keep_all_settings() -> None:
    classifier = VRIClassifier("elr", epochs=3, learning_rate=0.1, random_state=7)
    assert clone(classifier).get_params() == classifier.get_params()
    assert classifier.set_params(epochs=4).epochs == 4


def test_a_pickled_classifier_predicts_and_ranks_the_same_without_the_data() -> None:
    classifier, x, _, _ = _trusting()
    copied = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(copied.predict_proba(x), classifier.predict_proba(x))
    assert copied.label_issues_.equals(classifier.label_issues_)
    assert copied.run_ is None
    assert classifier.run_ is not None


@pytest.mark.usefixtures("short_choice")
def test_the_same_seed_gives_the_same_classifier_and_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    first, x, _, _ = _trusting(backbone="auto")
    second = _trusting(backbone="auto")[0]
    other = _trusting(backbone="auto", random_state=1)[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first.predict_proba(x), second.predict_proba(x))
    assert not np.array_equal(first.predict_proba(x), other.predict_proba(x))


@pytest.mark.filterwarnings(UNTRUSTED)
def test_works_in_pipelines_searches_and_calibration() -> None:
    x, given, true = _blobs(120)
    assert make_pipeline(StandardScaler(), _untrusting()).fit(x, given).score(x, true) > 0.8
    search = GridSearchCV(_untrusting(), {"learning_rate": [0.01, 0.1]}, cv=2).fit(x, given)
    assert search.best_params_["learning_rate"] in (0.01, 0.1)
    calibrated = CalibratedClassifierCV(_untrusting(), cv=2).fit(x, given)
    assert calibrated.predict_proba(x).shape == (120, 3)


def test_cross_validation_divides_the_mask_of_trusted_examples() -> None:
    x, given, true = _blobs()
    mask = np.arange(240) % 4 == 0
    given[mask] = true[mask]
    scores = cross_val_score(_fast(), x, given, cv=3, params={"trusted": mask})
    assert len(scores) == 3
    assert scores.min() > 0.5


def test_metadata_routing_passes_trusted_on() -> None:
    import sklearn

    x, given, true = _blobs()
    mask = np.arange(240) < 60
    given[mask] = true[mask]
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), _fast().set_fit_request(trusted=True))
        pipeline.fit(x, given, trusted=mask)
    assert pipeline[-1].n_trusted_ == 60


@pytest.mark.filterwarnings(UNTRUSTED, NOT_HELD_OUT)
@pytest.mark.parametrize("count", [2, 3, 10])
def test_very_small_data_sets_can_be_fitted(count: int) -> None:
    x, _, true = _blobs(count, classes=2, wrong=0)
    classifier = _untrusting(backbone="auto").fit(x, true)
    assert classifier.predict(x).shape == (count,)
    assert len(classifier.label_issues_) == count


@pytest.mark.parametrize(("classes", "count"), [(2, 200), (100, 2000)])
@pytest.mark.usefixtures("short_choice")
def test_two_and_a_hundred_classes(classes: int, count: int) -> None:
    x, _, true = _blobs(count, classes, wrong=0, dimensions=32)
    classifier = _fast(backbone="auto").fit(x, true, trusted=range(3 * classes))
    assert classifier.predict_proba(x).shape == (count, classes)
    assert classifier.score(x, true) > 0.5


def test_an_imbalance_of_a_hundred_to_one_does_not_lose_the_rare_class() -> None:
    x, _, true = _blobs(1000, classes=2, wrong=0)
    kept = np.concatenate([np.flatnonzero(true == 0), np.flatnonzero(true == 1)[:5]])
    classifier = _fast(backbone="auto").fit(x[kept], true[kept], trusted=[0, 1, 2, 500, 501])
    assert classifier.predict(x[true == 1]).mean() > 0.8


@pytest.mark.filterwarnings(UNTRUSTED)
def test_a_linear_classifier_without_the_choice_of_the_network_is_close_to_logistic_regression() -> None:
    x, y = make_classification(600, n_features=20, n_informative=8, n_classes=3, class_sep=1.5, random_state=0)
    linear = VRIClassifier("cross_entropy", backbone=_linear, epochs=30)
    chosen = VRIClassifier("cross_entropy", epochs=30)
    theirs = LogisticRegression(max_iter=1000)
    scores = [one.fit(x[:400], y[:400]).score(x[400:], y[400:]) for one in (linear, chosen, theirs)]
    assert abs(scores[0] - scores[2]) < 0.03
    assert scores[1] > scores[2] + 0.03  # two clusters a class
    assert chosen.network_choice_ is not None
    assert chosen.network_choice_.chosen.hidden == (128, 64)


X, Y, _ = _blobs(60)
FRAME = pd.DataFrame({"age": [1.0, np.nan] * 30, "city": ["Rome", "Oslo"] * 30, "size": range(60)})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"X": FRAME[["size", "age"]]},
            ValueError,
            r"column 'age' of X has 30 missing values \(NaN\), the first in row 1;",
        ),
        (
            {"X": FRAME[["size"]].assign(age=[1.0, np.inf] * 30)},
            ValueError,
            r"X\[1, 1\] \(column 'age'\) is inf; replace",
        ),
        (
            {"X": FRAME[["size"]].assign(age=[1.0, -1e300] * 30)},
            ValueError,
            r"X\[1, 1\] \(column 'age'\) is -1e\+300, which is too large for single precision \(at most 3.4e\+38\)",
        ),
        (
            {"X": np.where(np.arange(60)[:, None] == 5, 1e300, X)},
            ValueError,
            r"X\[5, 0\] is 1e\+300, which is too large",
        ),
        ({"X": FRAME[["size", "city"]]}, ValueError, "column 'city' of X has dtype .*; encode it as numbers"),
        (
            {"X": np.where(np.arange(60)[:, None] == 7, np.nan, X)},
            ValueError,
            r"X\[7, 0\] is NaN; fill in missing values, or drop the examples that have some",
        ),
        ({"y": Y[:-1]}, ValueError, "y has 59 labels for the 60 examples of X"),
        ({"y": np.append(Y, 0)}, ValueError, "y has 61 labels for the 60 examples of X"),
        ({"y": np.zeros(60)}, ValueError, "y has one class, 0.0"),
        ({"y": [*Y[:-1], None]}, ValueError, r"y\[59\] is missing \(None or NaN\)"),
        ({"y": [*Y[:-1].astype(str), 1]}, TypeError, "y mixes the types number and str"),
        ({"y": pd.Series(Y).astype("Int64").mask(Y == 2)}, ValueError, r"y\[\d+\] is missing"),
        ({"y": [[label] for label in Y]}, TypeError, "not hashable"),
        ({"y": X[:, 0]}, ValueError, "Unknown label type"),
        ({"trusted": [0, 60]}, ValueError, r"trusted\[1\] is 60; positions of the 60 examples are 0 to 59"),
        ({"trusted": [-1]}, ValueError, r"trusted\[0\] is -1"),
        ({"trusted": [3, 3]}, ValueError, "trusted contains index 3 more than once"),
        ({"trusted": [0.5]}, TypeError, "trusted has dtype float64"),
        ({"trusted": [0, 1] * 30}, ValueError, "trusted has a 0 or 1 for each of the 60 examples; convert it to Bool"),
        ({"trusted": [True] * 59}, ValueError, "trusted is a mask of length 59 for 60 examples"),
        ({"trusted": range(60)}, ValueError, "all examples are trusted"),
        ({"method": "vry", "trusted": [0]}, ValueError, "there is no method 'vry'; did you mean 'vri'"),
        ({"method": "vri"}, ValueError, "method 'vri' needs trusted labels"),
        ({"backbone": "resnet", "trusted": [0]}, ValueError, "backbone is 'resnet'; expected 'auto'"),
        ({"backbone": nn.Linear(9, 2), "trusted": [0]}, ValueError, r"Linear rejects inputs of shape \[2, 8\]"),
        (
            {"backbone": nn.Unflatten(1, (2, 4)), "trusted": [0]},
            ValueError,
            r"expected features \[batch, feature_dim\]",
        ),
        ({"validation_fraction": 1.5, "trusted": [0]}, ValueError, "validation_fraction is 1.5"),
        ({"noisy_holdout": 1}, ValueError, r"noisy_holdout is 1; expected a value in \[0, 1\)"),
        ({"noisy_holdout": 0.999}, ValueError, "noisy_holdout 0.999 keeps all .* noisy examples out of training"),
        ({"epochs": 0, "trusted": [0]}, ValueError, "epochs is 0"),
        ({"X": np.zeros((60, 3, 8, 8))}, ValueError, "looks like"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    data = {"X": X, "y": Y, "trusted": None}
    data |= {name: changes[name] for name in data.keys() & changes.keys()}
    classifier = VRIClassifier(**{"epochs": 2} | {name: changes[name] for name in changes.keys() - data.keys()})
    with pytest.raises(error, match=message):
        classifier.fit(**data)


def test_inputs_of_another_shape_are_refused_in_prediction() -> None:
    classifier = _fast(backbone="auto", epochs=1).fit(
        load_digits().images[:200], load_digits().target[:200], trusted=range(50)
    )
    with pytest.raises(ValueError, match=r"X has inputs of shape \(8, 4, 1\) but fit had \(8, 8, 1\)"):
        classifier.predict(np.zeros((2, 8, 4)))


@pytest.fixture(scope="module")
def trusting() -> Fitted:
    """A classifier that holds out 60 of 120 trusted examples."""
    x, given, true = _blobs(count=600, dimensions=3)
    given[:120] = true[:120]
    return _fast(validation_fraction=0.5).fit(x[:500], given[:500], trusted=range(120)), x, given, true


def test_sets_contain_the_true_class_of_new_inputs(trusting: Fitted) -> None:
    classifier, x, _, true = trusting
    sets = classifier.predict_set(x[500:], coverage=0.9)
    assert sets.shape == (100, 3)
    assert sets.dtype == bool
    assert sets[np.arange(100), true[500:]].mean() > 0.8
    assert np.array_equal(sets, classifier.prediction_sets(0.9)(classifier.predict_proba(x[500:])))
    assert "60 trusted labels held out of training" in classifier.prediction_sets(0.9).told
    with pytest.warns(UserWarning, match="held-out examples have a set of all 3 classes, which excludes nothing"):
        assert classifier.predict_set(x[500:], 0.97, score="aps").sum() >= sets.sum()


def test_calibrated_probabilities_keep_the_predicted_classes(trusting: Fitted) -> None:
    classifier, x, _, _ = trusting
    plain, calibrated = classifier.predict_proba(x), classifier.predict_proba(x, calibrated=True)
    assert not np.array_equal(plain, calibrated)
    assert np.array_equal(plain.argmax(1), calibrated.argmax(1))
    assert "60 trusted labels" in classifier.temperature_.told
    assert classifier.temperature_.value == pytest.approx(classifier._ranked().temperature, rel=1e-4)


def test_sets_can_be_calibrated_on_labels_that_come_later_trusted_or_not(trusting: Fitted) -> None:
    classifier, x, given, true = trusting
    later = (x[500:], true[500:])
    assert "100 trusted labels" in classifier.prediction_sets(0.9, held_out=later).told
    noisy = classifier.prediction_sets(0.8, held_out=(x[500:], given[500:]), trusted=False)
    assert "asymptotically" in noisy.told
    assert not noisy.trusted
    naive = classifier.prediction_sets(0.8, held_out=(x[500:], given[500:]))
    assert noisy(classifier.predict_proba(x)).sum() < naive(classifier.predict_proba(x)).sum()


def test_a_pickled_classifier_has_the_same_sets(trusting: Fitted) -> None:
    classifier, x, _, _ = trusting
    copied = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(copied.predict_set(x), classifier.predict_set(x))


def test_classes_without_a_guarantee_of_their_own_are_a_warning() -> None:
    x, given, true = _blobs()
    positions = np.concatenate([np.flatnonzero(true == k)[:size] for k, size in enumerate((40, 40, 10))])
    given[positions] = true[positions]
    classifier = _fast(validation_fraction=0.5).fit(x, given, trusted=positions)
    with pytest.warns(UserWarning, match=r"1 class has too few held-out labels for a threshold of its own \(2\)"):
        classifier.predict_set(x, by_class=True)


def test_sets_without_held_out_labels_are_refused(trusting: Fitted) -> None:
    classifier, x, given, _ = trusting
    few = _fast(validation_fraction=0.0).fit(x[:100], given[:100], trusted=range(30))
    for ask in (few.predict_set, lambda x: few.predict_proba(x, calibrated=True)):
        with pytest.raises(
            ValueError, match="no trusted labels were held out of training; pass more examples as trust"
        ):
            ask(x)
    with pytest.raises(ValueError, match="trusted is False but held_out is not given"):
        classifier.predict_set(x, trusted=False)
    with pytest.raises(ValueError, match="held_out has the label 7, which is none of the classes of fit"):
        classifier.predict_set(x, held_out=(x[:2], [7, 1]))
    with pytest.raises(TypeError, match=r"expected inputs and labels \(X, y\)"):
        classifier.predict_set(x, held_out=x)
    with pytest.raises(ValueError, match=r"coverage is 1.0; expected a value in \(0, 1\), such as 0.9"):
        classifier.predict_set(x, 1.0)


@pytest.mark.parametrize("distance", [1e5, 1.7e9])
@pytest.mark.filterwarnings(NOT_HELD_OUT)
def test_columns_far_from_zero_are_learned_from_like_others(distance: float) -> None:
    x, given, _ = _blobs()
    far = x.copy()
    far[:, ::2] += distance
    near, moved = (_fast(random_state=0).fit(inputs, given, trusted=range(30)) for inputs in (x, far))
    np.testing.assert_allclose(moved.predict_proba(far), near.predict_proba(x), atol=1e-3)
    copied = pickle.loads(pickle.dumps(moved))
    np.testing.assert_array_equal(copied.predict_proba(far), moved.predict_proba(far))
    again = moved.fit(x, given, trusted=range(30))
    np.testing.assert_array_equal(again.predict_proba(x), near.predict_proba(x))


@pytest.mark.parametrize("backbone", ["auto", _linear, nn.Linear(8, 3)], ids=["auto", "function", "module"])
@pytest.mark.filterwarnings(NOT_HELD_OUT)
@pytest.mark.usefixtures("short_choice")
def test_settings_of_pytorch_outside_do_not_matter(backbone: Any) -> None:
    x, given, _ = _blobs()
    expected = _fast(backbone=backbone, random_state=0).fit(x, given, trusted=range(30))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        double = _fast(backbone=backbone, random_state=0).fit(x, given, trusted=range(30))
        found = double.predict_proba(x), double.label_issues_
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_allclose(found[0], expected.predict_proba(x), atol=1e-6)
    pd.testing.assert_frame_equal(found[1], expected.label_issues_, atol=1e-3)
    with torch.inference_mode():
        frozen = _fast(backbone=backbone, random_state=0).fit(x, given, trusted=range(30))
    np.testing.assert_array_equal(frozen.predict_proba(x), expected.predict_proba(x))


def test_estimator_that_an_older_version_pickled_has_the_defaults_of_newer_options() -> None:
    state = VRIClassifier(epochs=3).__getstate__()
    del state["noisy_holdout"]
    restored = VRIClassifier.__new__(VRIClassifier)
    restored.__setstate__(state)
    assert restored.get_params()["noisy_holdout"] == 0
    assert restored.get_params()["epochs"] == 3
