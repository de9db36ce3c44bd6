"""Extract features of a data set with a network, and write them to a folder."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vri_pyro.data import Arrays, Inputs, Streamed, part_of, read_batches
from vri_pyro.data.feature_files import Description, FeatureFiles, Part, rows_of_files
from vri_pyro.data.fingerprints import Fingerprint
from vri_pyro.data.statistics import sample_of
from vri_pyro.interfaces.classifier import Classifier, evaluating
from vri_pyro.runs.random_weights import has_random_trunk
from vri_pyro.training.ensemble import build_classifier
from vri_pyro.utils.errors import UserError, building
from vri_pyro.utils.locks import locked
from vri_pyro.utils.numbers import MOST_PROCESSES, check_integer
from vri_pyro.utils.provenance import provenance

_SEED = 0  # of the weights of a network that is not pretrained


def embed(
    arrays: Arrays,
    backbone: Callable[[tuple[int, ...], int], Classifier],
    folder: Path | str,
    *,
    made_from: Mapping[str, Any],
    dtype: Literal["float16", "float32"] = "float16",
    rows_per_file: int = 8192,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> Description:
    """Extract the features of all examples and write them to a folder, or continue an interrupted extraction.

    The network is in evaluation mode and receives images [batch, C, H, W] with pixels in 0..1, or vectors as they are.

    Args:
        arrays: the data.
        backbone: builds the network from (input_shape, num_classes); its ``features`` [batch, D] are written.
        folder: the folder. The first missing file and all after it are written.
        made_from: the options that determine the features, as plain values; a folder made from others is refused.
        dtype: dtype of the files.
        rows_per_file: number of examples per file.
        batch_size: number of examples per forward pass.
        workers: number of worker processes that read streamed images.
        device: device to compute on.
        progress: called with the number of examples whose features have been extracted, after each batch.

    Returns:
        what the folder contains.

    Raises:
        UserError: the folder has features of other data, another network or other options; an image is unreadable; a
            feature is non-finite or too large for ``dtype``; or the folder cannot be written.

    Warns:
        UserWarning: the weights of the network are random.
    """
    for name, value in (("batch_size", batch_size), ("rows_per_file", rows_per_file)):
        check_integer(name, value, 1)
    check_integer("workers", workers, 0, MOST_PROCESSES)
    if dtype not in ("float16", "float32"):
        raise UserError(f"dtype is {dtype!r}; expected 'float16' or 'float32'")
    files = FeatureFiles(folder)
    with locked(files.path):
        network = _network(backbone, arrays).to(device)
        description = Description(
            dim=network.feature_dim,
            dtype=dtype,
            rows_per_file=rows_per_file,
            train=len(arrays.y_train),
            test=0 if arrays.y_test is None else len(arrays.y_test),
            open_set=arrays.open_set,
            verified=arrays.verified,
            made_from={**made_from, "weights": weights_hash(network)},
            made_by=provenance(torch.device(device)),
        )
        fingerprint = Fingerprint.of(arrays, sample_of(arrays.x_train))
        if files.description.exists():
            _check_same(files, description, arrays, fingerprint)
        else:
            files.check_others()
            if has_random_trunk(network, lambda: _network(backbone, arrays, _SEED + 1)):
                warnings.warn(
                    f"{type(network).__name__} has random weights, so its features say little; use a pretrained "
                    "network",
                    stacklevel=2,
                )
            files.begin(arrays, description, fingerprint)
        extractor = _Extractor(network, torch.device(device), dtype)
        parts: dict[Part, Inputs | None] = {"train": arrays.x_train, "test": arrays.x_test}
        done = 0
        try:
            for part, inputs in parts.items():
                if inputs is not None:
                    for rows in _write_part(files, description, part, extractor, inputs, batch_size, workers):
                        progress(done := done + rows)
        except UserError:  # an input or the network has to change, and the folder would be refused to the new ones
            files.discard_empty()
            raise
    return description


def weights_hash(network: torch.nn.Module) -> str:
    """Return the SHA-256 hash of the parameters and buffers of a network."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _network(backbone: Callable[[tuple[int, ...], int], Classifier], arrays: Arrays, seed: int = _SEED) -> Classifier:
    with torch.random.fork_rng(devices=[]), building("the backbone"):
        torch.manual_seed(seed)
        return build_classifier(backbone, arrays.input_shape, arrays.num_classes, networks=1)


class _Extractor:
    """Maps a batch of inputs as they are stored to features."""

    def __init__(self, network: Classifier, device: torch.device, dtype: str) -> None:
        self.network, self.device, self.dtype = network, device, np.dtype(dtype)

    @torch.no_grad()
    def __call__(self, x: np.ndarray, name: Callable[[int], str]) -> np.ndarray:
        """Extract features [n, D]; ``name`` names an example of the batch in messages."""
        inputs = torch.from_numpy(np.array(x, order="C")).to(self.device)
        scaled = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
        if getattr(self.network, "takes_pixels", False) and len(x) and not 0 <= scaled.min() <= scaled.max() <= 1:
            raise UserError(
                f"{type(self.network).__name__} was pretrained on pixels from 0 to 1, but there are inputs from "
                f"{scaled.min():.4g} to {scaled.max():.4g}, as in {name(0)}; scale them to 0 to 1, or give bytes"
            )
        scaled = scaled.permute(0, 3, 1, 2).contiguous() if scaled.dim() == 4 else scaled
        with evaluating(self.network):
            features: Tensor = self.network(scaled).features
        if features.shape != (len(x), self.network.feature_dim):
            raise UserError(
                f"{type(self.network).__name__} returned features of shape {list(features.shape)} for {len(x)} inputs; "
                f"expected [{len(x)}, {self.network.feature_dim}], where feature_dim is {self.network.feature_dim}"
            )
        found = features.float().cpu().numpy()
        with np.errstate(over="ignore"):
            stored = found.astype(self.dtype)
        if not np.isfinite(stored).all():
            row, column = np.argwhere(~np.isfinite(stored))[0].tolist()
            value = float(found[row, column])
            what = f"feature {column} of {name(row)} is {value:g}"
            if np.isfinite(value):
                raise UserError(f"{what}, too large for float16 (65,504); extract the features with --dtype float32")
            raise UserError(f"{what}; use another backbone, or repair the input")
        return stored


def _write_part(
    files: FeatureFiles,
    description: Description,
    part: Part,
    extractor: _Extractor,
    inputs: Inputs,
    batch_size: int,
    workers: int,
) -> Iterator[int]:
    """Write the missing files of a part; yield the number of examples of each file that is there, and of each batch."""
    rows = list(rows_of_files(description, part))
    number = next((number for number in range(len(rows)) if not files.shard(part, number).is_file()), len(rows))
    yield from rows[:number]
    if number == len(rows):
        return
    held, waiting = 0, list[np.ndarray]()
    for batch in _features(extractor, part, inputs, sum(rows[:number]), batch_size, workers):
        waiting.append(batch)
        held += len(batch)
        while number < len(rows) and held >= rows[number]:
            joined = np.concatenate(waiting)
            files.write_shard(part, number, joined[: rows[number]])
            waiting, held, number = [joined[rows[number] :]], held - rows[number], number + 1
        yield len(batch)


def _features(
    extractor: _Extractor, part: Part, inputs: Inputs, start: int, batch_size: int, workers: int
) -> Iterator[np.ndarray]:
    """Yield the features of the inputs from a position on, batch by batch."""
    kind = {"train": "training", "test": "test"}[part]
    for position, batch in _batches(inputs, start, batch_size, workers):
        yield extractor(batch, lambda row, at=position: f"{kind} example {at + row}")  # type: ignore[misc]


def _batches(inputs: Inputs, start: int, batch_size: int, workers: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the position of the first input of each batch, and the inputs as they are stored."""
    if not isinstance(inputs, Streamed):
        for position in range(start, len(inputs), batch_size):
            yield position, inputs[position : position + batch_size]
        return
    rest = part_of(inputs, np.arange(start, len(inputs)))
    for number, (batch, unreadable) in enumerate(read_batches(rest, batch_size, workers)):  # type: ignore[arg-type]
        for _, why in unreadable:
            raise UserError(why)
        yield start + number * batch_size, batch


def _check_same(files: FeatureFiles, new: Description, arrays: Arrays, fingerprint: Fingerprint) -> None:
    """Raise if a folder has features that were made from something else; the message names what differs."""
    old = files.read_description()
    told = [*_options_differ(old.made_from, new.made_from)]
    for name in ("dtype", "rows_per_file", "dim", "open_set", "verified"):
        if (was := getattr(old, name)) != (now := getattr(new, name)):
            told.append(f"{name} is {now} instead of {was}")
    told += Fingerprint.load(files.fingerprint).differences(fingerprint, arrays)
    if not told:
        kept = files.read_labels()
        for name in ("clean_indices", "validation_indices", "verified_labels"):
            if not np.array_equal(kept.get(name, []), [] if (now := getattr(arrays, name)) is None else now):
                told.append(f"{name} of the data differ")
    if told:
        raise UserError(
            f"{files.path} has features that were extracted differently: {'; '.join(told)}; choose another --output, "
            "or delete the folder"
        )


def _options_differ(old: Mapping[str, Any], new: Mapping[str, Any], group: str = "") -> Iterator[str]:
    """Describe the options that differ, one clause each."""
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _options_differ(was, now, f"{group}{name}.")
        elif name == "weights":
            yield "the weights of the backbone differ"
        else:
            yield f"{group}{name} is {now} instead of {was}"
