"""Export the classifier of a run, with its preprocessing, for use elsewhere."""

from vri_pyro.runs.export.exporter import FORMATS, Exported, export_run
from vri_pyro.runs.export.safetensors_format import load_network

__all__ = ["FORMATS", "Exported", "export_run", "load_network"]
