"""Build the model and the guide of a method, and check that they are compatible."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vri_pyro.infer.algorithm import GlobalParameters
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.networks import check_factory
from vri_pyro.utils.errors import UserError


def build_pair(
    model: Callable[[int, int], Model], guide: Callable[[int, int], Guide], classifier: Classifier
) -> tuple[Model, Guide]:
    """Build model and guide for a classifier, on its device.

    Args:
        model: builds the model from (feature_dim, num_classes).
        guide: builds the guide from (feature_dim, num_classes).
        classifier: defines ``feature_dim`` and ``num_classes``.

    Returns:
        the model, bound to the guide, and the guide.

    Raises:
        UserError: the classifier lacks ``feature_dim`` or ``num_classes``, model and guide are incompatible, or they
            use Pyro's global parameter store.
    """
    if not (hasattr(classifier, "feature_dim") and hasattr(classifier, "num_classes")):
        name = type(classifier).__name__
        raise UserError(f"{name} does not define feature_dim and num_classes; set both in its __init__")
    check_factory("model", model, "a class of models, such as Rectification")
    check_factory("guide", guide, "a class of guides, such as DiagonalNormal")
    shape = classifier.feature_dim, classifier.num_classes
    like = next(classifier.parameters())
    pair = model(*shape).to(like.device), guide(*shape).to(like.device)
    if hasattr(pair[0], "bind"):  # a plain Pyro callable has no bind
        pair[0].bind(pair[1])
    _check_pair(*pair, ClassifierOutput(like.new_zeros(2, shape[1]), like.new_zeros(2, shape[0])))
    return pair


@torch.no_grad()
def _check_pair(model: Model, guide: Guide, output: ClassifierOutput) -> None:
    """Raise before training if model and guide are incompatible or use Pyro's global parameter store.

    The check evaluates the ELBO once on ``output``, which is all zeros. Other exceptions are ignored here, since such
    an artificial input may cause them. A real problem will raise again in the first step. The random state is restored.

    Raises:
        UserError: model and guide are incompatible or use Pyro's global parameter store.
    """
    device, modes = output.logits.device, [(m, m.training) for part in (model, guide) for m in part.modules()]
    y = torch.zeros(len(output.logits), dtype=torch.int64, device=device)
    parameters = GlobalParameters()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            RectificationELBO(1).terms(model.eval(), guide.eval(), output, y)
        except UserError as error:
            raise UserError(str(error).partition("\n")[0]) from error  # the lines below list all shapes
        except Exception:
            parameters.take_back()  # the first step checks again
            return
        finally:
            for module, training in modes:
                module.training = training
    parameters.refuse_new()
