"""Images of every mode and depth become the pixels that they show, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from campaign.images import TURNS
from PIL import Image, features

from vri_pyro.data import DatasetImages, ImageFiles
from vri_pyro.data.pixels import eight_bits
from vri_pyro.utils.errors import UserError

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
SHADES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def read(path: Path, side: int = 256, channels: int = 3, bits: int | None = None) -> np.ndarray:
    return ImageFiles(path.parent, [path.name], side, channels, bits).read(0)


def item(image: Any, side: int = 256, bits: int | None = None) -> np.ndarray:
    return DatasetImages([(image, 0)], side, bits=bits).read(0)


def saved(path: Path, image: np.ndarray | Image.Image, **options: Any) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def pgm(path: Path, values: np.ndarray, white: int) -> Path:
    header = f"P5 {values.shape[1]} {values.shape[0]} {white}\n".encode()
    path.write_bytes(header + values.astype(">u2" if white > 255 else np.uint8).tobytes())
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm", "a.jp2"])
def test_a_ramp_of_16_bits_keeps_its_high_8_bits_in_every_format(tmp_path: Path, name: str) -> None:
    if name == "a.jp2" and not features.check("jpg_2000"):
        pytest.skip("Pillow is without JPEG 2000")
    np.testing.assert_array_equal(read(saved(tmp_path / name, RAMP)), grey((RAMP >> 8).astype(np.uint8)))


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4", ">i4"])
def test_a_ramp_of_16_bits_keeps_its_high_8_bits_in_every_byte_order(tmp_path: Path, dtype: str) -> None:
    ramp = RAMP.astype(dtype)
    expected = grey((RAMP >> 8).astype(np.uint8))
    np.testing.assert_array_equal(item(Image.fromarray(ramp)), expected)
    np.testing.assert_array_equal(item(ramp), expected)
    np.testing.assert_array_equal(read(saved(tmp_path / "a.tif", ramp)), expected)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int32, torch.int64])
def test_tensors_of_16_bits_keep_their_high_8_bits(dtype: torch.dtype) -> None:
    tensor = torch.from_numpy(RAMP.astype(np.int64)).to(dtype)
    expected = grey((RAMP >> 8).astype(np.uint8))
    np.testing.assert_array_equal(item(tensor), expected)
    np.testing.assert_array_equal(item(tensor[None]), expected)
    np.testing.assert_array_equal(item(torch.stack([tensor] * 3)), expected)


@pytest.mark.parametrize("form", ["file", "PIL", "array", "tensor"])
def test_floats_from_0_to_1_are_scaled(tmp_path: Path, form: str) -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    expected = grey(np.rint(values * 255).astype(np.uint8))
    forms: dict[str, Callable[[], np.ndarray]] = {
        "file": lambda: read(saved(tmp_path / "a.tif", values), 16),
        "PIL": lambda: item(Image.fromarray(values), 16),
        "array": lambda: item(values.astype(np.float64), 16),
        "tensor": lambda: item(torch.from_numpy(np.stack([values] * 3)), 16),
    }
    np.testing.assert_array_equal(forms[form](), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_every_precision_are_scaled(dtype: torch.dtype) -> None:
    values = torch.tensor([[0.0, 0.5], [0.25, 1.0]], dtype=dtype)
    np.testing.assert_array_equal(item(values, 2), grey(np.array([[0, 128], [64, 255]], np.uint8)))


@pytest.mark.parametrize(
    ("values", "found"),
    [([[0.0, 255.0]], "0 to 255"), ([[-0.1, 1.0]], "-0.1 to 1"), ([[0.5, np.nan]], "nan"), ([[0.5, np.inf]], "to inf")],
)
def test_floats_of_unknown_scale_are_refused(tmp_path: Path, values: list[list[float]], found: str) -> None:
    path = saved(tmp_path / "a.tif", np.array(values, dtype=np.float32))
    for reading, name in ((lambda: read(path), "a.tif"), (lambda: item(np.array(values)), "list[0]")):
        with pytest.raises(UserError) as raised:
            reading()
        assert name in str(raised.value)
        assert found in str(raised.value)
        assert "scale them to 0 to 1, or convert them to 8 bits." in str(raised.value)


@pytest.mark.parametrize("values", [[[-1, 9000]], [[0, 65536]]])
def test_integers_beyond_16_bits_are_refused(tmp_path: Path, values: list[list[int]]) -> None:
    pixels = np.array(values, dtype=np.int32)
    path = saved(tmp_path / "a.tif", pixels)
    for reading in (lambda: read(path), lambda: item(pixels)):
        with pytest.raises(UserError, match=r"has values from .* but expected are 0 to 65535; convert the image to 8"):
            reading()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm"])
def test_an_image_that_may_be_dark_or_of_12_bits_needs_the_option_bits(tmp_path: Path, name: str) -> None:
    twelve = (RAMP >> 4).astype(np.uint16)
    path = saved(tmp_path / name, twelve)
    with pytest.raises(
        UserError, match=rf"{name} has more than 8 bits per pixel and no value above 4095, .* set the option bits"
    ):
        read(path)
    np.testing.assert_array_equal(read(path, bits=12), grey((twelve >> 4).astype(np.uint8)))
    np.testing.assert_array_equal(read(path, bits=16), grey((twelve >> 8).astype(np.uint8)))
    with pytest.raises(UserError, match="has values from 0 to 4095 but expected are 0 to 1023; bits is 10; correct it"):
        read(path, bits=10)


def test_a_black_image_of_16_bits_is_black(tmp_path: Path) -> None:
    assert (read(saved(tmp_path / "a.png", RAMP * 0)) == 0).all()


def test_integers_from_0_to_255_are_read_with_bits_8() -> None:
    with pytest.raises(UserError, match="no value above 255"):
        item(SHADES.astype(np.int64), 16)
    np.testing.assert_array_equal(item(SHADES.astype(np.int64), 16, bits=8), grey(SHADES))
    np.testing.assert_array_equal(item(SHADES, 16, bits=16), grey(SHADES))  # 8 bits are 8 bits


@pytest.mark.parametrize("bits", [7, 17, 0, 12.0])
def test_impossible_numbers_of_bits_are_refused(bits: Any) -> None:
    with pytest.raises(UserError, match="expected a number of bits per channel from 8 to 16, or null"):
        ImageFiles("", ["a.png"], 8, bits=bits)


@pytest.mark.parametrize(("white", "bits"), [(4095, 12), (1023, 10), (255, 8)])
def test_a_pgm_file_says_what_white_is(tmp_path: Path, white: int, bits: int) -> None:
    values = RAMP.astype(np.int64) * white // 65535
    found = read(pgm(tmp_path / "a.pgm", values, white))[..., 0].astype(int)
    assert found.min() == 0
    assert found.max() == 255
    np.testing.assert_allclose(found, values >> (bits - 8), atol=1)


def _packed12(values: np.ndarray) -> bytes:
    pairs = values.reshape(-1, 2).astype(np.uint16)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    return packed.astype(np.uint8).tobytes()


def tiff(path: Path, data: bytes, width: int, height: int, bits: int, white_is_zero: bool = False) -> Path:
    """Write a grey TIFF file by hand."""
    entries = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, 0 if white_is_zero else 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 3, height), (279, 4, len(data))]
    directory = len(entries).to_bytes(2, "little")
    for tag, kind, value in entries:
        directory += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little")
        directory += value.to_bytes(4, "little")
    path.write_bytes(b"II*\0" + (8 + len(data)).to_bytes(4, "little") + data + directory + b"\0" * 4)
    return path


def test_a_tiff_file_of_12_bits_is_read_by_its_own_depth(tmp_path: Path) -> None:
    twelve = (RAMP >> 4).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", _packed12(twelve), 256, 256, 12)
    np.testing.assert_array_equal(read(path), grey((twelve >> 4).astype(np.uint8)))


def test_a_deep_tiff_file_with_white_as_zero_is_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", RAMP.astype("<u2").tobytes(), 256, 256, 16, white_is_zero=True)
    with pytest.raises(UserError, match="stores white as zero with more than 8 bits; save it with black as zero"):
        read(path)


def _png16(path: Path, values: np.ndarray, colour_type: int) -> Path:
    """Write a PNG file of 16 bits per channel by hand, since Pillow writes grey ones only."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def test_colours_of_16_bits_keep_their_high_8_bits(tmp_path: Path) -> None:
    values = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)
    np.testing.assert_array_equal(read(_png16(tmp_path / "a.png", values, 2)), (values >> 8).astype(np.uint8))


def test_colours_of_16_bits_that_may_have_12_are_refused(tmp_path: Path) -> None:
    path = _png16(tmp_path / "a.png", np.stack([RAMP >> 4] * 3, axis=2), 2)
    with pytest.raises(
        UserError, match=r"a\.png has colours of 16 bits and no value above 4095, .* set the option bits to 16"
    ):
        read(path)
    np.testing.assert_array_equal(read(path, bits=16), grey((RAMP >> 12).astype(np.uint8)))
    with pytest.raises(UserError, match="only the high 8 are read, so bits cannot be 12"):
        read(path, bits=12)


def test_transparent_pixels_are_shown_on_white(tmp_path: Path) -> None:
    hidden = np.full((16, 16, 4), (200, 10, 30, 255), np.uint8)
    hidden[:8, :, 3] = 0
    hidden[8:12, :, 3] = 51  # a fifth
    found = read(saved(tmp_path / "a.png", hidden), 16)
    assert (found[:8] == 255).all()
    np.testing.assert_allclose(found[8:12], np.broadcast_to([244, 206, 210], (4, 16, 3)), atol=1)
    assert (found[12:] == [200, 10, 30]).all()
    np.testing.assert_array_equal(read(tmp_path / "a.png", 16, 4), hidden)
    assert (read(tmp_path / "a.png", 16, 1)[:8] == 255).all()
    np.testing.assert_array_equal(item(Image.fromarray(hidden), 16), found)
    np.testing.assert_array_equal(item(hidden, 16), found)


def test_grey_with_transparency_is_shown_on_white(tmp_path: Path) -> None:
    image = Image.merge("LA", [Image.fromarray(SHADES), Image.fromarray(np.where(SHADES < 128, 0, 255).astype("u1"))])
    expected = np.where(SHADES < 128, 255, SHADES)
    np.testing.assert_array_equal(read(saved(tmp_path / "a.png", image), 16), grey(expected))


def test_transparent_colours_of_palettes_are_shown_on_white(tmp_path: Path) -> None:
    image = Image.fromarray((SHADES > 99).astype(np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    expected = np.where((SHADES > 99)[..., None], [200, 100, 50], [10, 20, 30])
    for name in ("a.png", "a.gif", "a.bmp"):
        np.testing.assert_array_equal(read(saved(tmp_path / name, image), 16), expected)
    expected[SHADES <= 99] = 255
    np.testing.assert_array_equal(read(saved(tmp_path / "b.png", image, transparency=0), 16), expected)
    np.testing.assert_array_equal(read(saved(tmp_path / "b.gif", image, transparency=0), 16), expected)
    half = read(saved(tmp_path / "c.png", image, transparency=b"\x00\xff"), 16)
    np.testing.assert_array_equal(half, expected)


@pytest.mark.parametrize("value", [7, 40_000])
def test_transparent_greys_are_shown_on_white(tmp_path: Path, value: int) -> None:
    values = RAMP if value > 255 else SHADES
    eight = (values >> 8).astype(np.uint8) if value > 255 else values
    found = read(saved(tmp_path / "a.png", values, transparency=value), len(values))
    np.testing.assert_array_equal(found, grey(np.where(values == value, 255, eight)))


def test_one_bit_is_black_or_white(tmp_path: Path) -> None:
    bits = SHADES % 3 == 0
    for name in ("a.png", "a.bmp", "a.tif", "a.pbm"):
        path = saved(tmp_path / name, Image.fromarray(bits))
        np.testing.assert_array_equal(read(path, 16), grey(np.where(bits, 255, 0).astype(np.uint8)))
    np.testing.assert_array_equal(item(bits, 16), grey(np.where(bits, 255, 0).astype(np.uint8)))


def test_printing_colours_are_converted(tmp_path: Path) -> None:
    ink = np.stack([SHADES, SHADES[::-1], SHADES.T, SHADES // 2], axis=2)
    path = saved(tmp_path / "a.tif", Image.fromarray(ink, "CMYK"))
    light = (255 - ink[..., :3].astype(int)) * (255 - ink[..., 3:].astype(int)) / 255
    np.testing.assert_allclose(read(path, 16).astype(int), light, atol=1)


def test_video_and_hue_colours_are_converted() -> None:
    shades = grey(SHADES)
    colours = np.stack([SHADES, SHADES[::-1], SHADES.T], axis=2)
    video = Image.fromarray(colours, "RGB").convert("YCbCr")
    luma, blue, red = (np.asarray(video)[..., channel].astype(float) for channel in range(3))
    expected = np.stack(
        [
            luma + 1.402 * (red - 128),
            luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
            luma + 1.772 * (blue - 128),
        ],
        axis=2,
    )
    np.testing.assert_allclose(item(video, 16).astype(int), np.clip(expected, 0, 255), atol=1)
    np.testing.assert_array_equal(item(Image.fromarray(shades).convert("HSV"), 16), shades)


def test_lab_colours_are_converted() -> None:
    lightness = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (255, 128, 128)])
    assert (item(lightness, 4) >= 253).all()
    black = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (0, 128, 128)])
    assert (item(black, 4) <= 2).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_camera_is_followed(tmp_path: Path, orientation: int) -> None:
    upright = SHADES
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](upright)))
    exif = stored.getexif()
    exif[0x0112] = orientation
    for name in ("a.png", "a.tif"):
        path = saved(tmp_path / name, stored, exif=exif)
        np.testing.assert_array_equal(read(path, 16), grey(upright))
        with Image.open(path) as image:  # as a data set that opens files yields it
            np.testing.assert_array_equal(item(image, 16), grey(upright))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.jpg"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    kind = {"a.jpg": {"format": "MPO"}, "a.webp": {"lossless": True}}.get(name, {})
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **kind)
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
    np.testing.assert_allclose(read(tmp_path / name, 8).astype(int), np.broadcast_to([255, 0, 0], (8, 8, 3)), atol=2)


def test_a_tiff_file_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), shade) for shade in (10, 20, 30)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"a\.tif has 3 pages, and its label may belong to any .* save the page as a"):
        read(tmp_path / "a.tif", 8)
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(UserError, match="has 3 pages"):
        item(image, 8)


def test_smaller_copies_in_a_tiff_file_are_ignored(tmp_path: Path) -> None:
    from PIL.TiffImagePlugin import AppendingTiffWriter

    with AppendingTiffWriter(str(tmp_path / "a.tif"), new=True) as pages:
        for shade, kind in ((10, 0), (20, 1)):
            Image.new("L", (8, 8), shade).save(pages, format="TIFF", tiffinfo={254: kind})
            pages.newFrame()
    assert (read(tmp_path / "a.tif", 8) == 10).all()


def test_an_image_that_declares_too_many_pixels_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (40, 30), 90))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    with pytest.raises(UserError, match=r"a\.png declares more than 1,198 pixels; scale it down or remove it\."):
        read(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # Pillow warns of sizes between the limit and its double
    assert (read(path, 8) == 90).all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert (read(path, 8) == 90).all()


def test_encoded_images_of_a_data_set_are_decoded(tmp_path: Path) -> None:
    contents = BytesIO()
    Image.fromarray(RAMP).save(contents, "PNG")
    encoded = {"bytes": contents.getvalue(), "path": None}
    np.testing.assert_array_equal(item(encoded), grey((RAMP >> 8).astype(np.uint8)))
    with pytest.raises(UserError, match=r"list\[0\] is damaged or not an image"):
        item({"bytes": contents.getvalue()[:90]})
    with pytest.raises(UserError, match=r"list\[0\] is the path x\.png without the image itself"):
        item({"bytes": None, "path": "x.png"})


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm", "a.jp2", "a.tga"])
def test_truncated_files_are_refused_in_every_format(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / name, noise)
    assert read(path, 64).shape == (64, 64, 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"{name} is damaged or not an image"):
        read(path, 64)


def test_booleans_and_other_dtypes_of_arrays() -> None:
    assert eight_bits(np.array([True, False]), "x").tolist() == [255, 0]
    with pytest.raises(UserError, match="x has pixels of dtype complex128; convert them to uint8"):
        eight_bits(np.zeros(2, complex), "x")
