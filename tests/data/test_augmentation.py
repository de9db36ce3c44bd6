"""Augmentation: comparison with plain loops and torchvision, frequencies, invariances and errors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from vri_pyro.data import (
    Augmentation,
    CentreCrop,
    Chain,
    Cutout,
    HorizontalFlip,
    NoAugmentation,
    PadCrop,
    RandAugment,
    RandomCrop,
    Strong,
    Transforms,
    Weak,
    generator_for,
)
from vri_pyro.data.augmentation.rand_augment import OPERATIONS, operation
from vri_pyro.utils.errors import UserError

ALL: list[Augmentation] = [
    NoAugmentation(),
    PadCrop(3),
    PadCrop(2, mode="reflect"),
    RandomCrop(8),
    CentreCrop(8),
    HorizontalFlip(),
    Cutout(5),
    RandAugment(),
    Weak(),
    Strong(cutout=4),
    Chain((RandomCrop(9), HorizontalFlip(0.3))),
    Transforms((v2.RandomHorizontalFlip(), v2.RandomErasing(p=1.0))),
]
names = [repr(augmentation)[:40] for augmentation in ALL]
every = pytest.mark.parametrize("augmentation", ALL, ids=names)


def _images(count: int = 6, channels: int = 3, height: int = 12, width: int = 10, dtype: Any = torch.uint8) -> Tensor:
    values = torch.from_numpy(generator_for(1).random((count, channels, height, width)))
    return (values * 255).to(torch.uint8) if dtype == torch.uint8 else values.to(dtype)


@every
@pytest.mark.parametrize("count", [1, 6])
def test_dtype_and_shape_are_kept_and_the_seed_decides_everything(augmentation: Augmentation, count: int) -> None:
    images = _images(count)
    kept = images.clone()
    first, again = (augmentation(images, generator_for(3)) for _ in range(2))
    assert first.dtype == torch.uint8
    assert tuple(first.shape[1:]) == augmentation.output_shape((3, 12, 10))
    assert len(first) == count
    assert torch.equal(first, again)
    assert torch.equal(images, kept)
    assert augmentation.evaluation()(images, generator_for(0)).shape == first.shape


@every
def test_an_images_change_does_not_depend_on_the_others(augmentation: Augmentation) -> None:
    images = _images()
    others = images.flip(-2).clone()
    others[2] = images[2]
    assert torch.equal(augmentation(images, generator_for(5))[2], augmentation(others, generator_for(5))[2])


@every
def test_number_of_draws_depends_only_on_the_shape(augmentation: Augmentation) -> None:
    left = []
    for images in (_images(), torch.zeros_like(_images())):
        generator = generator_for(7)
        augmentation(images, generator)
        left.append(generator.random())
    assert left[0] == left[1]


@every
def test_the_callers_random_stream_is_not_touched(augmentation: Augmentation) -> None:
    before = torch.get_rng_state()
    augmentation(_images(), generator_for(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every
def test_result_does_not_depend_on_the_device(augmentation: Augmentation) -> None:
    on_cpu, on_gpu = (augmentation(_images().to(device), generator_for(3)) for device in ("cpu", "cuda"))
    assert on_gpu.device.type == "cuda"
    # Interpolation rounds differently in a few pixels.
    assert (on_cpu != on_gpu.cpu()).float().mean() < 0.01


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pad_crop_is_the_crop_of_a_padded_image(mode: Any, dtype: torch.dtype) -> None:
    images = _images(40, dtype=dtype)
    pad = {"zeros": "constant", "reflect": "reflect"}[mode]
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode=pad)
    found = PadCrop(2, mode=mode)(images, generator_for(0)).numpy()
    doubles = generator_for(0).random(80) * 5
    for image, out, top, left in zip(padded, found, doubles[:40].astype(int), doubles[40:].astype(int), strict=True):
        np.testing.assert_array_equal(out, image[:, top : top + 12, left : left + 10])


def test_all_offsets_of_a_pad_crop_are_equally_likely() -> None:
    images = torch.zeros(5000, 1, 5, 5, dtype=torch.uint8)
    images[:, :, 2, 2] = 1
    places = PadCrop(1)(images, generator_for(0))[:, 0].flatten(1).long().argmax(-1)
    counts = np.bincount(places.numpy(), minlength=25).reshape(5, 5)
    assert counts.sum() == counts[1:4, 1:4].sum()
    assert np.abs(counts[1:4, 1:4] - 5000 / 9).max() < 4 * np.sqrt(5000 / 9 * 8 / 9)


def test_random_crops_reach_every_corner_and_evaluation_takes_the_centre() -> None:
    images = torch.arange(12, dtype=torch.uint8).reshape(1, 1, 3, 4).expand(400, 1, 3, 4)
    corners = RandomCrop(2)(images, generator_for(0))[:, 0, 0, 0]
    assert set(corners.tolist()) == {0, 1, 2, 4, 5, 6}
    assert Chain((RandomCrop(2), HorizontalFlip())).evaluation() == Chain((CentreCrop(2),))
    centre = CentreCrop(2)(_images(height=8, width=8), generator_for(0))
    assert torch.equal(centre, _images(height=8, width=8)[:, :, 3:5, 3:5])


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_images_are_mirrored_with_their_probability(probability: float) -> None:
    images = _images(1).expand(2000, -1, -1, -1)
    found = HorizontalFlip(probability)(images, generator_for(0))
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    assert (mirrored | (found == images).flatten(1).all(1)).all()
    assert abs(mirrored.float().mean().item() - probability) <= 4 * (probability * (1 - probability) / 2000) ** 0.5


@pytest.mark.parametrize(("dtype", "fill"), [(torch.uint8, 127), (torch.float32, -0.5)])
def test_cutout_hides_one_square_that_the_border_may_clip(dtype: torch.dtype, fill: float) -> None:
    images = torch.ones(3000, 2, 9, 9, dtype=dtype)
    hidden = Cutout(4, fill=fill)(images, generator_for(0)) == fill
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    heights, widths = hidden[:, 0].any(2).sum(1), hidden[:, 0].any(1).sum(1)
    assert torch.equal(hidden[:, 0].flatten(1).sum(1), heights * widths)
    assert set(heights.tolist()) == {2, 3, 4}
    # The square has its full height for 6 of the 9 centres.
    assert abs((heights == 4).float().mean().item() - 6 / 9) < 0.04


def _of_torchvision(name: str, sign: int, magnitude: int, image: Tensor) -> Tensor:
    """Apply the operation to one image with torchvision's own class."""
    transform = v2.RandAugment(1, magnitude)
    ranges, _ = transform._AUGMENTATION_SPACE[name]
    values = ranges(31, *image.shape[-2:])
    level = 0.0 if values is None else sign * float(values[magnitude])
    return transform._apply_image_or_video_transform(
        image, name, level, interpolation=v2.InterpolationMode.NEAREST, fill=transform._fill
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("magnitude", [0, 10, 30])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_torchvisions_on_each_image(name: str, magnitude: int, channels: int) -> None:
    # Images of different brightness reveal statistics that are computed over the batch.
    images = (_images(5, channels, 28, 32).float() * torch.linspace(0.2, 1, 5)[:, None, None, None]).byte()
    signs = (1, -1) if v2.RandAugment._AUGMENTATION_SPACE[name][1] else (1,)
    for sign in signs:
        found = operation(name, sign, magnitude, (28, 32))(images)
        for image, out in zip(images, found, strict=True):
            assert torch.equal(out, _of_torchvision(name, sign, magnitude, image))


def test_the_operations_are_those_of_torchvision() -> None:
    assert sorted(OPERATIONS) == sorted(v2.RandAugment._AUGMENTATION_SPACE)


def test_each_image_gets_operations_and_signs_of_its_own_evenly() -> None:
    image = _images(1, 3, 16, 16)
    count = 2800
    found = RandAugment(num_ops=1)(image.expand(count, -1, -1, -1), generator_for(0))
    outcomes: dict[bytes, list[str]] = {}
    for name in OPERATIONS:
        signs = (1, -1) if v2.RandAugment._AUGMENTATION_SPACE[name][1] else (1,)
        for sign in signs:
            made = operation(name, sign, 10, (16, 16))(image)[0]
            outcomes.setdefault(made.numpy().tobytes(), []).append(f"{name} {sign}")
    counts = dict.fromkeys(outcomes, 0)
    for out in found:
        counts[out.numpy().tobytes()] += 1
    for key, labels in outcomes.items():
        expected = sum(1 / 14 / (2 if label.split()[0] in OPERATIONS[:9] else 1) for label in labels) * count
        assert abs(counts[key] - expected) < 4.5 * expected**0.5, labels


def test_two_operations_are_applied_in_turn() -> None:
    images, generator = _images(20), generator_for(4)
    once = RandAugment(1)
    expected = once(once(images, generator), generator)
    assert torch.equal(RandAugment(2)(images, generator_for(4)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_of_a_batch_is_torchvisions_of_each_image(channels: int) -> None:
    images = _images(60, channels, 28, 20)
    found = RandAugment(num_ops=2, magnitude=10)(images, generator_for(6))
    generator, expected = generator_for(6), list(images)
    for _ in range(2):
        chosen, negative = (generator.random(60) * 14).astype(int), generator.random(60) < 0.5
        for position, (number, minus) in enumerate(zip(chosen, negative, strict=True)):
            name = OPERATIONS[number]
            signed = v2.RandAugment._AUGMENTATION_SPACE[name][1]
            expected[position] = _of_torchvision(name, -1 if signed and minus else 1, 10, expected[position])
    assert torch.equal(found, torch.stack(expected))


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    images = _images(8, 3, 224, 224)  # large enough for PyTorch to use several threads
    threads, made = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            made.append(Strong(num_ops=6)(images, generator_for(0)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*made)


@pytest.mark.parametrize(
    "augmentation", [PadCrop(2, "reflect"), RandomCrop(8), CentreCrop(8), Weak(2), Cutout(3)], ids=repr
)
def test_floating_images_move_as_8_bit_ones_do(augmentation: Augmentation) -> None:
    found = augmentation(_images().float(), generator_for(2))
    assert found.dtype == torch.float32
    assert torch.equal(found, augmentation(_images(), generator_for(2)).float())


def test_transforms_are_seeded_image_by_image() -> None:
    modules = (v2.RandomCrop(6), v2.ColorJitter(brightness=0.5))
    found = Transforms(modules)(_images(), generator_for(2))
    seeds = (generator_for(2).random(6) * 2**53).astype(np.int64)
    for image, out, seed in zip(_images(), found, seeds, strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            assert torch.equal(out, v2.Compose(modules)(image))


def test_transforms_that_change_the_size_name_what_evaluation_sees() -> None:
    augmentation = Transforms((v2.RandomResizedCrop(6),), evaluated=(v2.Resize(6), v2.CenterCrop(6)))
    assert augmentation.evaluation()(_images(), generator_for(0)).shape == (6, 3, 6, 6)
    assert augmentation.evaluation().output_shape((3, 12, 10)) == (3, 6, 6)


def test_results_are_those_on_record() -> None:
    images = (torch.arange(4 * 3 * 8 * 8) % 251).reshape(4, 3, 8, 8).byte()
    made = Chain((Weak(2), Cutout(3)))(images, generator_for(11))
    digest = hashlib.sha256(made.numpy().tobytes()).hexdigest()
    assert digest == "a18da2133e8afa426ea632356f736bcc3459434f1c6cc3ccc5db3b4fbe75f6ce"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: PadCrop(0), "PadCrop got padding 0; expected an integer >= 1"),
        (lambda: PadCrop(2, mode="wrap"), "mode 'wrap'; expected 'zeros' or 'reflect'"),
        (lambda: PadCrop(10, mode="reflect")(_images(), generator_for(0)), r"cannot reflect images of \[12, 10\]"),
        (lambda: RandomCrop(0), "RandomCrop got size 0"),
        (lambda: RandomCrop(11)(_images(), generator_for(0)), r"got images of \[12, 10\] pixels; use a smaller size"),
        (lambda: HorizontalFlip(1.5), "probability 1.5; expected a value from 0 to 1"),
        (lambda: Cutout(0), "Cutout got size 0"),
        (lambda: Cutout(4, fill=float("nan")), "Cutout got fill nan; expected a finite number"),
        (lambda: Cutout(4, fill=300)(_images(), generator_for(0)), r"fill=300\) got uint8 images; set fill to a value"),
        (lambda: Weak(0), "PadCrop got padding 0"),
        (lambda: Strong(magnitude=31), "magnitude 31; expected an integer from 0 to 30"),
        (lambda: Strong(cutout=-1), "Strong got cutout -1; expected the side of the square, or 0 for no Cutout"),
        (lambda: RandAugment(0), "num_ops 0"),
        (lambda: RandAugment(2, 31), "magnitude 31; expected an integer from 0 to 30"),
        (
            lambda: Strong()(_images(dtype=torch.float32), generator_for(0)),
            "float32 images with 3 channels; expected uint8",
        ),
        (lambda: Weak()(torch.zeros(4, 5), generator_for(0)), "requires images; use NoAugmentation"),
    ],
)
def test_invalid_arguments_are_refused(make: Callable[[], Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        make()
