"""``vri-pyro export``: export the classifier of a run, with its preprocessing and a model card."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Export the classifier of a run. The exported network takes the inputs of the run as they are "
        "stored, such as uint8 images [batch, height, width, channels], and returns class probabilities. Every file is "
        "loaded again and compared with the classifier of the run. README.md is a model card.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "--format",
        choices=["onnx", "torch", "safetensors"],
        nargs="+",
        required=True,
        help="onnx writes model.onnx; torch writes model.pt2, a program of torch.export; safetensors writes the "
        "weights and config.json; several formats may be given",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument(
        "--which",
        choices=["last", "best"],
        default="last",
        help="classifier after the last epoch, or of the best epoch on the validation set",
    )
    add_trust_option(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Export, and print what was written and how it was checked."""
    # Lazy, because these imports take seconds.
    from vri_pyro.runs.export import FORMATS, export_run

    console, trust = SafeConsole(), trusts(options.run, options.trust)
    with console.status("exporting"):  # visible only on a terminal
        exported = export_run(options.run, options.format, options.output, options.which, trust)
    for name, difference in exported.differences.items():
        console.print(
            f"{FORMATS[name].file}: largest difference of a probability from the run {difference:.1e}, "
            f"on {exported.compared} {exported.inputs} inputs",
            soft_wrap=True,
        )
    console.print(f"export: {options.output.absolute()}", soft_wrap=True)
    return 0
