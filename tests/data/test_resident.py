"""Data held on the device: gathering, standardisation and its statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vri_pyro.data import DeviceData, generator_for, mean_and_std
from vri_pyro.utils.errors import UserError


def _images(n: int = 50) -> np.ndarray:
    return (generator_for(0).random((n, 4, 6, 3)) * 256).astype(np.uint8)


def test_images_are_scaled_standardised_and_turned_channels_first() -> None:
    images, labels = _images(), np.arange(50) % 3
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 1.0, 2.0])
    chosen = np.array([7, 0, 7])
    batch = DeviceData(images, labels, "cpu", mean, std).batch(chosen)
    expected = ((images[chosen] / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert batch.x.dtype == torch.float32
    np.testing.assert_allclose(batch.x.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert batch.y.tolist() == labels[chosen].tolist()
    assert batch.index.tolist() == chosen.tolist()


def test_vectors_are_standardised_per_dimension() -> None:
    x = generator_for(1).random((40, 5)).astype(np.float32)
    batch = DeviceData(x, np.zeros(40, int), "cpu", *mean_and_std(x)).batch(torch.arange(40))
    np.testing.assert_allclose(batch.x.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(batch.x.std(0, correction=0), 1.0, rtol=1e-4)


def test_constant_channel_stays_finite() -> None:
    x = np.full((10, 2), 0.1, dtype=np.float32)
    x[:, 1] = np.arange(10)
    mean, std = mean_and_std(x)
    assert std[0] == 0.0
    batch = DeviceData(x, np.zeros(10, int), "cpu", mean, std).batch(np.arange(10))
    assert batch.x.isfinite().all()
    assert (batch.x[:, 0] == 0).all()


def test_data_do_not_follow_later_changes_of_the_arrays() -> None:
    x = np.zeros((4, 2), dtype=np.float32)
    data = DeviceData(x, np.zeros(4, int), "cpu", np.zeros(2), np.ones(2))
    x[:] = 9
    assert (data.batch(np.arange(4)).x == 0).all()
    assert len(data) == 4


def test_read_only_and_reversed_arrays_are_held() -> None:
    images = _images()[::-1]
    images.setflags(write=False)
    data = DeviceData(images, np.zeros(50, int), "cpu", np.zeros(3), np.ones(3))
    assert data.batch(np.array([0])).x.shape == (1, 3, 4, 6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_are_gathered_on_the_gpu() -> None:
    data = DeviceData(_images(), np.arange(50), "cuda", np.zeros(3), np.ones(3))
    batch = data.batch(np.array([3, 1]))
    assert {part.device.type for part in batch if part is not None} == {"cuda"}
    assert batch.y.tolist() == [3, 1]


@pytest.mark.parametrize("chunk_size", [1, 7, 1024])
def test_statistics_do_not_depend_on_the_chunks(chunk_size: int) -> None:
    images = _images()
    mean, std = mean_and_std(images, chunk_size)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-6)


def test_statistics_do_not_cancel_far_from_zero() -> None:
    x = np.tile(np.array([[16_777_214.0], [16_777_216.0]], dtype=np.float32), (500, 1))
    x = np.concatenate([x, x + 10_000])
    _, std = mean_and_std(x)
    np.testing.assert_allclose(std, x.astype(np.float64).std(0), rtol=1e-6)


def test_data_of_different_lengths_are_refused() -> None:
    with pytest.raises(UserError, match="50 inputs but 49 labels"):
        DeviceData(_images(), np.zeros(49, int), "cpu", np.zeros(3), np.ones(3))
    with pytest.raises(UserError, match="inputs have 3 channels; compute both"):
        DeviceData(_images(), np.zeros(50, int), "cpu", np.zeros(1), np.ones(1))
