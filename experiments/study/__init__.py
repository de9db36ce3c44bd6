"""Shared framework of the experiment scripts.

A script defines the runs of its study with :class:`Study` and builds a results page with :class:`Page`. :func:`main`
executes the runs of ``vri-pyro fit`` that are not done yet, in parallel if requested, stores their records in one table
per study, and writes the page.
"""

from study.benches import CIFAR10, CIFAR10_16, CIFAR100, FASHION_MNIST_14, SCALES, Bench
from study.command import Study, main, parser
from study.execution import Workshop, run_all
from study.page import Page
from study.records import Record, Records, Store
from study.runs import CONFIGS, Cell, Options, StudyRun, config, grid, recorded, runs_of
from study.statistics import Estimate, paired_difference, significant, slope, spread
from study.tables import by_method, markdown_table

__all__ = [
    "CIFAR10",
    "CIFAR10_16",
    "CIFAR100",
    "CONFIGS",
    "FASHION_MNIST_14",
    "SCALES",
    "Bench",
    "Cell",
    "Estimate",
    "Options",
    "Page",
    "Record",
    "Records",
    "Store",
    "Study",
    "StudyRun",
    "Workshop",
    "by_method",
    "config",
    "grid",
    "main",
    "markdown_table",
    "paired_difference",
    "parser",
    "recorded",
    "run_all",
    "runs_of",
    "significant",
    "slope",
    "spread",
]
