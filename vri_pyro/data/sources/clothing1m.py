"""Clothing1M, one million photographs of clothes with labels from online shops."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.inside_root import check_inside
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import OUTSIDE_REMEDY, Listed, class_number, fields_of, lines_of, streamed_arrays
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError

_FROM = "Clothing1M (Xiao et al., 2015; on request from its authors, unpacked under path)"
_CLASSES = 14


@accepts_old_arguments
@dataclass(frozen=True)
class Clothing1M(Source):
    """Clothing1M: 1,000,000 noisy photographs of clothes, plus verified sets, streamed.

    There are 14 classes, and verified sets for training, validation and testing. Expected under ``path``, with the
    lists there or in ``annotations/``::

        category_names_eng.txt
        noisy_train_key_list.txt, clean_train_key_list.txt, clean_val_key_list.txt, clean_test_key_list.txt
        noisy_label_kv.txt, clean_label_kv.txt
        images/0/00/<file>.jpg

    Images of a verified set that are also in the noisy list are excluded from the noisy set, with a warning.

    Reference: Xiao et al., Learning from massive noisy labeled data for image classification, CVPR 2015.

    Attributes:
        path: folder of the data set.
        size: side of the square to which images are scaled and cropped, in pixels.
        clean: the verified set used as the clean set: "val", as in the paper, or "train". The other one becomes the
            validation set.
        outside_root: whether paths in the lists may lead out of ``path``, such as by symbolic links.
    """

    path: str | Path
    size: int = 224
    clean: Literal["val", "train"] = "val"
    outside_root: bool = False

    def load(self) -> Arrays:
        """Read the lists, without reading any image.

        Raises:
            UserError: a list is missing, a line has an unexpected format, or an image has no label.
        """
        root = Path(self.path)
        lists = root / "annotations" if (root / "annotations").is_dir() else root
        names = [line for _, line in lines_of(lists / "category_names_eng.txt", f"the class names of {_FROM}")]
        if len(names) != _CLASSES:
            raise UserError(f"category_names_eng.txt in {lists} has {len(names)} lines; expected 14; restore the file.")
        verified_labels = _labels(lists / "clean_label_kv.txt")
        noisy_labels = _labels(lists / "noisy_label_kv.txt")
        verified = {part: self._keys(root, lists / f"clean_{part}_key_list.txt") for part in ("train", "val", "test")}
        noisy = self._without_verified(self._keys(root, lists / "noisy_train_key_list.txt"), verified)
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

    def _keys(self, root: Path, path: Path) -> list[str]:
        lines = list(lines_of(path, f"a key list of {_FROM}"))
        if not self.outside_root:
            check_inside(path, root, lines, "line", OUTSIDE_REMEDY)
        return [line for _, line in lines]

    @staticmethod
    def _without_verified(noisy: list[str], verified: dict[str, list[str]]) -> list[str]:
        known = {key for keys in verified.values() for key in keys}
        left = [key for key in noisy if key not in known]
        if len(left) < len(noisy):
            warnings.warn(
                f"{len(noisy) - len(left)} images of the noisy list are also in a verified set; they are excluded from "
                "the noisy set",
                stacklevel=3,
            )
        return left


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
