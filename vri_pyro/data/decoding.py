"""Opening of encoded images, from files and from bytes."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from typing import IO

from PIL import Image, UnidentifiedImageError

from vri_pyro.utils.errors import UserError

#: Pillow's exceptions for damaged files, which depend on the format and the damage
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError, ArithmeticError, MemoryError),
    *(AttributeError, struct.error, zlib.error, Image.DecompressionBombError),
)


@contextmanager
def opened(file: str | BytesIO, name: str) -> Iterator[Image.Image]:
    """Open an encoded image, and convert the errors of opening and decoding to a sentence.

    The size that a file declares is checked before it is decoded. The limit is that of Pillow, twice
    ``PIL.Image.MAX_IMAGE_PIXELS``.

    Args:
        file: path or contents of the file.
        name: name of the image in messages.

    Raises:
        UserError: the file is missing, damaged, not an image, or too large.
    """
    try:
        # Pillow closes the file of some formats only when the image is garbage.
        with open(file, "rb") if isinstance(file, str) else nullcontext(file) as content, _open(content) as image:
            yield image
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"The image {name} does not exist; restore it or remove it from the list.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(f"{name} declares more than {limit:,} pixels; scale it down or remove it.") from error
    except UNREADABLE as error:
        # Pillow's message about an unknown format repeats the path, or gives the address of an object.
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"{name} is damaged or not an image ({reason}); replace it or remove it from the list."
        ) from error


def _open(content: IO[bytes]) -> Image.Image:
    # Pillow warns of images above half of its limit, which are read.
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        return Image.open(content)
