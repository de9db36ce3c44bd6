"""Conversion of images of any mode and depth to pixels of 8 bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from vri_pyro.utils.errors import UserError

# Pillow's mode of an image by its number of channels.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # modes with more than 8 bits per pixel and one channel
_FIRST = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}  # modes that Pillow does not convert to all of _MODES
_WHITE = (255, 255, 255, 255)
_SIXTEEN = 65535
_TWELVE = 4095  # largest value of 12 bits
_PHOTOMETRIC, _SUBFILE = 262, 254  # tags of TIFF


class _Stored(NamedTuple):
    """How a file stores the values of an image, which Pillow no longer says once the image is loaded.

    Attributes:
        bits: number of bits of white, if the format declares it; None if it does not.
        wide: whether there are several channels of 16 bits, of which Pillow reads the high 8 bits.
    """

    bits: int | None
    wide: bool


def check_channels(channels: int) -> None:
    """Raise if no kind of image has this number of channels."""
    if channels not in _MODES:
        raise UserError(f"The number of channels is {channels}; expected 1 (grey), 3 (RGB) or 4 (RGBA).")


def check_bits(bits: int | None) -> None:
    """Raise if a number of bits per channel is neither None nor from 8 to 16."""
    if bits is not None and not (isinstance(bits, int) and 8 <= bits <= 16):
        raise UserError(f"bits is {bits}; expected a number of bits per channel from 8 to 16, or null.")


def fitted(image: Image.Image, shape: tuple[int, ...], name: str, bits: int | None = None) -> np.ndarray:
    """Scale and crop an image to a shape, with 8 bits per channel.

    The image is turned as its camera says. Values of more than 8 bits keep their high bits, see :func:`eight_bits`.
    Transparent pixels are shown on white, unless the result has a transparency channel too. The other conversions
    between colour spaces are those of Pillow, without colour profiles.

    Args:
        image: an image of any mode. It is not changed, but it is loaded if it is not yet.
        shape: (H, W, C) of the result; C is 1 for grey, 3 for RGB, and 4 for RGBA.
        name: name of the image in messages.
        bits: see :func:`eight_bits`.

    Returns:
        the pixels, uint8 [H, W, C].

    Raises:
        UserError: the values have no known scale, or a TIFF file has several pages or stores white as zero.
    """
    height, width, channels = shape
    _check_tiff(image, name)
    stored = _stored(image)
    converted = _converted(_upright(image), _MODES[channels], name, stored, bits)
    return np.asarray(ImageOps.fit(converted, (width, height), Image.Resampling.BILINEAR)).reshape(shape)


def eight_bits(values: np.ndarray, name: str, bits: int | None = None) -> np.ndarray:
    """Convert pixels of any numeric dtype to 8 bits.

    uint8 values stay as they are, and Booleans become 0 and 255. Floats from 0 to 1 are multiplied by 255 and rounded.
    Other integers keep the high 8 of their ``bits`` bits.

    Args:
        values: pixels of one image, of any shape.
        name: name of the image in messages.
        bits: number of bits of white, for integers other than uint8. If None, it is 16, and an image whose largest
            value fits into 12 bits is refused: it may be a dark image of 16 bits or an image of 12 bits or fewer.

    Returns:
        uint8, of the same shape.

    Raises:
        UserError: integers exceed ``bits`` or have no known scale; floats are not in 0 to 1; or the dtype is not
            numeric.
    """
    if values.dtype == np.uint8 or values.size == 0:
        return values.astype(np.uint8)
    if values.dtype.kind == "b":
        return np.where(values, np.uint8(255), np.uint8(0))
    if values.dtype.kind == "f":
        return _of_floats(values, name)
    if values.dtype.kind not in "iu":
        raise UserError(f"{name} has pixels of dtype {values.dtype}; convert them to uint8.")
    return _of_integers(values, name, bits)


def _of_floats(values: np.ndarray, name: str) -> np.ndarray:
    low, high = float(values.min()), float(values.max())  # NaN if there is any
    if not (low >= 0 and high <= 1):
        raise UserError(
            f"{name} has floating-point values from {low:g} to {high:g}, whose scale is unknown; scale them to 0 to 1, "
            "or convert them to 8 bits."
        )
    return np.rint(values.astype(np.float64) * 255).astype(np.uint8)


def _of_integers(values: np.ndarray, name: str, bits: int | None) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    largest = 2 ** (16 if bits is None else bits) - 1
    if low < 0 or high > largest:
        remedy = "convert the image to 8 or 16 bits" if bits is None else f"bits is {bits}; correct it"
        raise UserError(f"{name} has values from {low} to {high} but expected are 0 to {largest}; {remedy}.")
    if bits is None and 0 < high <= _TWELVE:
        raise UserError(
            f"{name} has more than 8 bits per pixel and no value above {high}, so it may be a dark image of 16 bits or "
            "an image of fewer; set the option bits to the true number, such as 16 or 12 "
            "(--data.bits, or --bits of predict)."
        )
    return (values >> ((16 if bits is None else bits) - 8)).astype(np.uint8)


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its camera says, without a copy if it is upright."""
    if type(image) is Image.Image and not image.info:  # it is loaded, and has no orientation
        return image
    image.load()
    return image if image.getexif().get(ExifTags.Base.Orientation, 1) == 1 else ImageOps.exif_transpose(image)


def _converted(image: Image.Image, mode: str, name: str, stored: _Stored, bits: int | None) -> Image.Image:
    if image.mode in _DEEP:
        image = _of_deep(image, name, stored.bits or bits)
    elif stored.wide:
        _check_wide(image, name, bits)
    image = image.convert(_FIRST[image.mode]) if image.mode in _FIRST else image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode != "RGBA" and image.getchannel("A").getextrema() != (255, 255):
            image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    return image if image.mode == mode else image.convert(mode)


def _of_deep(image: Image.Image, name: str, bits: int | None) -> Image.Image:
    values = np.asarray(image)
    grey = Image.fromarray(eight_bits(values, name, bits))
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, np.uint8(0), np.uint8(255))))
    return grey


def _check_wide(image: Image.Image, name: str, bits: int | None) -> None:
    """Check a colour image of 16 bits per channel, of which Pillow has kept the high 8 bits."""
    if bits not in (None, 16):
        raise UserError(
            f"{name} has colours of 16 bits, of which only the high 8 are read, so bits cannot be {bits}; convert the "
            "image to 8 bits per channel."
        )
    if "transparency" in image.info:
        raise UserError(f"{name} has a transparent colour of 16 bits; convert the image to 8 bits per channel.")
    extrema = image.getextrema()[: 1 if image.mode == "LA" else 3]
    high = max(high for _, high in extrema)  # type: ignore[misc]  # several channels
    if bits is None and 0 < high <= _TWELVE >> 8:
        raise UserError(
            f"{name} has colours of 16 bits and no value above {_TWELVE}, so it may be a dark image or have values of "
            "12 bits; set the option bits to 16 if it is dark, or convert it to 8 bits per channel."
        )


def _stored(image: Image.Image) -> _Stored:
    if not (tile := getattr(image, "tile", None)):
        return _Stored(None, False)
    arguments = tile[0][3]
    first, *rest = arguments if isinstance(arguments, tuple) and arguments else (arguments,)
    rawmode = first if isinstance(first, str) else ""
    if image.format == "PPM":  # the header declares white, and Pillow scales values to the full range
        declared = bool(rest) and rest[0] != _SIXTEEN
        return _Stored(16 if declared else None, image.mode == "RGB" and rest[:1] == [_SIXTEEN])
    if image.format == "JPEG2000":  # Pillow shifts values by the number of bits in the header
        return _Stored(16, False)
    return _Stored(12 if rawmode == "I;12" else None, image.mode not in _DEEP and ";16" in rawmode)


def _check_tiff(image: Image.Image, name: str) -> None:
    """Refuse TIFF files of which Pillow would read something else than is stored."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    if image.mode in _DEEP and tags.get(_PHOTOMETRIC) == 0:
        raise UserError(f"{name} stores white as zero with more than 8 bits; save it with black as zero.")
    pages, shown = getattr(image, "n_frames", 1), image.tell()
    others = [page for page in range(1, pages) if not _is_reduced(image, page)] if pages > 1 and shown == 0 else []
    image.seek(shown)
    if others:
        raise UserError(
            f"{name} has {len(others) + 1} pages, and its label may belong to any of them; save the page as a file of "
            "its own."
        )


def _is_reduced(image: Image.Image, page: int) -> bool:
    """Tell whether a page of a TIFF file is a smaller copy of the first."""
    image.seek(page)
    return bool(image.tag_v2.get(_SUBFILE, 0) & 1)  # type: ignore[attr-defined]
