"""Image folders with one folder per class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.folders import contents_of, files_below, warn_of_nested, warn_of_unread
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import (
    Listed,
    check_there,
    class_name,
    streamed_arrays,
    warn_of_no_trusted_labels,
)
from vri_pyro.data.sources.verified_table import read_verified
from vri_pyro.utils.deprecations import accepts_old_arguments
from vri_pyro.utils.errors import UserError
from vri_pyro.utils.files import checked_path

_LAYOUT = "a folder with one subfolder of images per class"
_PARTS = ("noisy", "clean", "validation", "test")


@accepts_old_arguments
@dataclass(frozen=True)
class ImageFolder(Source):
    """Images in folders, one per class, or in parts noisy/, clean/, validation/ and test/, streamed.

    Expected under ``path`` is one folder per class, ``<class>/<file>``, for images with untrusted labels, or::

        noisy/<class>/<file>         training images with untrusted labels
        clean/<class>/<file>         optional: the clean set, images with trusted labels
        validation/<class>/<file>    optional: trusted labels for the choice of the best epoch; requires clean/
        test/<class>/<file>          optional: test images

    The classes are the sorted names of all class folders; not every part needs every class. Hidden files and folders
    are left out. A warning counts other files that are not read, and images in a folder inside the folder of a class.
    Without ``clean/``, the clean set is drawn from the labels of ``noisy/``, with a warning, and noise can be injected
    into the rest.

    Attributes:
        path: folder of the data set.
        size: side of the square to which images are scaled and cropped, in pixels.
        verified_table: a .csv or .parquet file with the checked classes of images with untrusted labels, in the columns
            ``path``, relative to the folder of the data set as in ``label_issues.csv``, and ``verified``. These images
            are trusted; their folders remain their labels as given. None if there is no such file.
        verified: whether the labels of ``noisy/`` are known to be correct. If true, noise can be injected into them and
            a clean set drawn from them without a warning.
        bits: number of bits per channel of images with more than 8, such as 16 or 12. If None, it is 16, and images
            that may have fewer are refused.
    """

    path: str | Path
    size: int = 64
    verified: bool = False
    bits: int | None = None
    verified_table: str | Path | None = None

    def load(self) -> Arrays:
        """List the image files, without reading any image.

        Raises:
            UserError: there is no folder of noisy images, or it contains no image.
        """
        root = checked_path("path", self.path)
        check_there(root, _LAYOUT)
        places = {part: part for part in _PARTS if (root / part).is_dir()} or {"noisy": ""}
        for place in {places.setdefault("noisy", "noisy"), *places.values()}:
            check_there(root / place, _LAYOUT)
        if places["noisy"] and (unknown := set(contents_of(root).folders) - set(_PARTS)):
            warnings.warn(
                f"{root} contains the folders {', '.join(sorted(unknown))}, which are ignored; known folders are "
                f"{', '.join(_PARTS)}",
                stacklevel=2,
            )
        classes = sorted({name for place in places.values() for name in _class_folders(root / place)})
        found = {part: _listed(root, place, classes) for part, place in places.items()}
        listed = {part: images for part, (images, _, _) in found.items()}
        warn_of_unread(root, [name for _, unread, _ in found.values() for name in unread])
        warn_of_nested(root, [name for _, _, nested in found.values() for name in nested])
        if not listed["noisy"].paths:
            raise UserError(f"{root / places['noisy']} has no images in folders; expected {_LAYOUT}.")
        if self.verified_table is not None:
            numbers, file = {name: label for label, name in enumerate(classes)}, Path(self.verified_table)
            listed["noisy"].verified = read_verified(file, listed["noisy"].paths, numbers).tolist()
        if "clean" not in places and not self.verified and self.verified_table is None:
            warn_of_no_trusted_labels(f"{root}", "put trusted images into clean/")
        return streamed_arrays(root, classes, self.size, **listed, verified=self.verified, bits=self.bits)


def _class_folders(folder: Path) -> dict[str, list[str]]:
    """Return the names of the folders of each class; a class has several if they differ in Unicode form only."""
    found: dict[str, list[str]] = {}
    for name in contents_of(folder).folders:
        found.setdefault(class_name(name), []).append(name)
    return found


def _listed(root: Path, place: str, classes: list[str]) -> tuple[Listed, list[str], list[str]]:
    """List the images of a part, and the files and nested images that are not read."""
    listed, unread, nested = Listed(), contents_of(root / place).others, []
    folders = _class_folders(root / place)
    for label, name in enumerate(classes):
        for folder in folders.get(name, []):
            images, others = files_below(root / place / folder)
            for image in images:
                if "/" in image:
                    nested.append(f"{folder}/{image}")
                else:
                    listed.add(_joined(place, folder, image), label)
            unread += [f"{folder}/{other}" for other in others]
    return listed, [_joined(place, name) for name in unread], [_joined(place, name) for name in nested]


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))
