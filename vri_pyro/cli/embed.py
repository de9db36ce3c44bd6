"""``vri-pyro embed``: extract the features of a data set with a pretrained network, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

import vri_pyro.backbones  # noqa: F401 - so that their names are known
from vri_pyro.cli.configured_parser import configured_parser
from vri_pyro.data import Source
from vri_pyro.interfaces.classifier import Classifier
from vri_pyro.runs.embedding import embed
from vri_pyro.runs.places import data_places, with_absolute_places
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.device import choose_device
from vri_pyro.utils.numbers import MOST_PROCESSES, check_integer
from vri_pyro.utils.progress import counting


@dataclass(frozen=True)
class Extraction:
    """Options of ``vri-pyro embed``.

    Attributes:
        data: the data set.
        backbone: network whose features are written, built from (input_shape, num_classes); images reach it with pixels
            in 0..1.
        output: folder to write; an interrupted extraction continues there.
        dtype: dtype of the files; float16 halves their size.
        rows_per_file: number of examples per file, the unit that an interrupted extraction repeats.
        batch_size: number of examples per forward pass.
        device: device to compute on, "cpu", "cuda" or "auto"; "auto" uses CUDA if available.
        threads: number of CPU threads; 0 uses PyTorch's default.
        workers: number of worker processes that read streamed images.
    """

    data: Source
    backbone: Callable[[tuple[int, ...], int], Classifier]
    output: Path
    dtype: Literal["float16", "float32"] = "float16"
    rows_per_file: int = 8192
    batch_size: int = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    workers: int = 2


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = configured_parser(
        "Extract the features of a data set with a pretrained network, and write them to a folder that "
        "`vri-pyro fit --data FeatureFolder` reads from disk in place. Repeat an interrupted command to continue it."
    )
    parser.add_class_arguments(Extraction)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Extract the features, and print where they are."""
    chosen = parser.instantiate(options)
    check_integer("threads", chosen.threads, 0, MOST_PROCESSES)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    arrays, console = chosen.data.load(), SafeConsole()
    total = len(arrays.y_train) + (0 if arrays.y_test is None else len(arrays.y_test))
    with counting(console, "embedding", total) as progress:
        made = embed(
            arrays,
            chosen.backbone,
            chosen.output,
            made_from=_determining(parser, options),
            dtype=chosen.dtype,
            rows_per_file=chosen.rows_per_file,
            batch_size=chosen.batch_size,
            workers=chosen.workers,
            device=choose_device(chosen.device),
            progress=progress,
        )
    console.print(f"{total} examples, {made.dim} features each, {made.dtype}")
    console.print(f"features: {chosen.output.absolute()}", soft_wrap=True)
    return 0


def _determining(parser: ArgumentParser, options: Namespace) -> dict[str, Any]:
    """Return the options that determine the features, as plain values; data may move, so their places are left out."""
    places = {name.removeprefix("data.") for name in data_places(options)}
    dumped = yaml.safe_load(parser.dump(with_absolute_places(options), skip_unset=False, skip_validation=True))
    data = dumped["data"]
    if isinstance(arguments := data.get("init_args"), dict):
        data["init_args"] = {name: value for name, value in arguments.items() if name not in places}
    return {"data": data, "backbone": dumped["backbone"]}
