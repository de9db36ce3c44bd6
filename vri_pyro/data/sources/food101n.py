"""Food-101N, photographs of dishes with labels from search engines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.inside_root import check_inside
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import OUTSIDE_REMEDY, Listed, class_named, fields_of, lines_of, streamed_arrays
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError

_NOISY, _TEST = "Food-101N_release", "food-101"
_FROM = "the Food-101N release (Lee et al., CleanNet, 2018; unpacked under path)"
_TEST_FROM = "Food-101 (Bossard et al., 2014; unpacked under path), which provides the test set"


@accepts_old_arguments
@dataclass(frozen=True)
class Food101N(Source):
    """Food-101N: 310,009 noisy photographs of 101 dishes, with Food-101's test set, streamed.

    The labels of some images are verified. Both published archives are expected under ``path``::

        Food-101N_release/meta/classes.txt, imagelist.tsv, verified_train.tsv, verified_val.tsv
        Food-101N_release/images/<class>/<file>
        food-101/meta/test.txt
        food-101/images/<class>/<file>.jpg

    Images whose label was verified as correct are trusted. Images whose label was found to be wrong stay in the noisy
    set.

    Reference: Lee et al., CleanNet, CVPR 2018.

    Attributes:
        path: folder of both archives.
        size: side of the square to which images are scaled and cropped, in pixels.
        clean: list of verified images used as the clean set: "val" for the validation list, as in the paper (3,824
            images), "train" for the training list, or "both". The images of the other list become the validation set.
        outside_root: whether paths in the lists may lead out of ``path``, such as by symbolic links.
    """

    path: str | Path
    size: int = 224
    clean: Literal["val", "train", "both"] = "val"
    outside_root: bool = False

    def load(self) -> Arrays:
        """Read the lists, without reading any image.

        Raises:
            UserError: a list is missing or a line has an unexpected format.
        """
        root = Path(self.path)
        meta = root / _NOISY / "meta"
        # The list of classes begins with a header in the release.
        names = [line for _, line in lines_of(meta / "classes.txt", f"the list of classes of {_FROM}")]
        classes = [name for name in names if name != "class_name"]
        numbers = {name: number for number, name in enumerate(classes)}
        verified = {part: self._verified(meta / f"verified_{part}.tsv") for part in ("train", "val")}
        clean = verified["train"] | verified["val"] if self.clean == "both" else verified[self.clean]
        held_out = (verified["train"] | verified["val"]) - clean
        parts = {name: Listed() for name in ("noisy", "clean", "validation")}
        path = meta / "imagelist.tsv"
        keys = _body(path, f"the list of images of {_FROM}")
        self._check(root, path, ((number, f"{_NOISY}/images/{key}") for number, key in keys))
        for number, key in keys:
            label = class_named(path, number, key.split("/")[0], numbers)
            part = "clean" if key in clean else "validation" if key in held_out else "noisy"
            parts[part].add(f"{_NOISY}/images/{key}", label)
        if missing := len(clean) + len(held_out) - len(parts["clean"].paths) - len(parts["validation"].paths):
            raise UserError(f"{missing} verified images are not in {path}; restore the lists.")
        return streamed_arrays(root, classes, self.size, test=self._test(root, numbers), **parts)  # type: ignore[arg-type]

    @staticmethod
    def _verified(path: Path) -> set[str]:
        """Return the images whose label was verified as correct."""
        right = set()
        for number, line in _body(path, f"a list of verified images of {_FROM}"):
            key, verdict = fields_of(path, number, line, "\t", 2)
            if verdict not in ("0", "1"):
                raise UserError(
                    f"{path}, line {number}: the verification label is {verdict!r}; expected 0 or 1; restore the file."
                )
            if verdict == "1":
                right.add(key)
        return right

    def _test(self, root: Path, numbers: dict[str, int]) -> Listed:
        path = root / _TEST / "meta" / "test.txt"
        keys = list(lines_of(path, f"the test list of {_TEST_FROM}"))
        paths = [(number, f"{_TEST}/images/{key}.jpg") for number, key in keys]
        self._check(root, path, paths)
        labels = [class_named(path, number, key.split("/")[0], numbers) for number, key in keys]
        return Listed([name for _, name in paths], labels)

    def _check(self, root: Path, path: Path, paths: Iterable[tuple[int, str]]) -> None:
        if not self.outside_root:
            check_inside(path, root, paths, "line", OUTSIDE_REMEDY)


def _body(path: Path, expected: str) -> list[tuple[int, str]]:
    """Return the numbered lines after the header."""
    return list(lines_of(path, expected))[1:]
