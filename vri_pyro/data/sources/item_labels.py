"""Labels and class names of the items of PyTorch map-style data sets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from vri_pyro.data.decoding import UNREADABLE
from vri_pyro.utils.errors import UserError

# Data sets of torchvision whose items have the labels of an attribute, unless they transform them.
_STORED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100"), lambda dataset: dataset.targets),
    "SVHN": lambda dataset: dataset.labels,
    **dict.fromkeys(("ImageFolder", "DatasetFolder"), lambda dataset: [label for _, label in dataset.samples]),
}


def item_labels(name: str, dataset: Any) -> Sequence[Any]:
    """Return the label of every item of a data set of (image, label) pairs.

    The items are read one by one, unless the class of the data set says where their labels come from: the common data
    sets of torchvision without ``target_transform``, and ``Subset``, ``ConcatDataset`` and ``TensorDataset`` of
    PyTorch. Attributes such as ``targets`` of other classes, and of subclasses, may differ from the labels of the items
    and are not used.

    Args:
        name: name of the data set in messages.
        dataset: a data set with ``__len__`` and ``__getitem__``.

    Raises:
        UserError: an item cannot be read or is not a pair.
    """
    known = _known(dataset)
    return [_label(name, dataset, index) for index in range(len(dataset))] if known is None else known


def class_names(dataset: Any) -> list[str] | None:
    """Return the names of the label numbers of a data set; None if it has none.

    Raises:
        UserError: the parts of a ``ConcatDataset`` name or order their classes differently.
    """
    if type(dataset) is Subset:
        return class_names(dataset.dataset)
    if type(dataset) is ConcatDataset:
        named = [names for part in dataset.datasets if (names := class_names(part)) is not None]
        if any(names != named[0] for names in named):
            raise UserError(
                "The parts of a ConcatDataset have different classes, so one number means several classes; give the "
                "parts the same classes in the same order."
            )
        return named[0] if named else None
    names = getattr(dataset, "classes", None)
    return list(map(str, names)) if isinstance(names, list | tuple | np.ndarray) else None


def is_exactly(dataset: Any, *names: str) -> bool:
    """Tell whether a data set is of one of these classes of torchvision, and not of a subclass."""
    # No data set of torchvision exists before torchvision was imported.
    datasets = sys.modules.get("torchvision.datasets")
    return datasets is not None and any(type(dataset) is getattr(datasets, name, None) for name in names)


def _known(dataset: Any) -> Sequence[Any] | None:
    """Return the labels of the items if they are known without reading any item."""
    if type(dataset) is Subset:
        whole = _known(dataset.dataset)
        return None if whole is None else [whole[int(index)] for index in dataset.indices]
    if type(dataset) is ConcatDataset:
        parts = [_known(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else [label for part in parts for label in part or ()]
    if type(dataset) is TensorDataset and len(dataset.tensors) > 1:
        return dataset.tensors[1].tolist()
    if is_exactly(dataset, *_STORED) and dataset.target_transform is None:
        return np.asarray(_STORED[type(dataset).__name__](dataset)).tolist()
    return None


def _label(name: str, dataset: Any, index: int) -> Any:
    try:
        item = dataset[index]
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"Item {index} of {name} cannot be read ({error}); repair the data set.") from error
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise UserError(f"Item {index} of {name} is a {type(item).__name__}; expected a pair (image, label).")
    label = item[1]
    return label.item() if isinstance(label, torch.Tensor) and label.numel() == 1 else label
