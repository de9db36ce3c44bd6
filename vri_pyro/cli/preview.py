"""Preview of the data of a run: tables and a picture."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.table import Column, Table

from vri_pyro.data import Arrays, Augmentation, NoAugmentation, Split, generator_for, part_of, permutation
from vri_pyro.data.validation import NO_CLASS
from vri_pyro.utils.console import visible
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import clear_write_errors

# Largest number of classes for which class counts are tabulated and the axes of the matrices show class names.
_MOST_CLASSES = 30
_TITLE = "The data of a run: vri-pyro data"
_WITH_TITLE = (".png", ".pdf", ".svg", ".ps", ".eps")  # suffixes of formats that store a title in plain text
_GRID = (6, 12)  # rows and columns of examples
_AUGMENTED = 12  # examples in the row of augmented images
_RIGHT, _WRONG, _OUTSIDE, _UNKNOWN = "#3a7d44", "#c1292e", "#e09f3e", "#777777"


def tables(arrays: Arrays, split: Split) -> list[Table]:
    """Tabulate the sizes and the noise of a split, and the class counts of its parts.

    Args:
        arrays: the data.
        split: the split of the training set.

    Returns:
        the table of sizes and, for at most 30 classes, the table of class counts.
    """
    return [_sizes(arrays, split), *([_class_counts(arrays, split)] if arrays.num_classes <= _MOST_CLASSES else [])]


def _sizes(arrays: Arrays, split: Split) -> Table:
    found = split.summary()
    table = Table(show_header=False)
    table.add_row("inputs", f"{' x '.join(map(str, arrays.input_shape))}, {arrays.x_train.dtype}")
    for name in ("noisy", "clean", "validation"):
        table.add_row(f"{name} examples", str(found[name]))
    table.add_row("test examples", str(0 if arrays.y_test is None else len(arrays.y_test)))
    if split.pairs is not None:
        table.add_row("checked labels", f"{len(split.pairs.indices)}, of which {split.pairs.wrong} were wrong")
    table.add_row("classes", str(arrays.num_classes))
    table.add_row("noise", split.noise)
    table.add_row("noise rate, expected", _percent(found["nominal_rate"]))
    table.add_row("noise rate, realised", _percent(found["realised_rate"]))
    table.add_row("open-set rate", _percent(found["open_set_rate"]))
    return table


def _percent(rate: float) -> str:
    return "unknown" if math.isnan(rate) else f"{rate:.2%}"


def _class_counts(arrays: Arrays, split: Split) -> Table:
    parts = {
        "given, noisy": split.given_labels,
        "true, noisy": split.true_labels,
        "clean": split.clean_labels,
        "validation": split.validation_labels,
        "test": arrays.y_test,
    }
    counts = {
        name: np.bincount(labels[labels != NO_CLASS], minlength=arrays.num_classes)
        for name, labels in parts.items()
        if labels is not None
    }
    table = Table("class", *(Column(name, justify="right") for name in counts))
    for label, name in enumerate(arrays.classes):
        table.add_row(name, *(str(column[label]) for column in counts.values()))
    return table


def draw(arrays: Arrays, split: Split, augmentation: Augmentation, path: Path) -> bool:
    """Write a picture of examples of the noisy set and of the transition matrices.

    The title of an image is the given label and, if it differs, the true label. For inputs that are not images, the
    picture shows the matrices only. Streamed images are read only if they are shown.

    Args:
        arrays: the data.
        split: the split of the training set.
        augmentation: augmentation of the noisy set; the last row shows augmented versions of the first examples.
        path: path of the picture; its suffix determines the format.

    Returns:
        whether there was anything to draw: vectors with unknown true labels have neither images nor matrices.

    Raises:
        UserError: the suffix is not a known format, or the picture cannot be written.
    """
    with mpl.rc_context({"text.parse_math": False, "text.usetex": False}):  # a class may be called "$" or worse
        return _draw(arrays, split, augmentation, path)


def _draw(arrays: Arrays, split: Split, augmentation: Augmentation, path: Path) -> bool:
    images = len(arrays.input_shape) == 3
    matrices, classes = _matrices(split), tuple(map(visible, arrays.classes))
    if not images and not matrices:
        return False
    figure = Figure(figsize=(16, (10 if images else 0) + (6 if matrices else 0)), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(10, 6)) if images and matrices else [figure, figure]
    if images:
        _draw_examples(parts[0], arrays, classes, split, augmentation)
    if matrices:
        _draw_matrices(parts[1], matrices, classes)
    if path.suffix[1:] not in (formats := figure.canvas.get_supported_filetypes()):
        raise UserError(f"picture is {path}; expected one of the suffixes {', '.join(formats)}")
    with clear_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100, metadata={"Title": _TITLE} if path.suffix in _WITH_TITLE else None)
    return True


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture that :func:`draw` wrote, by its title; not all formats have one."""
    return _TITLE.encode() in path.read_bytes()


def _draw_examples(
    figure: Figure, arrays: Arrays, classes: tuple[str, ...], split: Split, augmentation: Augmentation
) -> None:
    rows, columns = _GRID
    augmented = not isinstance(augmentation, NoAugmentation)
    count = len(split.noisy_indices)
    shown = np.sort(permutation(generator_for(split.seed, "preview"), count)[: rows * columns])
    inputs = part_of(split.inputs(arrays.x_train), split.noisy_indices[shown])
    images = inputs[: len(shown)]
    axes = figure.subplots(rows + augmented, columns).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, position in zip(axes, images, shown, strict=False):
        _draw_image(axis, image)
        text, colour = _caption(classes, split, position)
        axis.set_title(text, fontsize=8, color=colour)
        axis.add_patch(Rectangle((0, 0), 1, 1, transform=axis.transAxes, fill=False, edgecolor=colour, linewidth=3))
    if augmented:
        first = torch.from_numpy(images[:_AUGMENTED]).permute(0, 3, 1, 2).contiguous()
        made = augmentation(first, generator_for(split.seed, "preview")).permute(0, 2, 3, 1).numpy()
        for axis, image in zip(axes[rows * columns :], made, strict=False):
            _draw_image(axis, image)
            axis.set_title("augmented", fontsize=8, color=_UNKNOWN)
    noise = textwrap.shorten(split.noise, 100, placeholder=" …")
    figure.suptitle(f"noisy set, {noise}: given label, and true label if it differs")


def _draw_image(axis: Axes, image: np.ndarray) -> None:
    if image.dtype != np.uint8:
        low, high = image.min(), image.max()
        image = (image - low) / (high - low) if high > low else np.zeros_like(image)
    grey = image.shape[2] == 1
    axis.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None)


def _caption(classes: tuple[str, ...], split: Split, position: int) -> tuple[str, str]:
    given = classes[split.given_labels[position]]
    if split.true_labels is None:
        return given, _UNKNOWN
    true = int(split.true_labels[position])
    if true == NO_CLASS:
        return f"{given}\n(true: no class)", _OUTSIDE
    if true == split.given_labels[position]:
        return given, _RIGHT
    return f"{given}\n(true: {classes[true]})", _WRONG


def _matrices(split: Split) -> dict[str, np.ndarray]:
    matrices = {} if split.transition is None else {"nominal": split.transition}
    if split.frequencies is not None:
        matrices["realised"] = split.frequencies
    return {f"{name} P(given | true)": matrix for name, matrix in matrices.items()}


def _draw_matrices(figure: Figure, matrices: dict[str, np.ndarray], classes: tuple[str, ...]) -> None:
    for axis, (name, matrix) in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True):
        shown = axis.imshow(matrix, vmin=0, vmax=1, cmap="viridis")
        axis.set(title=name, xlabel="given label", ylabel="true class")
        if len(classes) <= _MOST_CLASSES:
            axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
            axis.set_yticks(range(len(classes)), classes, fontsize=8)
        if len(classes) <= 12:
            _write_values(axis, matrix)
        figure.colorbar(shown, ax=axis)


def _write_values(axis: Axes, matrix: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        if value > 0.005:
            axis.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color="w" if value < 0.6 else "k"
            )
