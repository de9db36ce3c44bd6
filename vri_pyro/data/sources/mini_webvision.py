"""Mini-WebVision, the first classes of WebVision with images from Google search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.folders import contents_of, warn_of_unread
from vri_pyro.data.inside_root import check_inside
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import (
    OUTSIDE_REMEDY,
    Listed,
    check_there,
    class_number,
    fields_of,
    lines_of,
    streamed_arrays,
    warn_of_no_trusted_labels,
)
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.numbers import counted

_FROM = "WebVision 1.0 (Li et al., 2017; resized images, unpacked under path)"
_ALL_CLASSES = 1000


@accepts_old_arguments
@dataclass(frozen=True)
class MiniWebVision(Source):
    """mini-WebVision: the first 50 classes of WebVision 1.0 (Google images), streamed.

    There are 65,944 noisy training images. The published layout is expected under ``path``::

        info/synsets.txt, train_filelist_google.txt, val_filelist.txt
        google/q0001/<file>.jpg ...
        val_images_256/<file>.jpg

    No training label is verified. List the files with trusted labels in ``clean_list``. Without it, the clean set is
    drawn from the noisy labels, with a warning.

    Reference: Li et al., WebVision database, arXiv:1708.02862; Jiang et al., MentorNet, ICML 2018.

    Attributes:
        path: folder of the data set.
        size: side of the square to which images are scaled and cropped, in pixels.
        num_classes: number of classes to use, from the first.
        ilsvrc12: folder of ILSVRC12's validation images, with one subfolder per synset, to use as the test set. If
            None, WebVision's validation images are the test set.
        clean_list: a text file with trusted paths from ``train_filelist_google.txt``, one per line.
        outside_root: whether paths in the lists may lead out of ``path``, such as by symbolic links.
    """

    path: str | Path
    size: int = 224
    num_classes: int = 50
    ilsvrc12: str | Path | None = None
    clean_list: str | Path | None = None
    outside_root: bool = False

    def load(self) -> Arrays:
        """Read the lists, without reading any image.

        Raises:
            UserError: a list or folder is missing, or a line has an unexpected format.
        """
        root, info = Path(self.path), Path(self.path) / "info"
        if not 2 <= self.num_classes <= _ALL_CLASSES:
            raise UserError(f"num_classes is {self.num_classes}; expected a value from 2 to {_ALL_CLASSES}.")
        synsets = self._synsets(info / "synsets.txt")
        noisy, clean = self._training(root, info / "train_filelist_google.txt")
        if not clean.paths:
            warn_of_no_trusted_labels("mini-WebVision", "list trusted files in clean_list")
        names = [f"{name} ({synset})" for synset, name in synsets]
        return streamed_arrays(root, names, self.size, noisy, self._test(root, [s for s, _ in synsets]), clean)

    def _synsets(self, path: Path) -> list[tuple[str, str]]:
        """Return the synset identifier and the first name of each class."""
        found = []
        for number, line in lines_of(path, f"the classes of {_FROM}"):
            synset, *names = line.split(maxsplit=1)
            if not names:
                raise UserError(f"{path}, line {number}: {line!r} has no name; restore the file.")
            found.append((synset, names[0].split(",")[0]))
        if len(found) < self.num_classes:
            classes = counted(len(found), "class", "classes")
            raise UserError(f"{path} has {classes} but num_classes is {self.num_classes}; restore the file.")
        return found[: self.num_classes]

    def _training(self, root: Path, path: Path) -> tuple[Listed, Listed]:
        trusted = set()
        if self.clean_list is not None:
            trusted = {
                line for _, line in lines_of(Path(self.clean_list), "a list of trusted files, one path per line")
            }
        noisy, clean = Listed(), Listed()
        listed = self._listed(root, path, f"the list of Google's images of {_FROM}", "")
        for name, label in zip(listed.paths, listed.labels, strict=True):
            (clean if name in trusted else noisy).add(name, label)
        if unknown := trusted - set(clean.paths):
            raise UserError(
                f"{self.clean_list} contains {min(unknown)}, which is not in {path} or not of the first "
                f"{self.num_classes} classes; remove the line."
            )
        return noisy, clean

    def _test(self, root: Path, synsets: list[str]) -> Listed:
        if self.ilsvrc12 is not None:
            return _ilsvrc12(Path(self.ilsvrc12).absolute(), synsets)
        expected = f"the list of validation images of {_FROM}"
        return self._listed(root, root / "info" / "val_filelist.txt", expected, "val_images_256/")

    def _listed(self, root: Path, path: Path, expected: str, folder: str) -> Listed:
        """Return the images of the classes in use from a list of names in a folder, with their labels."""
        listed, numbers = Listed(), []
        for number, line in lines_of(path, expected):
            name, text = fields_of(path, number, line, None, 2)
            label = class_number(path, number, text, _ALL_CLASSES)
            if label < self.num_classes:
                listed.add(folder + name, label)
                numbers.append(number)
        if not self.outside_root:
            check_inside(path, root, zip(numbers, listed.paths, strict=True), "line", OUTSIDE_REMEDY)
        return listed


def _ilsvrc12(folder: Path, synsets: list[str]) -> Listed:
    test = Listed()
    for label, synset in enumerate(synsets):
        check_there(folder / synset, "a folder of ILSVRC12's validation images of this synset")
        found = contents_of(folder / synset)
        warn_of_unread(folder / synset, found.others)
        for name in found.images:
            test.add(str(folder / synset / name), label)
    return test
