"""Read new inputs for the classifier of a run, from image files, arrays and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vri_pyro.data import ImageFiles, Inputs
from vri_pyro.data.declared_size import check_npy
from vri_pyro.data.feature_files import FeatureFiles, Part, is_feature_folder
from vri_pyro.data.folders import files_below, is_image, warn_of_unread
from vri_pyro.data.inside_root import check_inside
from vri_pyro.data.npz import names_in, read_npz
from vri_pyro.runs.columns import read_columns
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import counted

_TABLES = (".csv", ".parquet")
_EXPECTED = "expected a folder of images, an image, or an .npz, .npy, .csv or .parquet file"
_PATH = "path"


def read_new_inputs(
    path: Path,
    shape: Sequence[int],
    dtype: str,
    root: Path | None = None,
    bits: int | None = None,
    outside_root: bool = False,
) -> tuple[Inputs, str]:
    """Read inputs of the kind that a run was trained on.

    Image files are listed here and read later. They are scaled and cropped to the size of the training images, and
    converted to their number of channels.

    Args:
        path: a folder of images, searched recursively; a folder of ``vri-pyro embed``, of which the test set is read
            or, without one, the training set; an image; an .npz file with the array ``x``, a single array or
            ``x_test``; an .npy file; or a table (.csv or .parquet) with a column ``path`` that names images or, if the
            run was trained on vectors, with one numeric column per feature, in the order of training.
        shape: shape of one training input, [channels, height, width] or [features].
        dtype: dtype of the training inputs.
        root: folder to which the paths in a table are relative; None for the folder of the table.
        bits: number of bits per channel of images with more than 8; see :class:`~vri_pyro.data.ImageFiles`.
        outside_root: whether the paths in a table may lead out of that folder.

    Returns:
        the inputs, and a description of what was read, for the user.

    Raises:
        UserError: the file or folder is missing, damaged or empty, or does not fit the run.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise UserError(f"{path} does not exist; {_EXPECTED}")
    if is_feature_folder(path):
        return _feature_folder(path)
    if path.is_dir():
        return _image_folder(path, shape, dtype, bits)
    if is_image(path.name):
        return _images(path.parent, [path.name], shape, dtype, path, bits), f"image {path}"
    if suffix == ".npz":
        return _npz(path)
    if suffix == ".npy":
        return _npy(path), f"array in {path}"
    if suffix in _TABLES:
        if len(shape) != 3:
            return _feature_table(path, shape, dtype)
        folder = path.parent if root is None else root
        names = _listed(path, folder, outside_root)
        described = f"{counted(len(names), 'image')} of the column {_PATH} in {path}"
        return _images(folder, names, shape, dtype, path, bits), described
    raise UserError(f"{path} has an unsupported type; {_EXPECTED}")


def bits_of_run(options: Mapping[str, Any]) -> int | None:
    """Return the option ``data.bits`` from the options of a run; None if the run has none."""
    source = options.get("data")
    arguments = source.get("init_args") if isinstance(source, dict) else None
    return arguments.get("bits") if isinstance(arguments, dict) else None


def _images(
    root: Path, names: Sequence[str], shape: Sequence[int], dtype: str, path: Path, bits: int | None
) -> ImageFiles:
    if len(shape) != 3:
        raise UserError(
            f"{path} has images but the run was trained on vectors of {shape[0]} features; use an .npz or .npy file, "
            "or a table of numeric columns"
        )
    if dtype != "uint8":
        raise UserError(
            f"{path} has uint8 images but the run was trained on {dtype} images, of unknown scale; convert them as for "
            "training and use an .npz or .npy file"
        )
    channels, height, width = shape
    return ImageFiles(root, names, (height, width), channels, bits)


def _image_folder(path: Path, shape: Sequence[int], dtype: str, bits: int | None) -> tuple[Inputs, str]:
    names, others = files_below(path)
    warn_of_unread(path, others)
    if not names:
        raise UserError(f"{path} has no images; expected files with a suffix such as .jpg or .png")
    return _images(path, names, shape, dtype, path, bits), f"{counted(len(names), 'image')} in {path}"


def _feature_folder(path: Path) -> tuple[Inputs, str]:
    files = FeatureFiles(path)
    description = files.read_description()
    part: Part = "test" if description.test else "train"
    return files.read(part, description), f"features of the {'test' if part == 'test' else 'training'} set in {path}"


def _npz(path: Path) -> tuple[Inputs, str]:
    read_npz(path, ())  # raises if the file is missing or damaged
    names = names_in(path)
    chosen = "x" if "x" in names else names[0] if len(names) == 1 else "x_test"
    if chosen not in names:
        raise UserError(
            f"{path} has the arrays {', '.join(names) or 'none'}; expected one array, or one named x or x_test"
        )
    return read_npz(path, [chosen])[chosen], f"array {chosen} in {path}"


def _npy(path: Path) -> np.ndarray:
    try:
        check_npy(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except UserError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged or not an .npy file of numbers ({error}); write it again") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} is not an .npy file; write it with numpy.save")
    return array


def _listed(path: Path, folder: Path, outside_root: bool) -> list[str]:
    """Return the paths of the images in a table."""
    columns = read_columns(path)
    if _PATH not in columns:
        raise UserError(
            f"{path} lacks the column {_PATH} (it has {', '.join(columns)}), which names the images of each row; add it"
        )
    names = ["" if value is None else str(value).strip() for value in columns[_PATH]]
    if "" in names:
        raise UserError(f"{path}, row {names.index('') + 1}: {_PATH} is empty; fill it in or remove the row")
    if not outside_root:
        check_inside(
            path,
            folder,
            enumerate(names, 1),
            "row",
            "set --root to a folder that holds all images, or allow it with --outside_root true",
        )
    return names


def _feature_table(path: Path, shape: Sequence[int], dtype: str) -> tuple[Inputs, str]:
    read = read_columns(path)
    columns = {name: values for name, column in read.items() if (values := _numbers(column))}
    shown = ", ".join(columns) if len(columns) <= 6 else ", ".join([*list(columns)[:3], "…", list(columns)[-1]])
    if len(columns) != shape[0]:
        _check_cells(path, {name: column for name, column in read.items() if name not in columns})
        raise UserError(
            f"{path} has {len(columns)} numeric columns ({shown or 'none'}) but the run was trained on {shape[0]} "
            "features; keep one numeric column per feature, in the order of training"
        )
    for name, values in columns.items():
        if (row := next((row for row, value in enumerate(values, 1) if not math.isfinite(value)), None)) is not None:
            raise UserError(f"{path}, row {row}: {name} is empty or not finite; fill it in or remove the row")
    features = np.array(list(columns.values())).T
    if dtype == "uint8":
        if not np.isin(features, np.arange(256)).all():
            raise UserError(f"{path} has values that are not integers from 0 to 255, as in training; convert them")
        features = features.astype(np.uint8)
    return features, f"features in {path}, from the numeric columns in their order: {shown}"


def _check_cells(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Raise if a column has numbers in most rows, so that a cell that is no number is probably a mistake."""
    for name, column in columns.items():
        wrong = [row for row, value in enumerate(column, 1) if _numbers([value]) is None and value not in (None, "")]
        if wrong and len(wrong) < len(column) / 2:
            raise UserError(
                f"{path}, row {wrong[0]}: {name} is {column[wrong[0] - 1]!r}, which is not a number; correct the cell"
            )


def _numbers(column: Sequence[object]) -> list[float] | None:
    """Convert a column to numbers, with NaN for empty values; None if it is not numeric."""
    found = []
    for value in column:
        if value is None or value == "":
            found.append(math.nan)
            continue
        try:
            found.append(float(value))  # type: ignore[arg-type]  # the error is caught
        except (TypeError, ValueError):
            return None
    return None if all(map(math.isnan, found)) else found
