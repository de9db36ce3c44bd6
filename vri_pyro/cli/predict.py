"""``vri-pyro predict``: predict the classes of new inputs with the classifier of a run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from vri_pyro.cli.moved_data import add_data_places, data_places
from vri_pyro.cli.trust import add_trust_option, trusts
from vri_pyro.utils.console import SafeConsole
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import check_place, check_replaceable
from vri_pyro.utils.progress import counting


def build_parser() -> ArgumentParser:
    """Build the parser of the command."""
    parser = ArgumentParser(
        description="Predict the classes of new inputs with the classifier of a run. The training data are needed for "
        "--coverage and --calibrated only. The table has one row per input: its path, or its position in the array or "
        "table, counted from 0 (input); the predicted class (prediction); and the probability of each class (p_NAME). "
        "With --coverage, the column set has the names of the classes that could be the true one, separated by |. The "
        "prediction of an unreadable image is empty, with a warning.",
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
    _add_calibration(parser)
    add_trust_option(parser)
    add_data_places(parser)
    return parser


def _add_calibration(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--coverage",
        type=float | None,
        default=None,
        help="write prediction sets that contain the true class with this probability, such as 0.9, calibrated on the "
        "validation labels of the run; null for none",
    )
    parser.add_argument(
        "--score",
        choices=["lac", "aps"],
        default="lac",
        help="with --coverage: lac for the smallest sets, aps for sets that adapt to the difficulty of an input",
    )
    parser.add_argument(
        "--by_class", type=bool, default=False, help="with --coverage: whether the coverage has to hold for each class"
    )
    parser.add_argument(
        "--randomise",
        type=bool,
        default=False,
        help="with --score aps: use random numbers, so that the coverage is not larger than asked for",
    )
    parser.add_argument(
        "--calibrated",
        type=bool,
        default=False,
        help="calibrate the probabilities by a temperature, fitted on the validation labels of the run",
    )


def run(parser: ArgumentParser, options: Namespace) -> int:
    """Predict, write the table and print where it is."""
    # Lazy, because these imports take seconds.
    from vri_pyro.data import Streamed
    from vri_pyro.runs.new_inputs import bits_of_run, read_new_inputs
    from vri_pyro.runs.prediction_table import is_prediction_table, write_predictions
    from vri_pyro.runs.predictor import Predictor
    from vri_pyro.utils.device import choose_device

    check_place(options.output)
    if options.output.exists() and options.inputs.exists() and options.output.samefile(options.inputs):
        raise UserError(f"{options.output} is both the input and the output; choose another --output")
    check_replaceable(options.output, is_prediction_table, "a table of vri-pyro predict")
    _check_calibration(options)
    trust, device = trusts(options.run, options.trust), str(choose_device(options.device))
    console, told = SafeConsole(), list[str]()
    sets, temperature = None, None
    if options.coverage is None and not options.calibrated:
        predictor = Predictor(options.run, options.which, device, trust)
    else:
        from vri_pyro.calibration import CalibratedPredictor

        predictor = calibrated = CalibratedPredictor(options.run, device, trust, data_places(options))
        if options.calibrated:
            temperature = calibrated.temperature
            told.append(temperature.told)
        if options.coverage is not None:
            names = ("score", "by_class", "randomise")
            sets = calibrated.prediction_sets(options.coverage, **{name: options[name] for name in names})
            told += [sets.told, sets.warning(predictor.classes) or ""]
        told.append(calibrated.caveat or "")
    bits = bits_of_run(predictor.options) if options.bits is None else options.bits
    inputs, described = read_new_inputs(
        options.inputs, predictor.shape, predictor.dtype, options.root, bits, options.outside_root
    )
    batches = predictor.predict_batches(inputs, options.batch_size, options.workers)
    console.print(described, soft_wrap=True)
    with counting(console, "predicting", len(inputs)) as progress:
        unreadable = write_predictions(
            options.output,
            batches,
            predictor.classes,
            inputs.listed if isinstance(inputs, Streamed) else str,
            progress,
            sets=sets.for_batches() if sets else None,
            calibrate=temperature,
        )
    if unreadable:
        console.print(f"{unreadable} of {len(inputs)} images could not be read; their predictions are empty")
    for sentence in filter(None, told):
        console.print(sentence, soft_wrap=True)
    console.print(f"predictions: {options.output.absolute()}", soft_wrap=True)
    return 0


def _check_calibration(options: Namespace) -> None:
    if options.coverage is None and not options.calibrated:
        if options.score != "lac" or options.by_class or options.randomise:
            raise UserError("score, by_class and randomise are options of prediction sets; set --coverage, such as 0.9")
    elif options.which == "best":
        raise UserError(
            "the best epoch was chosen on the validation labels, so that they cannot calibrate it; use --which last"
        )
