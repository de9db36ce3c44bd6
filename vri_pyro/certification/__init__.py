"""Certify how many labels are wrong: which labels to check next, and what the answers prove."""

from vri_pyro.certification.betting import Interval, betting_interval, upper_bound
from vri_pyro.certification.certificate import (
    NOT_CHECKED,
    Certificate,
    Checks,
    Left,
    Population,
    Rate,
    Statement,
    certify,
    recomputed,
)
from vri_pyro.certification.design import PURPOSES, draw, order_to_mend, order_to_teach, sampling_weights
from vri_pyro.certification.exact import plain_interval
from vri_pyro.certification.planning import checks_needed, equivalent_checks, fewest_checks
from vri_pyro.certification.prediction_powered import prediction_powered_interval
from vri_pyro.certification.random_sample import check_random_sample, p_value_of_random_sample
from vri_pyro.certification.terms import Draws, Terms, terms_of

__all__ = [
    "NOT_CHECKED",
    "PURPOSES",
    "Certificate",
    "Checks",
    "Draws",
    "Interval",
    "Left",
    "Population",
    "Rate",
    "Statement",
    "Terms",
    "betting_interval",
    "certify",
    "check_random_sample",
    "checks_needed",
    "draw",
    "equivalent_checks",
    "fewest_checks",
    "order_to_mend",
    "order_to_teach",
    "p_value_of_random_sample",
    "plain_interval",
    "prediction_powered_interval",
    "recomputed",
    "sampling_weights",
    "terms_of",
    "upper_bound",
]
