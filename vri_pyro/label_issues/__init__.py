"""Find wrong labels: scores per example, their combination, the noise rate and the transition matrix."""

from vri_pyro.label_issues.candidates_of_predictions import candidates_of_predictions
from vri_pyro.label_issues.corrections import read_answers, read_corrections
from vri_pyro.label_issues.detection import Detection, detection
from vri_pyro.label_issues.evidence import Evidence, Trusted, evidence_of
from vri_pyro.label_issues.fiftyone import write_fiftyone
from vri_pyro.label_issues.formats import FORMATS, Format
from vri_pyro.label_issues.from_arrays import find_label_issues
from vri_pyro.label_issues.inference import rectification_effect, surprise
from vri_pyro.label_issues.joint_posterior import JointPosterior, joint_posterior
from vri_pyro.label_issues.label_sampler import Candidates
from vri_pyro.label_issues.label_studio import labelling_configuration, write_label_studio, write_tasks
from vri_pyro.label_issues.neighbours import distance_to_nearest, mean_over_nearest, nearest_positions, smoothed
from vri_pyro.label_issues.open_set import conformal_p_values, probability_of_no_class
from vri_pyro.label_issues.open_set_posterior import OpenSetPosterior, open_set_posterior
from vri_pyro.label_issues.prediction import loss, margin, self_confidence
from vri_pyro.label_issues.ranking import BEST, LabelIssues, rank
from vri_pyro.label_issues.table import NONE, PROBABLE, class_name, write_table
from vri_pyro.label_issues.transition_posterior import TransitionPosterior, transition_posterior
from vri_pyro.label_issues.transition_table import write_transition_table

__all__ = [
    "BEST",
    "FORMATS",
    "NONE",
    "PROBABLE",
    "Candidates",
    "Detection",
    "Evidence",
    "Format",
    "JointPosterior",
    "LabelIssues",
    "OpenSetPosterior",
    "TransitionPosterior",
    "Trusted",
    "candidates_of_predictions",
    "class_name",
    "conformal_p_values",
    "detection",
    "distance_to_nearest",
    "evidence_of",
    "find_label_issues",
    "joint_posterior",
    "labelling_configuration",
    "loss",
    "margin",
    "mean_over_nearest",
    "nearest_positions",
    "open_set_posterior",
    "probability_of_no_class",
    "rank",
    "read_answers",
    "read_corrections",
    "rectification_effect",
    "self_confidence",
    "smoothed",
    "surprise",
    "transition_posterior",
    "write_fiftyone",
    "write_label_studio",
    "write_table",
    "write_tasks",
    "write_transition_table",
]
