"""Logger for MLflow."""

from __future__ import annotations

from vri_pyro.training.checkpoint import named_options
from vri_pyro.training.loggers.base import Logger, Row, Rows, scalars
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError

_LONGEST = 500  # maximum length of a parameter value that all MLflow servers accept


class MLflowLogger(Logger):
    """Sends metrics to MLflow. Needs ``pip install 'vri-pyro[mlflow]'``.

    A resumed run continues the same MLflow run, whose id is stored in ``mlflow_id.txt`` in the run folder.

    Args:
        experiment: name of the MLflow experiment.
        name: display name of the run; the name of the run folder by default.
        tracking_uri: URI of the tracking server or store; MLflow's own setting by default.
    """

    def __init__(self, experiment: str = "vri-pyro", name: str | None = None, tracking_uri: str | None = None) -> None:
        self.experiment, self.name, self.tracking_uri = experiment, name, tracking_uri

    def start(self, folder: RunFolder, rows: Rows) -> None:
        """See :class:`Logger`.

        Raises:
            UserError: mlflow is not installed.
        """
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise UserError("MLflowLogger needs mlflow: pip install 'vri-pyro[mlflow]'") from error
        self._client = MlflowClient(self.tracking_uri)
        self._run = folder.logger_id("mlflow", lambda: self._create(folder))
        self._client.update_run(self._run, status="RUNNING")

    def _create(self, folder: RunFolder) -> str:
        """Create an MLflow run with the configuration as its parameters; return its id."""
        experiment = self._client.get_experiment_by_name(self.experiment)
        identifier = experiment.experiment_id if experiment else self._client.create_experiment(self.experiment)
        run = self._client.create_run(identifier, run_name=self.name or folder.path.resolve().name).info.run_id
        for name, value in named_options(folder.read_config()):
            self._client.log_param(run, name, str(value)[:_LONGEST])
        return run

    def log(self, row: Row) -> None:
        """See :class:`Logger`."""
        for name, value in scalars(row):
            self._client.log_metric(self._run, name, value, step=row["epoch"])

    def close(self) -> None:
        """See :class:`Logger`."""
        self._client.set_terminated(self._run)
