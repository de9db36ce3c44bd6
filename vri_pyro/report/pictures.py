"""Examples as pictures within a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor


def data_uri(image: Tensor) -> str:
    """A PNG of an image [C, H, W] in [0, 1], C being 1, 3 or 4; other ranges are stretched to it."""
    values = image.detach().cpu().double().permute(1, 2, 0).numpy()
    low, high = values.min(), values.max()
    if low < -1e-3 or high > 1 + 1e-3:
        values = (values - low) / max(high - low, 1e-12)
    pixels = (255 * values.clip(0, 1)).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
