"""Evidence about labels from a trained run: predictions, features and inference for noisy and trusted examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import generator_for, permutation
from vri_pyro.diagnostics import rectified
from vri_pyro.interfaces.learned_transition import learned_transition
from vri_pyro.label_issues.cross_fitting import can_be_fitted
from vri_pyro.label_issues.image_vectors import COMPONENTS, LEARNED_FROM, ImageVectors
from vri_pyro.label_issues.inference import rectification_effect, surprise
from vri_pyro.runs.run import Run
from vri_pyro.utils.one_at_a_time import one_at_a_time

_NOTHING = 1e-4  # nats; scores of a model without latents are 0 up to rounding


@dataclass(frozen=True)
class Trusted:
    """Examples whose labels are known to be correct.

    Attributes:
        logits, features, labels: [M, K], [M, D] and int64 [M]. The examples held out of training come first.
        held_out: number of examples held out of training.
        inputs: vectors that have seen no label, as in :class:`Evidence`, [M, any]; None if there are none.
        earlier: labels as given of verified examples, int64 [M], -1 for others; None if there are no verified ones.
    """

    logits: Tensor
    features: Tensor
    labels: Tensor
    held_out: int
    inputs: Tensor | None = None
    earlier: Tensor | None = None

    def only_held_out(self) -> Trusted | None:
        """Return only the examples held out of training; None if there are none."""
        if not self.held_out:
            return None
        some = slice(self.held_out)
        inputs = None if self.inputs is None else self.inputs[some]
        earlier = None if self.earlier is None else self.earlier[some]
        return Trusted(self.logits[some], self.features[some], self.labels[some], self.held_out, inputs, earlier)


@dataclass(frozen=True)
class Evidence:
    """Inputs from which the labels of N examples are scored.

    Attributes:
        given: given labels, int64 [N].
        logits, features: outputs of the classifier, [N, K] and [N, D].
        trusted: trusted examples for comparison; None if the run has none.
        transition: transition matrix that the method has learned, [K, K]; None if it learns none.
        rectification, surprise: scores from model and guide in nats, [N]; None if the method has no model and guide
            with latents. See :mod:`~vri_pyro.label_issues.inference`.
        trained_on: whether the classifier was trained on any of these labels, and may have memorised some.
        unseen: whether the label was kept out of training, bool [N], if the classifier was trained on the others; None
            if it was trained on all or none.
        pairs: classes and labels as given of the verified pairs, int64 [P] each, which are not among the N examples;
            None if there are none.
        inputs: vectors that have seen no label, [N, any]: the inputs themselves, if they are vectors, or
            :class:`~vri_pyro.label_issues.image_vectors.ImageVectors` of images; None if there are none.
        of_images: whether the vectors are those of images, whose columns have scales for a reason.
    """

    given: Tensor
    logits: Tensor
    features: Tensor
    trusted: Trusted | None = None
    transition: Tensor | None = None
    rectification: Tensor | None = None
    surprise: Tensor | None = None
    trained_on: bool = True
    pairs: tuple[Tensor, Tensor] | None = None
    inputs: Tensor | None = None
    unseen: Tensor | None = None
    of_images: bool = False


@one_at_a_time
def evidence_of(run: Run, indices: np.ndarray, draws: int = 20) -> Evidence:
    """Collect the evidence about training examples from a run's classifier, model and guide.

    PyTorch's random state is restored afterwards.

    Args:
        run: the trained run.
        indices: positions of the examples in the training set, int64 [N], N >= 1, for instance
            ``run.split.noisy_indices``.
        draws: number of draws of the latents; 0 leaves out the scores of model and guide.

    Returns:
        the evidence, with all tensors on the CPU.
    """
    with torch.random.fork_rng(devices=[run.examples.device] if run.examples.device.type == "cuda" else []):
        torch.manual_seed(run.split.seed)
        describe = _image_vectors(run, indices)
        logits, features, given, inputs = _predicted(run, indices, describe)
        by_inference = _by_inference(run, indices, draws) if run.has_pair and draws else {}
    transition = learned_transition(run.model, run.guide, run.algorithm) if run.begun else None
    own = None if transition is None else transition.cpu()
    seen = np.isin(indices, run.trained_on)
    found = run.split.pairs
    pairs = None if found is None else (torch.from_numpy(found.classes), torch.from_numpy(found.given))
    return Evidence(
        given,
        logits,
        features,
        _trusted(run, describe),
        own,
        **by_inference,
        trained_on=bool(seen.any()),
        pairs=pairs,
        inputs=inputs,
        unseen=torch.from_numpy(~seen) if seen.any() and not seen.all() else None,
        of_images=describe is not None,
    )


def _image_vectors(run: Run, indices: np.ndarray) -> ImageVectors | None:
    """Learn to describe images by vectors; None for other inputs, or if no regression can be fitted to the vectors."""
    labels = run.examples.y[torch.from_numpy(indices)].cpu().numpy()
    if not can_be_fitted(labels, run.split.num_classes, COMPONENTS):
        return None
    some = np.sort(permutation(generator_for(run.split.seed, "images"), len(indices))[:LEARNED_FROM])
    parts = []
    for batch in run.examples.in_order(indices[some], 1000):
        if batch.x.dim() != 4:
            return None
        parts.append(batch.x)
    return ImageVectors.learned(torch.cat(parts), run.split.seed)


@torch.no_grad()
def _predicted(
    run: Run, indices: np.ndarray, describe: ImageVectors | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Logits and features of the run's predictor, labels, and vectors that have seen no label."""
    found = []
    for batch in run.examples.in_order(indices, 1000):
        output = run.predictor(batch.x)
        vectors = batch.x if batch.x.dim() == 2 else batch.x[:, :0].flatten(1)
        inputs = vectors if describe is None else describe.of(batch.x)
        found.append((output.logits.cpu(), output.features.cpu(), batch.y.cpu(), inputs.cpu()))
    logits, features, labels, inputs = (torch.cat(part) for part in zip(*found, strict=True))
    return logits, features, labels, inputs if inputs.shape[1] else None


def _by_inference(run: Run, indices: np.ndarray, draws: int) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {"rectification": [], "surprise": []}
    for output, batch in run.outputs(indices):
        effect = rectification_effect(rectified(run.model, run.guide, output, batch.y, draws))
        found["rectification"].append(effect.cpu())
        found["surprise"].append(surprise(run.model, run.guide, output, batch.y, draws).cpu())
    scores = {name: torch.cat(parts) for name, parts in found.items()}
    return {name: score for name, score in scores.items() if score.abs().max() > _NOTHING}


def _trusted(run: Run, describe: ImageVectors | None) -> Trusted | None:
    """Held-out and clean examples; a validation set with noisy labels is not trusted."""
    split = run.split
    indices = np.concatenate([split.held_out, split.clean_indices])
    if not len(indices):
        return None
    logits, features, labels, inputs = _predicted(run, indices, describe)
    earlier = None
    if (pairs := split.pairs) is not None:
        every = np.full(split.num_train, -1)
        every[pairs.indices] = pairs.given
        earlier = torch.from_numpy(every[indices])
    return Trusted(logits, features, labels, len(split.held_out), inputs, earlier)
