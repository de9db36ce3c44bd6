"""Encoding of images for embedding in the report."""

from __future__ import annotations

import base64

from torch import Tensor

from vri_pyro.utils.pictures import png


def data_uri(image: Tensor) -> str:
    """Encode an image as the data URI of a PNG.

    Args:
        image: see :func:`~vri_pyro.utils.pictures.png`.
    """
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()
