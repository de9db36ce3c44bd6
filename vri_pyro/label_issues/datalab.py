"""An issue type for cleanlab's Datalab: label errors found by ``find_label_issues``.

Importing this module registers the issue type ``vri_label``. It needs the extra ``cleanlab``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from vri_pyro.data.verified import number_verified
from vri_pyro.label_issues.from_arrays import find_label_issues

try:
    from cleanlab.datalab.internal.issue_manager import IssueManager
    from cleanlab.datalab.internal.issue_manager_factory import REGISTRY, Task, register
except ImportError as error:
    raise ImportError("Datalab needs cleanlab; install it with: pip install 'vri-pyro[cleanlab]'") from error


class VriLabelIssueManager(IssueManager):
    """Datalab's issue type ``vri_label``: label errors found by :func:`~vri_pyro.find_label_issues`.

    ``lab.find_issues(issue_types={"vri_label": {"pred_probs": ..., "features": ...}})`` runs it; the inner mapping has
    the arguments of :meth:`find_issues`, because Datalab passes its own arrays only to its own issue types.
    ``lab.get_issues("vri_label")`` has the columns ``is_vri_label_issue`` and ``vri_label_score``, one minus the
    probability that the label is wrong, so that lower is worse. ``lab.get_info("vri_label")`` has the given and the
    suggested class of each example and the estimated noise.
    """

    description: ClassVar[str] = (
        "Labels that are probably wrong, given predictions, neighbours and a transition matrix."
    )
    issue_name: ClassVar[str] = "vri_label"
    verbosity_levels: ClassVar[dict[int, list[str]]] = {0: [], 1: ["noise_rate", "noise_rate_interval"], 2: [], 3: []}

    def find_issues(
        self,
        pred_probs: np.ndarray | None = None,
        features: np.ndarray | None = None,
        trusted: Sequence[int] | np.ndarray | None = None,
        neighbours: int = 20,
        draws: int = 200,
        seed: int = 0,
        verified: Sequence[Any] | np.ndarray | None = None,
        **_: Any,
    ) -> None:
        """Find label errors and set ``issues``, ``summary`` and ``info``.

        Args:
            pred_probs, features, trusted, neighbours, draws, seed: as for :func:`~vri_pyro.find_label_issues`. The
                columns of ``pred_probs`` belong to the sorted classes.
            verified: the classes that a person has found, as for :func:`~vri_pyro.find_label_issues`.
        """
        names = np.array(self.datalab.class_names)
        codes = np.asarray(self.datalab.labels)
        table = find_label_issues(
            codes,
            pred_probs,
            features,
            trusted,
            classes=range(len(names)),
            neighbours=neighbours,
            draws=draws,
            seed=seed,
            verified=None
            if verified is None
            else number_verified("verified", verified, self.datalab.class_names, len(codes)),
        ).sort_values("index", ignore_index=True)
        self.issues = pd.DataFrame(
            {f"is_{self.issue_name}_issue": table["is_label_issue"], self.issue_score_key: 1 - table["score"]}
        )
        self.summary = self.make_summary(score=float(self.issues[self.issue_score_key].mean()))
        self.info = {
            "given_label": names[table["given"]].tolist(),
            "predicted_label": names[table["suggested"]].tolist(),
            "noise_rate": table.attrs["noise_rate"],
            "noise_rate_interval": table.attrs["noise_rate_interval"],
            "transition_matrix": table.attrs["transition_matrix"],
            "transition_matrix_interval": table.attrs["transition_matrix_interval"],
        }

    def collect_info(self) -> dict[str, Any]:
        """Return the classes of each example and the estimates of the noise."""
        return self.info


if VriLabelIssueManager.issue_name not in REGISTRY[Task.CLASSIFICATION]:  # a module may be reloaded
    register(VriLabelIssueManager)
