"""Loggers, which write the metrics of a run to files or tracking services; one per file."""

from vri_pyro.training.loggers.base import Logger, Row, Rows
from vri_pyro.training.loggers.csv import CSVLogger
from vri_pyro.training.loggers.mlflow import MLflowLogger
from vri_pyro.training.loggers.tensorboard import TensorBoardLogger
from vri_pyro.training.loggers.wandb import WandbLogger

__all__ = ["CSVLogger", "Logger", "MLflowLogger", "Row", "Rows", "TensorBoardLogger", "WandbLogger"]
