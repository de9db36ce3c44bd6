"""The hierarchical pair: inference of the transition matrix, likelihood of a label, and start of training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from infer.toys import CLASSES, INPUTS, Dense
from pyro import poutine
from torch import Tensor
from torch.distributions import kl_divergence

from vri_pyro.data import DeviceData
from vri_pyro.data.batch import Batch
from vri_pyro.guides import DiagonalNormal, Hierarchical, NoLatents
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.classifier import ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.interfaces.transition_likelihood import clean_posterior, glc_estimate, noisy_log_probabilities
from vri_pyro.methods import GLC
from vri_pyro.methods.base import Stage
from vri_pyro.methods.bilevel import EstimatedBilevel
from vri_pyro.models import HierarchicalRectification
from vri_pyro.utils.errors import UserError

TRANSITION = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.7, 0.2], [0.0, 0.3, 0.7]], dtype=torch.float64)
COUNT, CLEAN = 300, 30


def _pair(features: int = 4, **options: Any) -> tuple[HierarchicalRectification, Hierarchical]:
    rate = options.pop("rate", 0.02)
    guide = Hierarchical(features, CLASSES, partial(DiagonalNormal, hidden=(4,)), rate=rate)
    return HierarchicalRectification(features, CLASSES, **options), guide


def _examples() -> DeviceData:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(COUNT + CLEAN, INPUTS)), generator.integers(CLASSES, size=COUNT + CLEAN)
    y[COUNT:] = np.minimum(np.arange(CLEAN) % (CLASSES + 1), CLASSES - 1)  # twice as many of the last class
    return DeviceData(x, y, "cpu", np.zeros(INPUTS), np.ones(INPUTS))


def _context(classifier: Dense) -> TrainingContext:
    examples = _examples()
    return TrainingContext(
        classifier,
        lambda positions: [examples.batch(positions).x],
        examples.y,
        noisy=torch.arange(COUNT),
        clean=torch.arange(COUNT, COUNT + CLEAN),
    )


def _algorithm(classifier: Dense, restart: bool = False, **options: Any) -> BilevelSVI:
    model, guide = _pair(classifier.feature_dim, **options)
    inner = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9)
    outer = torch.optim.Adam([*model.parameters(), *guide.parameters()])
    return BilevelSVI(classifier, model, guide, inner, outer, restart=restart)


def _single_level(classifier: Dense) -> SingleLevelSVI:
    model, guide = _pair(classifier.feature_dim)
    everything = [*classifier.parameters(), *model.parameters(), *guide.parameters()]
    return SingleLevelSVI(classifier, model, guide, torch.optim.SGD(everything, lr=0.1))


def test_untrained_classifier_is_refused_for_the_estimate() -> None:
    model, _ = _pair()
    before = model.concentration.clone()
    with pytest.raises(UserError, match="this classifier is untrained; use the method EstimatedBilevel"):
        model.begin_training(replace(_context(Dense()), trained=False))
    assert torch.equal(model.concentration, before)


def test_estimation_by_a_method_of_several_stages_is_refused() -> None:
    sgd = partial(torch.optim.SGD, lr=0.1)
    method = EstimatedBilevel(HierarchicalRectification, NoLatents, sgd, estimation=GLC())
    with pytest.raises(
        UserError, match="estimation is GLC, which has several stages; use a method with a single stage"
    ):
        method.stages("training", Stage(method, sgd, epochs=3))


def test_clean_posterior_is_bayes_rule() -> None:
    logits, y = torch.randn(5, CLASSES), torch.tensor([0, 1, 2, 0, 2])
    joint = logits.softmax(-1) * TRANSITION[:, y].mT
    torch.testing.assert_close(clean_posterior(logits, TRANSITION, y), joint / joint.sum(-1, keepdim=True))


def test_weight_is_by_the_transition_of_its_own_particle() -> None:
    model, guide = _pair()
    output, y = ClassifierOutput(torch.randn(5, CLASSES), torch.randn(5, 4)), torch.tensor([0, 1, 2, 0, 2])
    with pyro.plate("particles", 2, dim=-2):
        drawn = poutine.trace(guide).get_trace(output, y)
        trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(output, y)
    several, gate = (trace.nodes[name]["value"] for name in ("transition", "gate"))
    assert several.shape == (2, 1, CLASSES, CLASSES)
    assert not torch.equal(*several)
    for particle in range(2):
        right = clean_posterior(output.logits, several[particle, 0], y)[torch.arange(5), y]
        weight = (gate[particle] + right.logit()).sigmoid()
        torch.testing.assert_close(trace.nodes["weight"]["value"][particle], weight / weight.mean())


def test_bound_counts_the_transition_once_in_all_data() -> None:
    model, guide = _pair()
    model.data.size = guide.data.size = 1000
    guide.concentration += torch.rand(CLASSES, CLASSES)
    output, y = ClassifierOutput(torch.randn(8, CLASSES), torch.randn(8, 4)), torch.arange(8) % CLASSES
    terms = RectificationELBO(num_particles=2).terms(model, guide, output, y)
    expected = kl_divergence(dist.Dirichlet(guide.concentration), dist.Dirichlet(model.concentration)).sum()
    torch.testing.assert_close(terms.kl["transition"], expected)
    assert terms.estimator["transition"] == "analytic"
    assert terms.plate_size == 1000
    others = sum(kl.sum() / 1000 for name, kl in terms.kl.items() if name != "transition")
    torch.testing.assert_close(terms.mean_kl(), others + expected / 1000)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_likelihood_is_shared_out_between_rectifier_and_transition(share: float) -> None:
    model, guide = _pair(transition_weight=share)
    output, y = ClassifierOutput(torch.randn(8, CLASSES), torch.randn(8, 4)), torch.arange(8) % CLASSES
    drawn = poutine.trace(guide).get_trace(output, y)
    trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(output, y)
    trace.compute_log_prob()
    transition, gate = trace.nodes["transition"]["value"], trace.nodes["gate"]["value"]
    right = clean_posterior(output.logits, transition, y)[torch.arange(8), y]
    weight = (gate + right.logit()).sigmoid()
    rectified = (trace.nodes["rectifier"]["value"] * output.logits).log_softmax(-1)[torch.arange(8), y]
    torch.testing.assert_close(trace.nodes["y"]["log_prob"], (1 - share) * weight / weight.mean() * rectified)
    corrected = noisy_log_probabilities(output.logits, transition)[torch.arange(8), y]
    weight = trace.nodes["transition_gate"]["value"].sigmoid()
    torch.testing.assert_close(trace.nodes["y_by_transition"]["log_prob"], share * weight / weight.mean() * corrected)


def test_weight_of_an_example_with_known_position_uses_its_earlier_predictions() -> None:
    model, guide = _pair(elr_weight=2.0, momentum=0.8)
    y, index = torch.tensor([0, 1, 2, 0, 2]), torch.tensor([7, 0, 3, 9, 4])
    before, now = torch.randn(2, 5, CLASSES)
    model.end_step(ClassifierOutput(before, torch.randn(5, 4), index), y)
    drawn = poutine.trace(guide).get_trace(output := ClassifierOutput(now, torch.randn(5, 4), index), y)
    trace = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(output, y)
    trace.compute_log_prob()
    targets = 0.8 * 0.2 * before.softmax(-1) + 0.2 * now.softmax(-1)
    right = clean_posterior(targets.log(), trace.nodes["transition"]["value"], y)[torch.arange(5), y]
    weight = (trace.nodes["gate"]["value"] + right.logit()).sigmoid()
    torch.testing.assert_close(trace.nodes["weight"]["value"], weight / weight.mean())
    pull = -2.0 * (1 - (now.softmax(-1) * targets).sum(-1)).log()
    torch.testing.assert_close(trace.nodes["early_learning"]["log_prob"], pull)
    judged = poutine.trace(poutine.replay(model.eval(), trace=drawn)).get_trace(output, y)
    assert "early_learning" not in judged.nodes
    torch.testing.assert_close(judged.nodes["weight"]["value"], weight / weight.mean())


@pytest.mark.parametrize("single_level", [False, True])
def test_completed_step_stores_the_predictions_of_its_examples(single_level: bool) -> None:
    classifier = Dense()
    algorithm = _single_level(classifier) if single_level else _algorithm(classifier)
    examples, context = _examples(), _context(classifier)
    algorithm.begin_training(context)
    some = np.array([4, 0, 11])
    noisy = examples.batch(some)
    expected = 0.1 * classifier(noisy.x).logits.detach().softmax(-1)
    algorithm.step(noisy, examples.batch(context.clean))
    table = algorithm.model.memory.table
    torch.testing.assert_close(table[some], expected)
    assert table.shape == (COUNT + CLEAN, CLASSES)
    assert table.count_nonzero() == 3 * CLASSES
    with pyro.validation_enabled(False):  # as in a training run
        algorithm.step(noisy._replace(x=noisy.x * torch.nan), examples.batch(context.clean))
    torch.testing.assert_close(algorithm.model.memory.table[some], expected)


def test_early_learning_regulariser_moves_the_classifier_by_its_gradient() -> None:
    """Steps with and without the regulariser differ by its gradient; guide and prior draw the same noise in both."""
    moved = []
    for elr_weight in (0.0, 1.5):
        torch.manual_seed(3)
        classifier = Dense()
        algorithm = _algorithm(classifier, elr_weight=elr_weight)
        examples, context = _examples(), _context(classifier)
        algorithm.begin_training(context)
        noisy = examples.batch(np.arange(10))
        algorithm.model.end_step(classifier(noisy.x)._replace(index=noisy.index), noisy.y)
        logits = classifier(noisy.x).logits
        targets = algorithm.model.memory.moved(logits, noisy.index)
        regulariser = (1 - (logits.softmax(-1) * targets).sum(-1)).log().mean()
        pull = torch.autograd.grad(
            regulariser, list(classifier.parameters()), allow_unused=True, materialize_grads=True
        )
        algorithm.outer_optimizer.param_groups[0]["lr"] = 0.0  # excludes the effect through the virtual step
        before = [p.detach().clone() for p in classifier.parameters()]
        torch.manual_seed(4)
        algorithm.step(noisy, examples.batch(context.clean))
        moved.append([now.detach() - then for now, then in zip(classifier.parameters(), before, strict=True)])
    for without, with_it, gradient in zip(*moved, pull, strict=True):
        torch.testing.assert_close(with_it - without, -0.1 * 1.5 * gradient)


def test_transition_is_not_informed_by_the_weight_and_logits_not_pushed_by_it() -> None:
    model, _ = _pair()
    logits = torch.randn(8, CLASSES, requires_grad=True)
    trace = poutine.trace(model).get_trace(ClassifierOutput(logits, torch.randn(8, 4)), torch.arange(8) % CLASSES)
    assert torch.autograd.grad(trace.nodes["weight"]["value"].square().sum(), logits, allow_unused=True) == (None,)


def _given(true: Tensor) -> Tensor:
    return torch.multinomial(TRANSITION[true], 1).squeeze(-1)


def test_transition_is_recovered_with_the_uncertainty_of_its_counts() -> None:
    torch.manual_seed(0)
    model, guide = _pair(rate=0.1, prior_strength=1e-3, transition_weight=0.999)
    true = torch.arange(3000) % CLASSES
    given = _given(true)
    sure = ClassifierOutput(50.0 * torch.eye(CLASSES)[true], torch.zeros(len(true), 4))
    for _ in range(200):
        guide.end_step(model, sure, given)
    counts = torch.zeros(CLASSES, CLASSES).index_put_((true, given), torch.ones(len(true)), accumulate=True)
    torch.testing.assert_close(guide.concentration, model.concentration + 0.999 * counts, atol=1e-3, rtol=1e-4)
    error = (guide.transition - TRANSITION).abs() / dist.Dirichlet(guide.concentration).variance.sqrt()
    assert error[TRANSITION > 0].max() < 4


def test_step_of_the_transition_ascends_the_bound_to_its_optimum() -> None:
    torch.manual_seed(1)
    model, guide = _pair(rate=0.3, prior_strength=5.0, transition_weight=0.5)
    y = torch.randint(CLASSES, (60,))
    output = ClassifierOutput(2 * torch.randn(60, CLASSES), torch.zeros(60, 4))
    log_p = output.logits.log_softmax(-1)

    def bound(concentration: Tensor) -> Tensor:
        """The part of the ELBO that depends on q(T), at the optimal posteriors of the true classes."""
        q = dist.Dirichlet(concentration)
        expected = concentration.digamma() - concentration.sum(-1, keepdim=True).digamma()
        fit = torch.logsumexp(log_p + expected[:, y].mT, -1).sum()
        return 0.5 * fit - kl_divergence(q, dist.Dirichlet(model.concentration)).sum()

    values = [bound(guide.concentration)]
    for _ in range(500):
        guide.end_step(model, output, y)
        values.append(bound(guide.concentration))
    assert all(after >= before - 1e-9 for before, after in pairwise(values))
    found = guide.concentration.clone().requires_grad_()
    (slope,) = torch.autograd.grad(bound(found), found)
    assert slope.abs().max() < 1e-5


def test_batch_stands_for_all_data_in_the_step_of_the_transition() -> None:
    model, guide = _pair(rate=1.0)
    model.data.size = guide.data.size = 600
    y = torch.arange(6) % CLASSES
    guide.end_step(model, ClassifierOutput(torch.randn(6, CLASSES), torch.zeros(6, 4)), y)
    torch.testing.assert_close((guide.concentration - model.concentration).sum(0), 0.5 * torch.full((CLASSES,), 200.0))


def _prior_of_the_transition(classifier: Dense, strength: float = 10.0) -> Tensor:
    context = _context(classifier)
    y = context.labels_at(context.clean)
    counts = torch.tensor([(y == c).sum() for c in range(CLASSES)])
    assert counts.min() < 10 < counts.max()
    return counts.clamp(max=strength)[:, None] * glc_estimate(context.predict(context.clean), y) + 1 / CLASSES


def test_class_without_clean_examples_counts_as_one_example_whose_label_is_right() -> None:
    classifier, context = Dense(), _context(Dense())
    model = _algorithm(classifier).model
    some = context.clean[context.labels_at(context.clean) != 1]
    model.begin_training(replace(context, clean=some))
    torch.testing.assert_close(model.concentration[1], torch.eye(CLASSES)[1] + 1 / CLASSES)


def test_training_begins_with_the_estimate_of_the_classifier_as_it_is_found() -> None:
    classifier = Dense()
    algorithm = _algorithm(classifier, prior_strength=7.0)
    for parameter in classifier.parameters():
        parameter.data.add_(0.1)
    expected = _prior_of_the_transition(classifier, 7.0)
    algorithm.begin_training(_context(algorithm.classifier))
    torch.testing.assert_close(algorithm.model.concentration, expected)
    assert algorithm.model.data.size == algorithm.guide.data.size == COUNT


def test_transition_starts_at_the_prior_and_the_counts_of_predicted_and_given_labels() -> None:
    algorithm = _algorithm(Dense(), transition_weight=0.3)
    algorithm.guide.start = "predictions"
    context = _context(algorithm.classifier)
    predicted, given = context.predict(context.noisy).argmax(-1), context.labels_at(context.noisy)
    counts = torch.zeros(CLASSES, CLASSES)
    for pair in zip(predicted.tolist(), given.tolist(), strict=True):
        counts[pair] += 1
    algorithm.begin_training(context)
    torch.testing.assert_close(algorithm.guide.concentration, algorithm.model.concentration + 0.3 * counts)


def test_transition_starts_at_the_prior_unless_predictions_are_asked_for() -> None:
    model, guide = _pair()
    context = _context(Dense())
    model.begin_training(context)
    guide.begin_training(model, context)
    assert torch.equal(guide.concentration, model.concentration)


def test_unknown_start_of_the_transition_is_refused() -> None:
    with pytest.raises(UserError, match="start is 'identity'; expected 'prior' or 'predictions'"):
        Hierarchical(4, CLASSES, start="identity")  # type: ignore[arg-type]


def test_restart_resets_the_classifier_after_the_hook_of_the_model() -> None:
    classifier = Dense()
    built = [p.detach().clone() for p in classifier.parameters()]
    algorithm = _algorithm(classifier, restart=True)
    for parameter in classifier.parameters():
        parameter.data.add_(torch.randn_like(parameter))
    expected = _prior_of_the_transition(classifier)
    algorithm.begin_training(_context(algorithm.classifier))
    for parameter, initial in zip(classifier.parameters(), built, strict=True):
        assert torch.equal(parameter, initial)
    torch.testing.assert_close(algorithm.model.concentration, expected)


@pytest.mark.parametrize("single_level", [False, True])
def test_steps_move_the_transition(single_level: bool) -> None:
    classifier = Dense()
    algorithm = _single_level(classifier) if single_level else _algorithm(classifier)
    examples, context = _examples(), _context(classifier)
    algorithm.begin_training(context)
    before = algorithm.guide.concentration.clone()
    algorithm.step(examples.batch(np.arange(10)), examples.batch(context.clean))
    expected = before.lerp(algorithm.model.concentration, 0.02)
    assert (algorithm.guide.concentration - expected).sum() == pytest.approx(0.02 * 0.5 * COUNT)


def test_refused_step_leaves_the_transition() -> None:
    algorithm = _algorithm(Dense())
    examples, context = _examples(), _context(algorithm.classifier)
    algorithm.begin_training(context)
    before = algorithm.guide.concentration.clone()
    x = torch.full((4, INPUTS), torch.nan)
    with pyro.validation_enabled(False):  # as in a training run
        algorithm.step(Batch(x, torch.zeros(4, dtype=torch.int64)), examples.batch(context.clean))
    assert torch.equal(algorithm.guide.concentration, before)


def test_state_keeps_the_size_and_the_initial_parameters() -> None:
    algorithm = _algorithm(Dense(), restart=True)
    algorithm.begin_training(_context(algorithm.classifier))
    torch.manual_seed(5)
    other = _algorithm(Dense(), restart=True)
    other.load_state_dict(algorithm.state_dict())
    assert other.model.data.size == other.guide.data.size == COUNT
    for parameter in other.classifier.parameters():
        parameter.data.zero_()
    other.begin_training(_context(other.classifier))
    for one, two in zip(other.classifier.parameters(), algorithm.classifier.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior_strength": 0.0}, "prior_strength is 0.0; expected a value > 0"),
        ({"prior_strength": float("nan")}, "prior_strength is nan"),
        ({"transition_weight": 1.0}, r"transition_weight is 1\.0; expected a value in \(0, 1\)"),
        ({"elr_weight": -1.0}, "elr_weight is -1.0; expected a value >= 0"),
        ({"momentum": 1.0}, r"momentum is 1\.0; expected a value in \[0, 1\)"),
        ({"rate": 0.0}, r"rate is 0\.0; expected a value in \(0, 1\]"),
        ({"rate": 1.5}, "rate is 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _pair(**options)
