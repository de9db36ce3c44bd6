"""Several processes read and augment their shares of a batch as one process does the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from vri_pyro.data import (
    Augmentation,
    BatchPlan,
    DeviceData,
    Examples,
    NoAugmentation,
    Streamed,
    StreamedData,
)
from vri_pyro.data.augmentation import Chain, Cutout, HorizontalFlip, Mixup, PadCrop, RandomCrop, Strong, Weak
from vri_pyro.data.randomness import generator_for, rows_of
from vri_pyro.utils.processes import Share

COUNT, SIZE, SIDE = 23, 10, 12
AUGMENTATIONS: dict[str, Augmentation] = {
    "none": NoAugmentation(),
    "weak": Weak(2),
    "strong": Strong(2, cutout=3),
    "crop": RandomCrop(8),
    "mixup": Mixup(),
    "chain": Chain((PadCrop(1), HorizontalFlip(), Cutout(3))),
    "chain with mixup": Chain((HorizontalFlip(), Mixup())),
}


class Pictures(Streamed):
    """Images in memory that record which of them are read."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__(len(images), images.shape[1:])  # type: ignore[arg-type]
        self.images, self.seen = images, list[int]()

    def read(self, index: int) -> np.ndarray:
        self.seen.append(index)
        return self.images[index]

    def name(self, index: int) -> str:
        return str(index)


IMAGES = np.random.default_rng(0).integers(256, size=(COUNT, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(COUNT) % 4
SETS: dict[str, Callable[[], Examples]] = {
    "in memory": lambda: DeviceData(IMAGES, LABELS, "cpu", np.zeros(3), np.ones(3)),
    "streamed": lambda: StreamedData(Pictures(IMAGES), LABELS, "cpu", np.zeros(3), np.ones(3)),
}


@pytest.mark.parametrize("where", SETS)
@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("count", [2, 3])
def test_shares_are_the_rows_of_the_whole_batch(where: str, name: str, count: int) -> None:
    def batches(share: Share) -> list[tuple[Tensor, ...]]:
        plan = BatchPlan(np.arange(COUNT), SIZE, 5, "test", AUGMENTATIONS[name], views=2, share=share)
        sequence = SETS[where]().sequence(plan)
        return [tuple(sequence(step)) for step in range(3)]

    shares = [batches(Share(rank, count)) for rank in range(count)]
    for step, (x, y, index, second_view) in enumerate(batches(Share())):
        parts = [share[step] for share in shares]
        torch.testing.assert_close(torch.cat([part[0] for part in parts]), x, rtol=0, atol=0)
        torch.testing.assert_close(torch.cat([part[3] for part in parts]), second_view, rtol=0, atol=0)
        assert all(torch.equal(part[1], y) and torch.equal(part[2], index) for part in parts)


@pytest.mark.parametrize(("name", "read"), [("strong", 3), ("mixup", SIZE)])
def test_process_reads_only_the_images_of_its_share_unless_they_are_mixed(name: str, read: int) -> None:
    pictures = Pictures(IMAGES)
    plan = BatchPlan(np.arange(COUNT), SIZE, 5, "test", AUGMENTATIONS[name], share=Share(1, 3))
    batch = StreamedData(pictures, LABELS, "cpu", np.zeros(3), np.ones(3)).sequence(plan)(0)
    assert len(pictures.seen) == read
    assert (len(batch.x), len(batch.y)) == (3, SIZE)


def test_generator_of_rows_draws_the_rows_of_the_whole_draw() -> None:
    whole, rows = generator_for(1), rows_of(generator_for(1), slice(2, 5), 7)
    np.testing.assert_array_equal(rows.random(3), whole.random(7)[2:5])
    np.testing.assert_array_equal(rows.random((3, 2)), whole.random((7, 2))[2:5])
    assert rows.random() == whole.random()
    np.testing.assert_array_equal(rows.random(4), whole.random(4))
