"""Export the classifier of a run to a folder, checked and with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

import vri_pyro
from vri_pyro.runs.export.check import check_difference, inputs_to_check
from vri_pyro.runs.export.format import Format
from vri_pyro.runs.export.model_card import model_card
from vri_pyro.runs.export.onnx_format import ONNX
from vri_pyro.runs.export.safetensors_format import Safetensors
from vri_pyro.runs.export.torch_format import Torch
from vri_pyro.runs.inference_network import NETWORK_OPTIONS
from vri_pyro.runs.predictor import Predictor
from vri_pyro.training.run_folder import RunFolder
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import new_folder

#: the formats by name
FORMATS: dict[str, Format] = {each.name: each for each in (ONNX(), Torch(), Safetensors())}


class Exported(NamedTuple):
    """The result of an export.

    Attributes:
        differences: largest difference between a probability of the exported network and of the run's classifier, by
            format.
        compared: number of inputs that were compared.
        inputs: "training" or "random".
    """

    differences: dict[str, float]
    compared: int
    inputs: str


def export_run(
    run: Path | str,
    formats: Sequence[str],
    output: Path | str,
    which: Literal["last", "best"] = "last",
    trust: bool = False,
) -> Exported:
    """Export the classifier of a run, with its preprocessing, and write a model card beside it.

    Every file is loaded again and compared with :class:`~vri_pyro.runs.predictor.Predictor`, on training inputs if the
    data of the run are available and otherwise on random inputs.

    Args:
        run: run folder.
        formats: names of the formats, from :data:`FORMATS`.
        output: folder to create.
        which: checkpoint to use, "last" or "best".
        trust: see :class:`~vri_pyro.runs.predictor.Predictor`. If the data set is not part of vri_pyro and the run is
            not trusted, the inputs are random.

    Raises:
        UntrustedCode: the backbone or the augmentation is neither part of vri_pyro nor trusted.
        UserError: the run or a format is unknown, a package is missing, the folder is not empty or cannot be written,
            the backbone cannot be exported, or the exported network differs. Nothing is left behind.
    """
    if not formats or (unknown := [name for name in formats if name not in FORMATS]):
        given = unknown[0] if formats else ""
        raise UserError(f"format is {given!r}; expected one of {', '.join(FORMATS)}")
    chosen = [FORMATS[name] for name in dict.fromkeys(formats)]
    for each in chosen:
        each.require()
    predictor = Predictor(run, which, trust=trust)
    config = {"vri_pyro": vri_pyro.__version__, **predictor.inputs}
    config |= {name: _without_weights(predictor.options[name]) for name in NETWORK_OPTIONS if name in predictor.options}
    with new_folder(Path(output)) as folder:
        x, described = inputs_to_check(predictor)
        with torch.no_grad():  # in single precision, as the exported networks compute
            expected = predictor.network(torch.from_numpy(np.array(x, order="C"))).numpy()
        differences = {}
        for each in chosen:
            try:
                each.write(folder, predictor.network, config)
            except (UserError, OSError):
                raise
            except Exception as error:  # the exporters raise many kinds of errors for code that they cannot trace
                raise UserError(
                    f"the network cannot be exported to {each.name} ({_first_line(error)}); use --format safetensors"
                ) from error
            differences[each.name] = check_difference(expected, each.predict(folder, x), each.name)
        card = model_card(RunFolder(run), predictor, which, list(differences))
        (folder / "README.md").write_text(card, encoding="utf-8")
    return Exported(differences, len(x), described)


def _without_weights(option: Any) -> Any:
    """Leave out the folder of a file with pretrained weights, which the exported network does not read."""
    arguments = option.get("init_args") if isinstance(option, dict) else None
    if not isinstance(arguments, dict) or not arguments.get("weights_file"):
        return option
    return option | {"init_args": arguments | {"weights_file": Path(arguments["weights_file"]).name}}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
