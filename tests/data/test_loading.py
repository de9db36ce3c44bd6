"""Streamed data: the same batches as resident data, for any number of workers and any first step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vri_pyro.data import BatchPlan, DeviceData, Streamed, StreamedData, Weak, generator_for, mean_and_std
from vri_pyro.data.batch import Batch
from vri_pyro.utils.errors import UserError


class Counted(Streamed):
    """Images [8, 8, 3] generated from their index; the image ``broken`` cannot be read."""

    def __init__(self, count: int, broken: int | None = None) -> None:
        super().__init__(count, (8, 8, 3))
        self.broken = broken

    def read(self, index: int) -> np.ndarray:
        if index == self.broken:
            raise UserError(f"{self.name(index)} is damaged; remove it.")
        return (generator_for(index).random((8, 8, 3)) * 256).astype(np.uint8)

    def name(self, index: int) -> str:
        return f"image {index}"


COUNT = 60
IMAGES = Counted(COUNT)
LABELS = np.arange(COUNT) % 7


def _plan(**changes: Any) -> BatchPlan:
    options: dict[str, Any] = {"pool": np.arange(5, 55), "size": 8, "seed": 3, "purpose": "noisy batches"}
    return BatchPlan(**(options | {"augmentation": Weak()} | changes))


def _streamed(workers: int, images: Streamed = IMAGES) -> StreamedData:
    return StreamedData(images, LABELS, "cpu", *mean_and_std(IMAGES), workers=workers)


def _resident() -> DeviceData:
    return DeviceData(IMAGES[:], LABELS, "cpu", *mean_and_std(IMAGES))


def _same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True) if a is not None or b is not None)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("views", [1, 2])
def test_batches_are_those_of_resident_data_whatever_the_number_of_workers(workers: int, views: Any) -> None:
    expected = _resident().sequence(_plan(views=views))
    found = _streamed(workers).sequence(_plan(views=views))
    # More than one pass of six batches.
    for step in range(9):
        assert _same(found(step), expected(step))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sequence_can_begin_anywhere_and_go_back(workers: int) -> None:
    expected, found = _resident().sequence(_plan()), _streamed(workers).sequence(_plan())
    for step in (4, 5, 17, 18, 4):
        assert _same(found(step), expected(step))


@pytest.mark.parametrize("workers", [0, 2])
def test_examples_are_read_in_order_for_evaluation(workers: int) -> None:
    chosen = np.array([9, 3, 40, 41, 0])
    expected = list(_resident().in_order(chosen, 2))
    found = list(_streamed(workers).in_order(chosen, 2))
    assert [len(batch.y) for batch in found] == [2, 2, 1]
    assert all(_same(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_named_and_the_sequence_can_go_on_elsewhere(workers: int) -> None:
    plan = _plan(pool=np.arange(16), size=16)
    found = _streamed(workers, Counted(COUNT, broken=11)).sequence(plan)
    with pytest.raises(UserError, match=r"^image 11 is damaged; remove it\.$"):
        found(0)
    with pytest.raises(UserError, match="image 11"):
        found(1)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_callers_random_stream_is_not_touched(workers: int) -> None:
    before = torch.get_rng_state()
    _streamed(workers).sequence(_plan())(0)
    list(_streamed(workers).in_order(np.arange(4), 2))
    assert torch.equal(before, torch.get_rng_state())


def test_two_views_differ_and_one_view_has_no_second() -> None:
    two, one = (_resident().sequence(_plan(views=views))(0) for views in (2, 1))
    assert two.second_view is not None
    assert not torch.equal(two.x, two.second_view)
    assert torch.equal(two.x, one.x)
    assert one.second_view is None


def test_augmentation_differs_from_step_to_step_and_by_purpose() -> None:
    whole = {"pool": np.arange(8), "size": 8}

    def images(step: int, **changes: Any) -> torch.Tensor:
        batch = _resident().sequence(_plan(**whole, **changes))(step)
        assert batch.index is not None
        return batch.x[batch.index.argsort()]

    assert not torch.equal(images(0), images(1))
    assert not torch.equal(images(0), images(0, purpose="clean batches"))
    assert torch.equal(images(1), images(1))


def test_lengths_must_agree() -> None:
    with pytest.raises(UserError, match="60 inputs but 59 labels"):
        StreamedData(IMAGES, LABELS[1:], "cpu", np.zeros(3), np.ones(3))


def test_statistics_of_streamed_images_are_those_of_the_images() -> None:
    for streamed, resident in zip(mean_and_std(IMAGES), mean_and_std(IMAGES[:]), strict=True):
        np.testing.assert_array_equal(streamed, resident)


def test_a_part_reads_the_images_of_the_whole() -> None:
    part = IMAGES.part(np.array([7, 2, 2]))
    assert part.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(part[1:], IMAGES[np.array([2, 2])])
    assert part.name(0) == "image 7"


def test_examples_have_the_names_of_their_images_and_are_shown_as_they_were() -> None:
    streamed, resident = _streamed(workers=0), _resident()
    assert (streamed.listed(7), resident.listed(7)) == ("image 7", None)
    for examples in (streamed, resident):
        x = next(examples.in_order(np.array([7, 2]), 2)).x
        expected = torch.from_numpy(IMAGES[np.array([7, 2])]).permute(0, 3, 1, 2) / 255
        torch.testing.assert_close(examples.original(x), expected)
