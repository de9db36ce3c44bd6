"""Encode images as PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor


def png(image: Tensor) -> bytes:
    """Encode an image as a PNG.

    Args:
        image: float image, [C, H, W], with values in [0, 1]; other ranges are rescaled to [0, 1]. Images with 1, 3 or 4
            channels are shown as grey, RGB or RGBA; for other numbers of channels the mean is shown.
    """
    values = image.detach().cpu().double().permute(1, 2, 0).numpy()
    if values.shape[-1] not in (1, 3, 4):
        values = values.mean(-1, keepdims=True)
    low, high = values.min(), values.max()
    if low < -1e-3 or high > 1 + 1e-3:
        values = (values - low) / max(high - low, 1e-12)
    pixels = (255 * values.clip(0, 1)).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
