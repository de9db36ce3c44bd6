"""Streamed images: file formats, damaged files, and data sets of other libraries."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from vri_pyro.data import DatasetImages, ImageFiles, Joined, damaged, generator_for, read_batches
from vri_pyro.utils.errors import UserError


def _pixels(height: int = 12, width: int = 20, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return (generator_for(0).random(shape) * 256).astype(np.uint8)


def _palette(colour: tuple[int, ...], transparent: bool) -> Image.Image:
    image = Image.new("RGB", (9, 9), colour).convert("P")
    if transparent:
        image.info["transparency"] = b"\x00" * 4
    return image


KINDS: dict[str, Callable[[], Image.Image]] = {
    "colour.png": lambda: Image.fromarray(_pixels()),
    "colour.jpg": lambda: Image.fromarray(_pixels()),
    "grey.png": lambda: Image.fromarray(_pixels(channels=1)),
    "grey16.png": lambda: Image.fromarray(_pixels(channels=1).astype(np.uint16) << 8),
    "transparent.png": lambda: Image.fromarray(_pixels(channels=4)),
    "print.jpg": lambda: Image.fromarray(_pixels()).convert("CMYK"),
    "palette.png": lambda: _palette((200, 10, 30), transparent=False),
    "palette.gif": lambda: _palette((200, 10, 30), transparent=False),
    "transparent palette.png": lambda: _palette((200, 10, 30), transparent=True),
    "bits.png": lambda: Image.new("1", (9, 9), 1),
    "wide.webp": lambda: Image.fromarray(_pixels(4, 40)),
    "ümläut.png": lambda: Image.fromarray(_pixels()),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_becomes_an_rgb_square(tmp_path: Path, name: str) -> None:
    KINDS[name]().save(tmp_path / name)
    images = ImageFiles(tmp_path, [name], 8)
    assert images.shape == (1, 8, 8, 3)
    found = images.read(0)
    assert found.dtype == np.uint8
    assert found.shape == (8, 8, 3)
    assert images.name(0) == str(tmp_path / name)


def test_the_middle_of_the_longer_side_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = (255, 0, 7)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (ImageFiles(tmp_path, ["a.png"], 10).read(0) == (255, 0, 7)).all()


def test_images_are_scaled_as_pillow_does(tmp_path: Path) -> None:
    Image.fromarray(_pixels()).save(tmp_path / "a.png")
    expected = ImageOps.fit(Image.fromarray(_pixels()), (8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(ImageFiles(tmp_path, ["a.png"], 8).read(0), np.asarray(expected))


def test_the_cameras_orientation_is_followed(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / "a.png", exif=exif)
    assert (ImageFiles(tmp_path, ["a.png"], 8).read(0)[4:] == 255).all()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.unlink(), r"The image .*a\.jpg does not exist; restore it"),
        (lambda path: path.write_bytes(path.read_bytes()[:400]), r"a\.jpg is damaged or not an image"),
        (lambda path: path.write_bytes(b""), r"a\.jpg is damaged or not an image"),
        (lambda path: path.write_text("no image"), r"a\.jpg is damaged or not an image \(unknown format\); replace it"),
    ],
)
def test_unreadable_images_are_named(tmp_path: Path, spoil: Callable[[Path], Any], complaint: str) -> None:
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(_pixels(40, 40)).save(tmp_path / name)
    spoil(tmp_path / "a.jpg")
    images = ImageFiles(tmp_path, ["a.jpg", "b.jpg"], 8)
    with pytest.raises(UserError, match=complaint):
        images.read(0)
    ((index, reason),) = damaged(images)
    assert index == 0
    assert "a.jpg" in reason


def test_a_workers_copy_of_many_paths_is_small_and_the_same(tmp_path: Path) -> None:
    paths = [f"images/class_{number % 101}/{number:08d}.jpg" for number in range(100_000)]
    images = ImageFiles(tmp_path, paths, 224)
    copy = pickle.dumps(images)
    assert len(copy) < 100_000 * 40
    assert pickle.loads(copy).name(99_999) == str(tmp_path / paths[-1])


@pytest.mark.parametrize("size", [0, -3])
def test_impossible_sizes_are_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(UserError, match="size is"):
        ImageFiles(tmp_path, ["a"], size)


def test_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        ImageFiles(tmp_path, [], 8)


class Items(torch.utils.data.Dataset):
    """A map-style data set of the given items."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


@pytest.mark.parametrize(
    "form",
    [
        Image.fromarray,
        lambda pixels: pixels,
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
    ],
    ids=["PIL", "array", "tensor"],
)
def test_items_are_read_in_every_form(form: Callable[[np.ndarray], Any]) -> None:
    pixels = _pixels(8, 8)
    pairs, dicts = Items([(form(pixels), 0)]), Items([{"image": form(pixels), "label": 0}])
    np.testing.assert_array_equal(DatasetImages(pairs, 8).read(0), pixels)
    np.testing.assert_array_equal(DatasetImages(dicts, 8, "image").read(0), pixels)
    assert DatasetImages(pairs, 8).name(0) == "Items[0]"


@pytest.mark.parametrize("grey", [_pixels(8, 8, 1), torch.from_numpy(_pixels(8, 8, 1))[None]])
def test_grey_items_become_rgb(grey: Any) -> None:
    found = DatasetImages(Items([(grey, 0)]), 8).read(0)
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(
    "bad", [np.zeros((8, 8, 7), np.uint8), np.zeros(8, np.uint8), "text", None, np.zeros((8, 8), complex)]
)
def test_items_that_are_no_images_are_refused(bad: Any) -> None:
    with pytest.raises(UserError, match=r"Items\[0\] has dtype .* and shape .*; expected a PIL image"):
        DatasetImages(Items([(bad, 0)]), 8).read(0)


def test_joined_sets_are_read_in_order(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (8, 8), (ord(name), 0, 0)).save(tmp_path / f"{name}.png")
    parts = [ImageFiles(tmp_path, ["a.png", "b.png"], 8), DatasetImages(Items([(_pixels(8, 8), 0)]), 8)]
    joined = Joined([*parts, ImageFiles(tmp_path, ["c.png"], 8)])
    assert len(joined) == 4
    assert [int(joined.read(index)[0, 0, 0]) for index in (0, 1, 3)] == [97, 98, 99]
    np.testing.assert_array_equal(joined.read(2), _pixels(8, 8))
    assert joined.name(2) == "Items[0]"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(joined))[0:4], joined[0:4])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_images_can_be_read_in_another_shape(tmp_path: Path, channels: int, mode: str) -> None:
    original = Image.fromarray(_pixels(10, 30))
    original.save(tmp_path / "wide.png")
    images = ImageFiles(tmp_path, ["wide.png"], (10, 20), channels)
    assert images.shape == (1, 10, 20, channels)
    expected = np.asarray(original.convert(mode)).reshape(10, 30, channels)[:, 5:25]
    np.testing.assert_array_equal(images.read(0), expected)
    with pytest.raises(UserError, match="number of channels is 2; expected 1"):
        ImageFiles(tmp_path, ["wide.png"], 10, 2)


def test_reading_in_batches_goes_on_after_an_unreadable_image(tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        Image.fromarray(_pixels()).save(tmp_path / name)
    images = ImageFiles(tmp_path, ["a.png", "b.png", "c.png"], 8)
    (first, unreadable), (second, none) = read_batches(images, batch_size=2)
    np.testing.assert_array_equal(first[0], images.read(0))
    np.testing.assert_array_equal(second[0], images.read(2))
    assert (first[1] == 0).all()
    ((position, message),) = unreadable
    assert position == 1
    assert message.endswith("b.png does not exist; restore it or remove it from the list.")
    assert not none
