"""Checks of input shapes that the backbones share."""

from __future__ import annotations

from torch import Tensor

from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import check_integer, is_integer


def check_num_classes(num_classes: int) -> int:
    """Return the number of classes; raise if it is below two."""
    check_integer("num_classes", num_classes, remedy=" >= 2")
    if num_classes < 2:
        raise UserError(f"num_classes is {num_classes}; a classifier needs at least two classes.")
    return num_classes


def check_shape(backbone: str, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one input; raise unless every size is positive."""
    shape = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    if not shape or not all(is_integer(size) and size >= 1 for size in shape):
        raise UserError(
            f"{backbone} got input_shape {input_shape!r}; "
            "expected (channels, height, width) or (dimensions,), all positive."
        )
    return tuple(int(size) for size in shape)


def check_widths(backbone: str, name: str, widths: tuple[int, ...], remedy: str) -> None:
    """Raise if widths of layers are not a tuple or list of positive integers."""
    if not isinstance(widths, tuple | list) or not all(is_integer(width) and width >= 1 for width in widths):
        shown = tuple(widths) if isinstance(widths, list) else repr(widths)
        raise UserError(f"{backbone} got {name} {shown}; expected {remedy}.")


def check_image_shape(backbone: str, input_shape: tuple[int, ...], smallest_side: int) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of one image; raise if the backbone's downsampling needs a larger image.

    Raises:
        UserError: the shape is not that of an image, or a side is below ``smallest_side`` pixels.
    """
    shape = check_shape(backbone, input_shape)
    if len(shape) != 3:
        raise UserError(
            f"{backbone} needs images of shape (channels, height, width) but got input_shape {shape}; "
            "use the MLP backbone for feature vectors."
        )
    channels, height, width = shape
    if min(height, width) < smallest_side:
        raise UserError(
            f"{backbone} downsamples images of {height}x{width} pixels to less than one pixel; "
            f"use images of at least {smallest_side}x{smallest_side} pixels or a smaller backbone."
        )
    return channels, height, width


def check_batch(backbone: str, x: Tensor, input_shape: tuple[int, ...]) -> None:
    """Raise if the examples of a batch do not have the shape that the backbone was built for."""
    if x.dim() == 0 or tuple(x.shape[1:]) != input_shape:
        raise UserError(
            f"{backbone} was built for inputs [batch, {', '.join(map(str, input_shape))}] but got "
            f"{list(x.shape)}; build it with the data's input_shape."
        )
