"""Building the model and the guide of a method, and checking that they fit each other."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vri_pyro.infer.algorithm import GlobalParameters
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.interfaces.base import Guide, Model
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.utils.errors import UserError


def build_pair(
    model: Callable[[int, int], Model], guide: Callable[[int, int], Guide], classifier: Classifier
) -> tuple[Model, Guide]:
    if not (hasattr(classifier, "feature_dim") and hasattr(classifier, "num_classes")):
        raise UserError(f"{type(classifier).__name__} sets no feature_dim and num_classes; set both in its __init__")
    shape = classifier.feature_dim, classifier.num_classes
    like = next(classifier.parameters())
    pair = model(*shape).to(like.device), guide(*shape).to(like.device)
    if hasattr(pair[0], "bind"):  # any Pyro callable may stand in for a Model
        pair[0].bind(pair[1])
    _check_pair(*pair, ClassifierOutput(like.new_zeros(2, shape[1]), like.new_zeros(2, shape[0])))
    return pair


@torch.no_grad()
def _check_pair(model: Model, guide: Guide, output: ClassifierOutput) -> None:
    """Refuse a guide that does not fit the model, or a pair with global parameters, before any stage and not after it.

    What else a pair may say to an output of nothing but zeros is left for its first step. Random states stay.
    """
    device, modes = output.logits.device, [(m, m.training) for part in (model, guide) for m in part.modules()]
    y = torch.zeros(len(output.logits), dtype=torch.int64, device=device)
    parameters = GlobalParameters()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            RectificationELBO(1).terms(model.eval(), guide.eval(), output, y)
        except UserError as error:
            raise UserError(str(error).partition("\n")[0]) from error  # below it Pyro lists all shapes
        except Exception:
            parameters.take_back()  # for the first step to find
            return
        finally:
            for module, training in modes:
                module.training = training
    parameters.refuse_new()
