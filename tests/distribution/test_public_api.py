"""The public API: what it exports, and that importing it is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vri_pyro
from vri_pyro.calibration import CalibratedPredictor
from vri_pyro.data.batch import Batch
from vri_pyro.diagnostics import from_pyro_svi
from vri_pyro.estimator import VRIClassifier
from vri_pyro.infer.bilevel import BilevelSVI
from vri_pyro.infer.elbo import RectificationELBO
from vri_pyro.infer.single_level import SingleLevelSVI
from vri_pyro.interfaces.classifier import Classifier, ClassifierOutput
from vri_pyro.interfaces.training_context import TrainingContext
from vri_pyro.label_issues.from_arrays import find_label_issues
from vri_pyro.runs.predictor import Predictor
from vri_pyro.runs.run import Run

EXPORTED = {
    "Batch": Batch,
    "BilevelSVI": BilevelSVI,
    "CalibratedPredictor": CalibratedPredictor,
    "Classifier": Classifier,
    "ClassifierOutput": ClassifierOutput,
    "Predictor": Predictor,
    "RectificationELBO": RectificationELBO,
    "Run": Run,
    "SingleLevelSVI": SingleLevelSVI,
    "TrainingContext": TrainingContext,
    "VRIClassifier": VRIClassifier,
    "find_label_issues": find_label_issues,
    "from_pyro_svi": from_pyro_svi,
}


def test_public_names_are_those_of_the_folders() -> None:
    assert sorted(EXPORTED) == vri_pyro.__all__
    assert {name: getattr(vri_pyro, name) for name in vri_pyro.__all__} == EXPORTED
    assert set(vri_pyro.__all__) <= set(dir(vri_pyro))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(vri_pyro.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == vri_pyro.__all__


def test_unknown_name_raises() -> None:
    with pytest.raises(AttributeError, match="module 'vri_pyro' has no attribute 'Nothing'"):
        vri_pyro.Nothing  # noqa: B018


def test_import_does_not_import_torch() -> None:
    program = (
        "import sys, vri_pyro; assert vri_pyro.__version__; assert not {'torch', 'pyro', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
