"""Clothing1M: a million photographs of clothes with labels from shops."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import Listed, class_number, fields_of, lines_of, streamed_arrays
from vri_pyro.utils.errors import UserError

_FROM = "Clothing1M (Xiao et al., 2015, on request from its authors), unpacked under root"
_CLASSES = 14


@dataclass(frozen=True)
class Clothing1M(Source):
    """1,000,000 noisy photographs of 14 kinds of clothes, with verified sets for training and testing. Streamed.

    Expected under ``root``, the lists either there or in ``annotations/``::

        category_names_eng.txt
        noisy_train_key_list.txt, clean_train_key_list.txt, clean_val_key_list.txt, clean_test_key_list.txt
        noisy_label_kv.txt, clean_label_kv.txt
        images/0/00/<file>.jpg

    An image of a verified set that is in the noisy list too is left out of the noisy part, with a warning.

    Reference: Xiao et al., Learning from massive noisy labeled data for image classification, CVPR 2015.

    Attributes:
        root: the folder of the data set.
        size: side in pixels that images are brought to.
        clean: which verified set is the clean set: "val", as in the paper, or "train"; the other one is the
            validation set.
    """

    root: str | Path
    size: int = 224
    clean: Literal["val", "train"] = "val"

    def load(self) -> Arrays:
        """Read the lists; no image is read.

        Raises:
            UserError: a list is missing, a line is not as published, or an image has no label.
        """
        root = Path(self.root)
        lists = root / "annotations" if (root / "annotations").is_dir() else root
        names = [line for _, line in lines_of(lists / "category_names_eng.txt", f"the classes' names of {_FROM}")]
        if len(names) != _CLASSES:
            raise UserError(f"category_names_eng.txt in {lists} has {len(names)} lines instead of 14; restore it.")
        verified_labels = _labels(lists / "clean_label_kv.txt")
        noisy_labels = _labels(lists / "noisy_label_kv.txt")
        verified = {part: _keys(lists / f"clean_{part}_key_list.txt") for part in ("train", "val", "test")}
        noisy = self._without_verified(_keys(lists / "noisy_train_key_list.txt"), verified)
        other = "train" if self.clean == "val" else "val"
        return streamed_arrays(
            root,
            names,
            self.size,
            noisy=_listed(noisy, noisy_labels, lists / "noisy_label_kv.txt"),
            clean=_listed(verified[self.clean], verified_labels, lists / "clean_label_kv.txt"),
            validation=_listed(verified[other], verified_labels, lists / "clean_label_kv.txt"),
            test=_listed(verified["test"], verified_labels, lists / "clean_label_kv.txt"),
        )

    @staticmethod
    def _without_verified(noisy: list[str], verified: dict[str, list[str]]) -> list[str]:
        known = {key for keys in verified.values() for key in keys}
        left = [key for key in noisy if key not in known]
        if len(left) < len(noisy):
            warnings.warn(
                f"{len(noisy) - len(left)} images of the noisy list are in a verified set too; they are left out of "
                "the noisy part",
                stacklevel=3,
            )
        return left


def _keys(path: Path) -> list[str]:
    return [line for _, line in lines_of(path, f"a key list of {_FROM}")]


def _labels(path: Path) -> dict[str, int]:
    labels = {}
    for number, line in lines_of(path, f"the labels of {_FROM}"):
        key, label = fields_of(path, number, line, None, 2)
        labels[key] = class_number(path, number, label, _CLASSES)
    return labels


def _listed(keys: list[str], labels: dict[str, int], path: Path) -> Listed:
    if missing := next((key for key in keys if key not in labels), None):
        raise UserError(f"{path} has no label for {missing}; restore the file.")
    return Listed(keys, [labels[key] for key in keys])
