"""Variational rectification inference: learning with noisy labels, in Pyro.

The names below are imported lazily, on first use, so that ``import vri_pyro`` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vri_pyro.utils.deprecations import keep_old_modules_importable

if TYPE_CHECKING:
    from vri_pyro.calibration.predictor import CalibratedPredictor
    from vri_pyro.data.batch import Batch
    from vri_pyro.diagnostics import from_pyro_svi
    from vri_pyro.estimator import VRIClassifier
    from vri_pyro.infer import BilevelSVI, RectificationELBO, SingleLevelSVI
    from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
    from vri_pyro.interfaces.training_context import TrainingContext
    from vri_pyro.label_issues.from_arrays import find_label_issues
    from vri_pyro.runs.predictor import Predictor
    from vri_pyro.runs.run import Run

__version__ = "0.2.0"
__all__ = [
    "Batch",
    "BilevelSVI",
    "CalibratedPredictor",
    "Classifier",
    "ClassifierOutput",
    "Predictor",
    "RectificationELBO",
    "Run",
    "SingleLevelSVI",
    "TrainingContext",
    "VRIClassifier",
    "find_label_issues",
    "from_pyro_svi",
]

_HOMES = {
    "Batch": "data.batch",
    "BilevelSVI": "infer",
    "CalibratedPredictor": "calibration",
    "Classifier": "interfaces.classifier",
    "ClassifierOutput": "interfaces.classifier",
    "Predictor": "runs.predictor",
    "RectificationELBO": "infer",
    "Run": "runs.run",
    "SingleLevelSVI": "infer",
    "TrainingContext": "interfaces.training_context",
    "VRIClassifier": "estimator",
    "find_label_issues": "label_issues",
    "from_pyro_svi": "diagnostics",
}

keep_old_modules_importable()


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vri_pyro' has no attribute '{name}'")
    globals()[name] = found = getattr(import_module(f"vri_pyro.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
