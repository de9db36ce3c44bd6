"""``vri-pyro predict``: predict the classes of new inputs with the classifier of a run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_place
from vri_pyro.utils.progress import counting


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Predict the classes of new inputs with the classifier of a run. The training data are not needed. "
        "The table has one row per input: its path, or its position in the array or table, counted from 0 (input); the "
        "predicted class (prediction); and the probability of each class (p_NAME). The prediction of an unreadable "
        "image is empty, with a warning.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder (the --output of vri-pyro fit)")
    parser.add_argument(
        "inputs",
        type=Path,
        help="folder of images, searched recursively; folder of vri-pyro embed, whose test set is predicted; an image; "
        "an .npz file with the array x, a single array or x_test; an .npy file; or a .csv or .parquet table with a "
        "column path that names images or, for a run on vectors, with one numeric column per feature in the order of "
        "training (other columns are ignored)",
    )
    parser.add_argument("--output", type=Path, default=Path("predictions.csv"), help="file for the table")
    parser.add_argument(
        "--which",
        choices=["last", "best"],
        default="last",
        help="classifier after the last epoch, or of the best epoch on the validation set",
    )
    parser.add_argument(
        "--root",
        type=Path | None,
        default=None,
        help="folder to which the paths in a table are relative; null for the folder of the table",
    )
    parser.add_argument(
        "--outside_root",
        type=bool,
        default=False,
        help="whether paths in a table may lead out of that folder, such as absolute paths",
    )
    parser.add_argument(
        "--bits",
        type=int | None,
        default=None,
        help="bits per channel of images with more than 8; null for the data.bits of the run",
    )
    parser.add_argument("--batch_size", type=int, default=256, help="number of inputs per batch")
    parser.add_argument("--workers", type=int, default=2, help="number of processes that read images; 0 for none")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    add_trust_option(parser)
    return parser


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Predict, write the table and print where it is."""
    # Lazy, because these imports take seconds.
    from vri_pyro.data import Streamed
    from vri_pyro.runs.new_inputs import bits_of_run, read_new_inputs
    from vri_pyro.runs.prediction_table import write_predictions
    from vri_pyro.runs.predictor import Predictor
    from vri_pyro.utils.device import choose_device

    check_place(options.output)
    if options.output.exists() and options.inputs.exists() and options.output.samefile(options.inputs):
        raise UserError(f"{options.output} is both the input and the output; choose another --output")
    trust = trusts(options.run, options.trust)
    predictor = Predictor(options.run, options.which, str(choose_device(options.device)), trust)
    bits = bits_of_run(predictor.options) if options.bits is None else options.bits
    inputs, described = read_new_inputs(
        options.inputs, predictor.shape, predictor.dtype, options.root, bits, options.outside_root
    )
    batches = predictor.predict_batches(inputs, options.batch_size, options.workers)
    console = SafeConsole()
    console.print(described, soft_wrap=True)
    with counting(console, "predicting", len(inputs)) as progress:
        unreadable = write_predictions(
            options.output,
            batches,
            predictor.classes,
            inputs.listed if isinstance(inputs, Streamed) else str,
            progress,
        )
    if unreadable:
        console.print(f"{unreadable} of {len(inputs)} images could not be read; their predictions are empty")
    console.print(f"predictions: {options.output.absolute()}", soft_wrap=True)
    return 0
